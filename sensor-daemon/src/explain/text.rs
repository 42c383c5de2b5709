//! A story for a terminal: no line is wider than [`COLUMNS`], and escape sequences come only from here.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::{
    detect::{Severity, State},
    finding::human,
};

use super::{
    advice::Step,
    processes::Role,
    shell::Line,
    story::Story,
    ways::{Flow, Part, Way},
};

/// The width of a line.
const COLUMNS: usize = 80;
/// Commands shown: what was done last matters most on one screen.
const COMMANDS_SHOWN: usize = 10;
/// Rows of a sentence and of a value: a hostile one is no longer.
const SENTENCE_ROWS: usize = 6;
const VALUE_ROWS: usize = 3;
/// Related findings shown.
const RELATED_SHOWN: usize = 5;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[1;31m";
const RESET: &str = "\x1b[0m";

/// The whole story. Escape sequences only with `colour`.
#[must_use]
pub fn text(story: &Story, colour: bool) -> String {
    let mut page = Page {
        out: String::new(),
        colour,
    };
    page.head(story);
    page.heading("The way");
    for way in &story.ways {
        page.way(way);
    }
    page.heading("Processes");
    page.processes(story);
    page.commands(story);
    page.heading("Where");
    for fact in &story.facts {
        page.labelled(fact.what, &fact.value, "");
    }
    if !story.posture.is_empty() {
        page.heading("Posture");
    }
    for property in &story.posture {
        let style = if property.risk.is_some() { RED } else { "" };
        let mark = if property.risk.is_some() { "! " } else { "" };
        let risk = property.risk.map(|risk| format!(": {risk}")).unwrap_or_default();
        page.labelled(property.what, &format!("{mark}{}{risk}", property.value), style);
    }
    page.related(story);
    page.heading("Logs");
    story.logs.iter().for_each(|step| page.step(step));
    page.heading("MITRE ATT&CK");
    for technique in &story.mitre {
        page.labelled(technique.id, technique.name, "");
    }
    page.heading("What to do now");
    story.steps.iter().for_each(|step| page.step(step));
    page.out
}

struct Page {
    out: String,
    colour: bool,
}

impl Page {
    /// One line, cut at the edge.
    fn line(&mut self, text: &str, style: &str) {
        let text = fit(text, COLUMNS);
        if self.colour && !style.is_empty() {
            self.out.push_str(&format!("{style}{text}{RESET}\n"));
        } else {
            self.out.push_str(text.trim_end());
            self.out.push('\n');
        }
    }

    fn heading(&mut self, text: &str) {
        self.out.push('\n');
        self.line(text, BOLD);
    }

    fn head(&mut self, story: &Story) {
        let state = match (story.state, story.monitoring_ended) {
            (State::Inactive, _) => "ended",
            (State::Active, true) => "left open when the sensor stopped",
            (State::Active, false) => "GOING ON",
        };
        let severity = story.severity.name();
        let rest = fit(
            &format!(" {}, {state}, on {}", story.title, story.host),
            COLUMNS - severity.len() - 2,
        );
        if self.colour {
            let paint = human::paint(story.severity);
            self.out
                .push_str(&format!("{paint} {severity} {RESET}{BOLD}{rest}{RESET}\n"));
        } else {
            self.out.push_str(&format!("{severity}{rest}\n"));
        }
        let end = story.ended.as_ref().unwrap_or(&story.updated);
        self.line(
            &format!("{}  {} to {}", story.id, second(&story.opened), second(end)),
            DIM,
        );
        self.out.push('\n');
        self.wrapped(&story.verdict, 0, "");
        if !story.evidence.is_empty() {
            self.wrapped(&format!("Seen: {}", story.evidence), 0, DIM);
        }
    }

    fn way(&mut self, way: &Way) {
        let arrow = match way.flow {
            Flow::In => "▼",
            Flow::Out => "▲",
            Flow::Both => "↕",
        };
        for node in &way.nodes {
            let pid = node.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            let (mark, style) = match node.part {
                Part::Peer => ("◆", RED),
                Part::Relay => ("○", ""),
                Part::Shell => ("●", BOLD),
            };
            let detail = if node.part == Part::Shell {
                format!("{}: {}", way.streams, node.detail)
            } else {
                node.detail.clone()
            };
            self.line(&format!("  {mark} {}{pid}  {detail}", fit(&node.name, 48)), style);
            if let Some(link) = &node.link {
                self.line(&format!("  {arrow}   {link}"), DIM);
            }
        }
    }

    fn processes(&mut self, story: &Story) {
        for process in &story.processes {
            let (role, style) = match process.role {
                Role::Shell => ("  <- taken over", BOLD),
                Role::Relay => ("  <- relay", ""),
                Role::Ancestor => ("", ""),
            };
            let branch = if process.depth == 0 { "" } else { "└ " };
            let indent = " ".repeat(2 + 2 * process.depth.min(16));
            let user = process.user_id.map(|uid| format!(" uid {uid}")).unwrap_or_default();
            let command = if process.command.is_empty() {
                &process.name
            } else {
                &process.command
            };
            let text = format!("{indent}{branch}{}{user}  {command}", process.pid);
            self.line(&format!("{}{role}", fit(&text, COLUMNS - role.len())), style);
        }
    }

    fn commands(&mut self, story: &Story) {
        let shown = story.commands.len().min(COMMANDS_SHOWN);
        let hidden = story.command_count.saturating_sub(shown as u64);
        self.heading(&format!("Commands ({})", story.command_count));
        if hidden > 0 {
            self.line(&format!("  {hidden} earlier ones not shown"), DIM);
        }
        for command in &story.commands[story.commands.len() - shown..] {
            self.line(
                &format!("  {} {:>7}  {}", command.clock, command.pid, command.command),
                "",
            );
        }
    }

    fn related(&mut self, story: &Story) {
        self.heading("Related findings");
        if story.related.is_empty() {
            self.line("  none in this store: no other of the same place or peer", "");
        }
        for related in story.related.iter().take(RELATED_SHOWN) {
            let id: String = related.id.chars().take(8).collect();
            let text = format!(
                "  {id} {} {:<8} {}: {}, {}",
                second(&related.opened),
                related.severity.name(),
                related.why,
                related.title,
                related.place
            );
            let style = if related.severity >= Severity::High { BOLD } else { "" };
            self.line(&text, style);
        }
        let more = story.related.len().saturating_sub(RELATED_SHOWN) + story.related_hidden;
        if more > 0 {
            self.line(
                &format!("  and {more} more: sensor-daemon findings --peer or --container"),
                DIM,
            );
        }
    }

    fn step(&mut self, step: &Step) {
        self.wrapped(&format!("- {}", step.what), 2, "");
        for command in &step.commands {
            self.command(command);
        }
    }

    /// A command to copy, over several lines if need be, so that it still is one to a shell.
    fn command(&mut self, command: &Line) {
        let mut row = String::from("   ");
        for word in &command.0 {
            if row.trim_start() != "" && row.width() + 1 + word.width() > COLUMNS - 2 {
                self.line(&format!("{row} \\"), "");
                row = String::from("     ");
            }
            row.push(' ');
            row.push_str(word);
        }
        self.line(&row, "");
    }

    fn labelled(&mut self, label: &str, value: &str, style: &str) {
        let text = format!("  {label:<13} {value}");
        let mut indent = 0;
        for row in bounded_rows(&text, COLUMNS, 16, VALUE_ROWS) {
            self.line(&format!("{}{row}", " ".repeat(indent)), style);
            indent = 16;
        }
    }

    fn wrapped(&mut self, text: &str, indent: usize, style: &str) {
        for row in bounded_rows(text, COLUMNS - indent, 0, SENTENCE_ROWS) {
            self.line(&format!("{}{row}", " ".repeat(indent)), style);
        }
    }
}

/// [`rows`], at most so many; the last one shows that there are more.
fn bounded_rows(text: &str, columns: usize, hang: usize, most: usize) -> Vec<String> {
    let mut rows = rows(text, columns, hang);
    if rows.len() > most {
        rows.truncate(most);
        if let Some(last) = rows.last_mut() {
            *last = format!("{}…", fit(last, columns - hang - 2).trim_end_matches('…'));
        }
    }
    rows
}

/// To the second, without the `T`.
pub(super) fn second(stamp: &str) -> String {
    let cut: String = stamp.chars().take(19).collect();
    format!("{}Z", cut.replace('T', " "))
}

/// Cuts harmless text to `columns`.
pub(super) fn fit(text: &str, columns: usize) -> String {
    // What takes no column could be endless.
    if text.width() <= columns && text.chars().count() <= 4 * columns {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 0);
    for (at, c) in text.chars().enumerate() {
        used += c.width().unwrap_or(0);
        if used + 1 > columns || at > 4 * columns {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// Breaks text at spaces, and a word that is wider than a row anywhere. Rows after the first are `hang` narrower.
fn rows(text: &str, columns: usize, hang: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    let mut row = String::new();
    let mut used = 0;
    for (at, word) in text.split(' ').enumerate() {
        let room = |rows: &Vec<String>| if rows.is_empty() { columns } else { columns - hang };
        let space = usize::from(at > 0 && (rows.is_empty() || !row.is_empty()));
        if used > 0 && used + space + word.width() > room(&rows) {
            rows.push(std::mem::take(&mut row));
            used = 0;
        } else if space > 0 {
            row.push(' ');
            used += 1;
        }
        for c in word.chars() {
            let width = c.width().unwrap_or(0);
            if used + width > room(&rows) {
                rows.push(std::mem::take(&mut row));
                used = 0;
            }
            row.push(c);
            used += width;
        }
    }
    rows.push(row);
    rows
}
