//! The picture of a story: the chain from the peer to the shell and the timeline, as SVG without script, style attribute or
//! anything from elsewhere. Every foreign string goes through `markup::escape`.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use crate::detect::State;

use super::{
    columns::fit,
    markup::escape,
    story::Story,
    text::second,
    ways::{Flow, Part, Way},
};

/// Width of a picture in its own units.
const WIDTH: usize = 800;
/// Height of a node.
const NODE: usize = 56;
/// Height between two nodes.
const GAP: usize = 56;
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
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\
         <title>{0}</title><style>{STYLE}</style><rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\
         <text class=\"name\" x=\"20\" y=\"30\">{1}</text><text class=\"dim\" x=\"20\" y=\"50\">{2}</text>\
         <g transform=\"translate(0 {head})\">{chain}</g><g transform=\"translate(0 {3})\">{timeline}</g></svg>\n",
        escape(&title),
        escape(&fit(&title, (WIDTH - 40) / LARGE)),
        escape(&fit(&line, (WIDTH - 40) / SMALL)),
        head + above,
    )
}

/// A picture inside a page, which has the style.
pub(super) fn inline(label: &str, (body, height): (String, usize)) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">{body}</svg>",
        escape(label)
    )
}

/// The chain, and its height. One or two ways stand beside each other, each with a column, if their names have room there;
/// else each is below the one before.
pub(super) fn chain(story: &Story) -> (String, usize) {
    let ways = &story.ways;
    let room = (WIDTH / ways.len().max(1)).saturating_sub(72) / LARGE;
    let fits = |way: &Way| {
        way.nodes
            .iter()
            .all(|node| node.part != Part::Peer || node.name.width() <= room)
    };
    if ways.len() <= 2 && ways.iter().all(fits) {
        return beside(story, ways);
    }
    let (mut out, mut height) = (String::new(), 0);
    for way in ways.chunks(1) {
        let (part, below) = beside(story, way);
        let _ = write!(out, "<g transform=\"translate(0 {height})\">{part}</g>");
        height += below + 12;
    }
    (out, height)
}

/// Ways beside each other, and their height.
fn beside(story: &Story, ways: &[Way]) -> (String, usize) {
    let columns = ways.len().max(1);
    let width = WIDTH / columns;
    let most = ways.iter().map(|way| way.nodes.len()).max().unwrap_or(0);
    let height = (24 + most * (NODE + GAP) + 40).saturating_sub(GAP);
    let mut out = String::new();
    // The host's own part: everything below the peers.
    let frame = 24 + NODE + GAP - 16;
    let _ = write!(
        out,
        "<rect class=\"frame\" x=\"10\" y=\"{frame}\" width=\"{}\" height=\"{}\" rx=\"10\"/>",
        WIDTH - 20,
        height.saturating_sub(frame + 6)
    );
    let host = format!("{}: {}", story.host, story.place);
    let _ = write!(
        out,
        "<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        WIDTH - 22,
        height - 16,
        escape(&fit(&host, 60))
    );
    for (at, way) in ways.iter().enumerate() {
        column(&mut out, way, at * width + 24, width - 48, most);
    }
    (out, height)
}

/// One way, downwards. A shorter one ends as far down as the longest.
fn column(out: &mut String, way: &Way, x: usize, width: usize, most: usize) {
    let box_width = width.min(560);
    let _ = write!(
        out,
        "<text class=\"label\" x=\"{x}\" y=\"16\">{}</text>",
        escape(&fit(&way.streams, width / SMALL))
    );
    let last = way.nodes.len().saturating_sub(1);
    for (at, node) in way.nodes.iter().enumerate() {
        let level = if at == last { most.saturating_sub(1) } else { at };
        let y = 24 + level * (NODE + GAP);
        let (class, kind) = match node.part {
            Part::Peer => ("peer", "PEER"),
            Part::Relay => ("relay", "RELAY"),
            Part::Shell => ("shell", "TAKEN OVER"),
        };
        let name = match node.pid {
            Some(pid) => format!("{} (pid {pid})", fit(&node.name, 32)),
            None => node.name.clone(),
        };
        let room = (box_width - 24) / LARGE;
        let kind = if room > 40 { kind } else { "" };
        let _ = write!(
            out,
            "<g><title>{}</title><rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{box_width}\" height=\"{NODE}\" rx=\"6\"/>\
             <text class=\"name\" x=\"{}\" y=\"{}\">{}</text><text class=\"dim\" x=\"{}\" y=\"{}\">{}</text>\
             <text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{kind}</text></g>",
            escape(&format!("{name}: {}", node.detail)),
            x + 12,
            y + 23,
            escape(&fit(&name, room - kind.len())),
            x + 12,
            y + 43,
            escape(&fit(&node.detail, (box_width - 24) / SMALL)),
            x + box_width - 12,
            y + 22,
        );
        if let Some(link) = &node.link {
            let next = if at + 1 == last { most.saturating_sub(1) } else { at + 1 };
            wire(out, way.flow, x + 24, y + NODE + 4, 24 + next * (NODE + GAP) - 4);
            let _ = write!(
                out,
                "<text class=\"dim\" x=\"{}\" y=\"{}\">{}</text>",
                x + 44,
                y + NODE + 24,
                escape(&fit(link, (width - 44) / SMALL))
            );
        }
    }
}

/// A line with a head wherever bytes arrive.
fn wire(out: &mut String, flow: Flow, x: usize, top: usize, bottom: usize) {
    let _ = write!(
        out,
        "<line class=\"wire\" x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{bottom}\"/>"
    );
    if flow != Flow::Out {
        let (a, b, c) = (x - 5, x + 5, bottom - 9);
        let _ = write!(out, "<path class=\"head\" d=\"M{a} {c}L{b} {c}L{x} {bottom}z\"/>");
    }
    if flow != Flow::In {
        let (a, b, c) = (x - 5, x + 5, top + 9);
        let _ = write!(out, "<path class=\"head\" d=\"M{a} {c}L{b} {c}L{x} {top}z\"/>");
    }
}

/// What happened when, and its height.
pub(super) fn timeline(story: &Story) -> (String, usize) {
    let clock = |stamp: &str| second(stamp).split_off(11);
    let mut moments = vec![(
        clock(&story.opened),
        String::from("+0 s"),
        format!("{} opens", story.title),
        "end",
    )];
    let shown = story.commands.len().min(COMMANDS_SHOWN);
    let hidden = story.command_count.saturating_sub(shown as u64);
    if hidden > 0 {
        let text = format!("{hidden} more commands, not shown");
        moments.push((String::new(), String::new(), text, ""));
    }
    for command in &story.commands[story.commands.len() - shown..] {
        moments.push((
            command.clock.clone(),
            after(command.after),
            command.command.clone(),
            "dot",
        ));
    }
    let (stamp, what) = match (story.state, &story.ended) {
        (State::Inactive, Some(ended)) => (ended, "it ends"),
        (State::Active, _) if story.monitoring_ended => (&story.updated, "the sensor stops following it"),
        _ => (&story.updated, "last change; it goes on"),
    };
    moments.push((clock(stamp), after(story.duration_seconds), what.to_owned(), "end"));
    let height = 16 + moments.len() * ROW + 8;
    let mut out = String::new();
    let _ = write!(
        out,
        "<line class=\"axis\" x1=\"190\" y1=\"20\" x2=\"190\" y2=\"{}\"/>",
        height.saturating_sub(20)
    );
    for (at, (clock, after, text, class)) in moments.iter().enumerate() {
        let y = 20 + at * ROW;
        if !class.is_empty() {
            let _ = write!(out, "<circle class=\"{class}\" cx=\"190\" cy=\"{y}\" r=\"5\"/>");
        }
        let _ = write!(
            out,
            "<text class=\"dim\" x=\"24\" y=\"{0}\">{1}</text><text class=\"dim\" x=\"176\" y=\"{0}\" text-anchor=\"end\">{2}</text>\
             <text x=\"208\" y=\"{0}\">{3}</text>",
            y + 4,
            escape(clock),
            escape(after),
            escape(&fit(text, (WIDTH - 228) / SMALL))
        );
    }
    (out, height)
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
