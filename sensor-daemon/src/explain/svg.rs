//! The picture of a story: the chain from the peer to the shell and the timeline, as SVG without script, style attribute or
//! anything from elsewhere. `maud` escapes every string.

use maud::{Markup, PreEscaped, html};
use unicode_width::UnicodeWidthStr as _;

use crate::{detect::State, finding::columns::fit};

use super::story::{CommandRow, Flow, Node, Part, Story, Way, second};

/// Width of a picture in its own units.
const WIDTH: usize = 800;
/// Height of a node.
const NODE: usize = 56;
/// Height between two nodes.
const GAP: usize = 56;
/// Height above the first node.
const TOP: usize = 24;
/// Height of a row of the timeline.
const ROW: usize = 24;
/// Commands on the timeline.
const COMMANDS_SHOWN: usize = 16;
/// Units that a character of 12 and of 15 units takes in a monospaced face, rounded up.
const SMALL: usize = 8;
const LARGE: usize = 10;

/// Colours and faces, for the picture by itself and inside a page.
pub(super) const STYLE: &str = "\
:root{--ink:#1b1f24;--dim:#59636e;--paper:#fff;--soft:#f6f8fa;--edge:#c8d1da;--bad:#b3261e;--bad-soft:#fdeceb;--accent:#0b57a4}\
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#9aa4b0;--paper:#0f1318;--soft:#171c23;--edge:#37414d;\
--bad:#ff8a80;--bad-soft:#3a1a1a;--accent:#79b8ff}}\
@media print{:root{--ink:#000;--dim:#444;--paper:#fff;--soft:#fff;--edge:#999;--bad:#a00;--bad-soft:#fff;--accent:#036}}\
svg text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:var(--ink);white-space:pre;\
unicode-bidi:isolate-override;direction:ltr}\
svg .name{font-size:15px;font-weight:600}svg .dim{fill:var(--dim)}svg .label{font-weight:600;fill:var(--dim)}\
svg .paper{fill:var(--paper)}svg .frame{fill:none;stroke:var(--edge);stroke-dasharray:5 4}\
svg .relay{fill:var(--soft);stroke:var(--edge)}svg .peer{fill:var(--bad-soft);stroke:var(--bad)}\
svg .shell{fill:var(--soft);stroke:var(--accent);stroke-width:2}svg .wire{stroke:var(--dim);stroke-width:1.5}\
svg .head{fill:var(--dim)}svg .axis{stroke:var(--edge);stroke-width:2}svg .dot{fill:var(--accent)}\
svg .end{fill:var(--bad)}";

/// A picture and its height.
type Picture = (Markup, usize);

/// The picture alone: a whole SVG document.
#[must_use]
pub fn svg(story: &Story) -> String {
    let (chain, above) = chain(story);
    let (timeline, below) = timeline(story);
    let head = 64;
    let height = head + above + below;
    let title = format!(
        "{} {}, {} on {}",
        story.severity.name(),
        story.title,
        story.place,
        story.host
    );
    let line = format!("{}  {}", story.id, second(&story.opened));
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) } width=(WIDTH) height=(height) role="img" {
            title { (title) }
            style { (PreEscaped(STYLE)) }
            rect class="paper" width=(WIDTH) height=(height) {}
            text class="name" x="20" y="30" { (fit(&title, (WIDTH - 40) / LARGE)) }
            text class="dim" x="20" y="50" { (fit(&line, (WIDTH - 40) / SMALL)) }
            (moved(head, chain))
            (moved(head + above, timeline))
        }
    };
    picture.into_string() + "\n"
}

/// A picture inside a page, which has the style.
pub(super) fn inline(label: &str, (body, height): Picture) -> Markup {
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label=(label) { (body) }
    }
}

fn moved(down: usize, part: Markup) -> Markup {
    html! { g transform={ "translate(0 " (down) ")" } { (part) } }
}

/// The chain. One or two ways stand beside each other, each with a column, if their names have room there; else each is below the
/// one before.
pub(super) fn chain(story: &Story) -> Picture {
    let ways = &story.ways;
    let room = (WIDTH / ways.len().max(1)).saturating_sub(72) / LARGE;
    let mut peers = ways
        .iter()
        .flat_map(|way| &way.nodes)
        .filter(|node| node.part == Part::Peer);
    if ways.len() <= 2 && peers.all(|peer| peer.name.width() <= room) {
        return beside(story, ways);
    }
    let (mut parts, mut height) = (Vec::new(), 0);
    for way in ways.chunks(1) {
        let (part, below) = beside(story, way);
        parts.push(moved(height, part));
        height += below + 12;
    }
    (html! { @for part in parts { (part) } }, height)
}

/// Ways beside each other.
fn beside(story: &Story, ways: &[Way]) -> Picture {
    let width = WIDTH / ways.len().max(1);
    let most = ways.iter().map(|way| way.nodes.len()).max().unwrap_or(0);
    let height = (TOP + most * (NODE + GAP) + 40).saturating_sub(GAP);
    // The host's own part: everything below the peers.
    let frame = TOP + NODE + GAP - 16;
    let host = format!("{}: {}", story.host, story.place);
    let picture = html! {
        rect class="frame" x="10" y=(frame) width=(WIDTH - 20) height=(height.saturating_sub(frame + 6)) rx="10" {}
        text class="label" x=(WIDTH - 22) y=(height - 16) text-anchor="end" { (fit(&host, 60)) }
        @for (at, way) in ways.iter().enumerate() {
            (column(way, at * width + 24, width - 48, most))
        }
    };
    (picture, height)
}

/// One way, downwards. A shorter one ends as far down as the longest, which has `most` nodes.
fn column(way: &Way, x: usize, width: usize, most: usize) -> Markup {
    let last = way.nodes.len().saturating_sub(1);
    let top = |at: usize| {
        let level = if at == last { most.saturating_sub(1) } else { at };
        TOP + level * (NODE + GAP)
    };
    html! {
        text class="label" x=(x) y="16" { (fit(&way.streams, width / SMALL)) }
        @for (at, node) in way.nodes.iter().enumerate() {
            (self::node(node, x, top(at), width.min(560)))
            @if let Some(link) = &node.link {
                (wire(way.flow, x + 24, top(at) + NODE + 4, top(at + 1) - 4))
                text class="dim" x=(x + 44) y=(top(at) + NODE + 24) { (fit(link, (width - 44) / SMALL)) }
            }
        }
    }
}

fn node(node: &Node, x: usize, y: usize, width: usize) -> Markup {
    let (class, kind) = match node.part {
        Part::Peer => ("peer", "PEER"),
        Part::Relay => ("relay", "RELAY"),
        Part::Shell => ("shell", "TAKEN OVER"),
    };
    let name = match node.pid {
        Some(pid) => format!("{} (pid {pid})", fit(&node.name, 32)),
        None => node.name.clone(),
    };
    let room = (width - 24) / LARGE;
    let kind = if room > 40 { kind } else { "" };
    html! {
        g {
            title { (name) ": " (node.detail) }
            rect class=(class) x=(x) y=(y) width=(width) height=(NODE) rx="6" {}
            text class="name" x=(x + 12) y=(y + 23) { (fit(&name, room - kind.len())) }
            text class="dim" x=(x + 12) y=(y + 43) { (fit(&node.detail, (width - 24) / SMALL)) }
            text class="label" x=(x + width - 12) y=(y + 22) text-anchor="end" { (kind) }
        }
    }
}

/// A line with a head wherever bytes arrive.
fn wire(flow: Flow, x: usize, top: usize, bottom: usize) -> Markup {
    let head = |tip: usize, base: usize| {
        let (a, b) = (x - 5, x + 5);
        html! { path class="head" d=(format!("M{a} {base}L{b} {base}L{x} {tip}z")) {} }
    };
    html! {
        line class="wire" x1=(x) y1=(top) x2=(x) y2=(bottom) {}
        @if flow != Flow::Out { (head(bottom, bottom - 9)) }
        @if flow != Flow::In { (head(top, top + 9)) }
    }
}

/// A row of the timeline.
struct Moment {
    clock: String,
    after: String,
    text: String,
    /// Of its dot; empty for none.
    class: &'static str,
}

/// What happened when.
pub(super) fn timeline(story: &Story) -> Picture {
    let row = |clock: &str, after: &str, text: &str, class| Moment {
        clock: clock.to_owned(),
        after: after.to_owned(),
        text: text.to_owned(),
        class,
    };
    let clock = |stamp: &str| second(stamp).split_off(11);
    let command = |command: &CommandRow| row(&command.clock, &after(command.after), &command.command, "dot");
    let (first, hidden, newest) = story.commands_shown(COMMANDS_SHOWN);
    let opens = format!("{} opens", story.title);
    let mut moments = vec![row(&clock(&story.opened), "+0 s", &opens, "end")];
    moments.extend(first.iter().map(command));
    if hidden > 0 {
        moments.push(row("", "", &format!("{hidden} more commands, not shown"), ""));
    }
    moments.extend(newest.iter().map(command));
    let what = match story.state {
        State::Inactive => "it ends",
        State::Active if story.monitoring_ended => "the sensor stops following it",
        State::Active => "last change; it goes on",
    };
    let end = (clock(story.end()), after(story.duration_seconds));
    moments.push(row(&end.0, &end.1, what, "end"));
    let height = 16 + moments.len() * ROW + 8;
    let picture = html! {
        line class="axis" x1="190" y1="20" x2="190" y2=(height.saturating_sub(20)) {}
        @for (y, moment) in (20..).step_by(ROW).zip(&moments) {
            @if !moment.class.is_empty() {
                circle class=(moment.class) cx="190" cy=(y) r="5" {}
            }
            text class="dim" x="24" y=(y + 4) { (moment.clock) }
            text class="dim" x="176" y=(y + 4) text-anchor="end" { (moment.after) }
            text x="208" y=(y + 4) { (fit(&moment.text, (WIDTH - 228) / SMALL)) }
        }
    };
    (picture, height)
}

/// A span since the beginning, short.
pub(super) fn after(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("+{seconds:.1} s")
    } else if seconds < 6000.0 {
        format!("+{seconds:.0} s")
    } else {
        format!("+{:.1} h", seconds / 3600.0)
    }
}
