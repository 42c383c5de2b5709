//! A story for a terminal: one screen, no line wider than [`COLUMNS`], escape sequences only from here. Everything but the
//! sentences and the commands to copy stands beside a label, which saves the rows that headings would take.

use unicode_width::UnicodeWidthStr as _;

use crate::{
    detect::{Severity, State},
    finding::{
        columns::{Span, fit, packed, wrapped},
        human::{self, BOLD, DIM, RED, RESET},
    },
};

use super::{
    shell::{COMMENT, Line, short},
    sketch,
    story::{CommandRow, Fact, Property, Related, Step, Story, second},
};

/// The width of a line.
const COLUMNS: usize = 80;
/// The width of the labels, and of what stands beside them: a SHA-256 with its name.
const LABELS: usize = 9;
const BESIDE: usize = COLUMNS - LABELS;
/// What a command to copy is indented by.
const INDENT: usize = 2;
/// Commands shown: the first one, if it is known, and the newest ones.
const COMMANDS_SHOWN: usize = 4;
/// Rows of related findings, with the one that counts the others.
const RELATED_ROWS: usize = 3;
/// Rows of a sentence and of a value: a hostile one is no longer.
const SENTENCE_ROWS: usize = 6;
const EVIDENCE_ROWS: usize = 2;
const VALUE_ROWS: usize = 2;
const PROPERTY_ROWS: usize = 1;

/// The whole story. Escape sequences only with `colour`.
#[must_use]
pub fn text(story: &Story, colour: bool) -> String {
    let mut page = Page {
        out: String::new(),
        colour,
    };
    page.head(story);
    page.section("Chain", sketch::chain(story, BESIDE));
    page.section("Tree", sketch::tree(story, BESIDE));
    page.commands(story);
    page.section(
        "Where",
        packed(story.facts.iter().map(fact).collect(), BESIDE, VALUE_ROWS),
    );
    page.section("Posture", packed(posture(&story.posture), BESIDE, PROPERTY_ROWS));
    page.section("Related", related(story));
    page.section("Logs", story.logs.iter().flat_map(log).collect());
    page.section("ATT&CK", packed(techniques(story), BESIDE, 1));
    page.steps(&story.steps);
    page.out
}

struct Page {
    out: String,
    colour: bool,
}

impl Page {
    fn line(&mut self, spans: &[Span]) {
        let mut line = String::new();
        let mut room = COLUMNS;
        for (text, style) in spans {
            let text = fit(text, room);
            room = room.saturating_sub(text.width());
            if self.colour && !style.is_empty() {
                line.push_str(&format!("{style}{text}{RESET}"));
            } else {
                line.push_str(&text);
            }
        }
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn head(&mut self, story: &Story) {
        let state = match (story.state, story.monitoring_ended) {
            (State::Inactive, _) => "ended",
            (State::Active, true) => "left open when the sensor stopped",
            (State::Active, false) => "GOING ON",
        };
        let severity = story.severity.name();
        let rest = format!(" {}, {state}, on {}", story.title, story.host);
        let severity = if self.colour {
            format!(" {severity} ")
        } else {
            severity.to_owned()
        };
        self.line(&[(severity, human::paint(story.severity)), (rest, BOLD)]);
        let times = format!("{}  {} to {}", story.id, second(&story.opened), second(story.end()));
        self.line(&[(times, DIM)]);
        for row in wrapped(&story.verdict, COLUMNS, SENTENCE_ROWS) {
            self.line(&[(row, "")]);
        }
        if !story.evidence.is_empty() {
            // The chain draws the rest of it.
            for row in wrapped(&format!("Seen: {}", story.evidence), COLUMNS, EVIDENCE_ROWS) {
                self.line(&[(row, DIM)]);
            }
        }
    }

    /// Rows, the first of them beside the label.
    fn section(&mut self, label: &str, rows: Vec<Vec<Span>>) {
        self.labelled(&[(label.to_owned(), BOLD)], rows);
    }

    /// Rows, each of the first ones beside a label.
    fn labelled(&mut self, labels: &[Span], rows: Vec<Vec<Span>>) {
        for (at, row) in rows.into_iter().enumerate() {
            let (label, style) = labels.get(at).map_or(("", ""), |(label, style)| (label, *style));
            let mut spans = vec![(format!("{:<LABELS$}", fit(label, LABELS - 1)), style)];
            spans.extend(row);
            self.line(&spans);
        }
    }

    fn commands(&mut self, story: &Story) {
        let (first, hidden, newest) = story.commands_shown(COMMANDS_SHOWN);
        let mut labels = vec![(String::from("Commands"), BOLD)];
        if hidden > 0 {
            labels.push((format!("of {}", story.command_count), DIM));
        }
        let row = |command: &CommandRow| {
            let time = format!("{} {:>7}  ", command.clock, command.pid);
            vec![(time, DIM), (command.command.clone(), "")]
        };
        let mut rows: Vec<Vec<Span>> = first.iter().map(row).collect();
        if hidden > 0 && !first.is_empty() {
            rows.push(vec![(format!("… {hidden} more …"), DIM)]);
        }
        rows.extend(newest.iter().map(row));
        if rows.is_empty() {
            rows.push(vec![(String::from("none"), DIM)]);
        }
        while rows.len() < labels.len() {
            rows.push(Vec::new());
        }
        self.labelled(&labels, rows);
    }

    /// What a shell takes as a whole: what each command is for is a comment.
    fn steps(&mut self, steps: &[Step]) {
        self.out.push('\n');
        self.line(&[
            (String::from("What to do now"), BOLD),
            (String::from(", as root on this host, in this order:"), ""),
        ]);
        for step in steps {
            let comment = format!("# {}", step.what);
            let commands: Vec<Vec<String>> = step
                .commands
                .iter()
                .map(|command| broken(command, COLUMNS - INDENT))
                .collect();
            let room =
                |rows: &Vec<String>| rows.len() == 1 && INDENT + rows[0].width() + 2 + comment.width() <= COLUMNS;
            let beside = commands.iter().position(room);
            if beside.is_none() {
                self.line(&[(format!("  {comment}"), DIM)]);
            }
            for (at, rows) in commands.into_iter().enumerate() {
                for row in rows {
                    let row = format!("{:INDENT$}{row}", "");
                    let gap = COLUMNS.saturating_sub(row.width());
                    let comment = if beside == Some(at) {
                        format!("{comment:>gap$}")
                    } else {
                        String::new()
                    };
                    self.line(&[(row, ""), (comment, DIM)]);
                }
            }
        }
    }
}

/// A command to copy, over several rows if need be, so that it still is one to a shell: also inside the quotes of `on`,
/// whose text a shell reads as well.
fn broken(command: &Line, columns: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = String::new();
    // Each row of a comment has to be one.
    let lead = command.0.first().filter(|word| *word == COMMENT);
    for word in &command.0 {
        if !matches!(row.trim_start(), "" | COMMENT) && row.width() + 1 + word.width() > columns - 2 {
            rows.push(format!("{row} \\"));
            row = lead.cloned().unwrap_or_else(|| String::from(" "));
        }
        if !row.is_empty() {
            row.push(' ');
        }
        row.push_str(word);
    }
    rows.push(row);
    rows
}

fn fact(fact: &Fact) -> Span {
    let value = match fact.what {
        "container" => short(&fact.value),
        // Its uid is in the path of its logs.
        "pod" => fact.value.split(' ').next().unwrap_or_default(),
        _ => &fact.value,
    };
    (format!("{} {value}", fact.what), "")
}

/// What is risky first, and marked. Why it is, the other formats say.
fn posture(properties: &[Property]) -> Vec<Span> {
    let (risky, fine): (Vec<&Property>, Vec<&Property>) =
        properties.iter().partition(|property| property.risk.is_some());
    let risky = risky
        .into_iter()
        .map(|property| (format!("! {} {}", property.what, property.value), RED));
    let fine = fine
        .into_iter()
        .map(|property| (format!("{} {}", property.what, property.value), ""));
    risky.chain(fine).collect()
}

fn related(story: &Story) -> Vec<Vec<Span>> {
    if story.related.is_empty() {
        return vec![vec![(
            String::from("none in this store: no other of the same place or peer"),
            DIM,
        )]];
    }
    let row = |related: &Related| {
        let id: String = related.id.chars().take(8).collect();
        let minute: String = second(&related.opened).chars().take(16).collect();
        // A row has no room for more.
        let why = related.why.replace(" and ", "/");
        // The same container has the same name, and so has the same unit.
        let place = if related.why == "same peer" {
            format!(", {}", related.place.replacen(" container ", " ", 1))
        } else {
            String::new()
        };
        let style = if related.severity >= Severity::High { BOLD } else { "" };
        vec![
            (format!("{id} {minute}Z "), DIM),
            (
                format!("{}: {why}{place}, {}", related.severity.name(), related.title),
                style,
            ),
        ]
    };
    let all = story.related.len() + story.related_hidden;
    let shown = if all > RELATED_ROWS { RELATED_ROWS - 1 } else { all };
    let mut rows: Vec<Vec<Span>> = story.related.iter().take(shown).map(row).collect();
    let more = all.saturating_sub(rows.len());
    if more > 0 {
        let text = format!("and {more} more: sensor-daemon findings --peer or --container");
        rows.push(vec![(text, DIM)]);
    }
    rows
}

/// A place to read on. Its commands say what they show, so its words are left out.
fn log(step: &Step) -> Vec<Vec<Span>> {
    if step.commands.is_empty() {
        return vec![vec![(step.what.clone(), "")]];
    }
    let rows = step.commands.iter().flat_map(|command| broken(command, BESIDE));
    rows.map(|row| vec![(row, "")]).collect()
}

/// A technique's name holds that of the one that it is part of.
fn techniques(story: &Story) -> Vec<Span> {
    let part = |id: &str| {
        let below = format!("{id}.");
        story.mitre.iter().any(|technique| technique.id.starts_with(&below))
    };
    let techniques = story.mitre.iter().filter(|technique| !part(technique.id));
    techniques
        .map(|technique| (format!("{} {}", technique.id, technique.name), ""))
        .collect()
}
