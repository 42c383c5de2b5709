//! A story as plain data: what `tell` makes of a report, and what `text`, `html` and `svg` draw. It imports neither.
//! `docs/reading.md` documents its JSON form, which changes only together with [`VERSION`].

use serde::Serialize;

use crate::{
    detect::{Severity, State},
    finding::typed,
    model::Text,
};

use super::shell::Line;

/// The version of the JSON form. It grows when a member changes its meaning or goes away, not when a member is added.
pub const VERSION: u32 = 1;
/// Most characters of one string.
const TEXT_MAX: usize = 1024;

/// A finding as it is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// [`VERSION`].
    pub version: u32,
    /// The finding's id.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it goes on.
    pub state: State,
    /// It went on when the sensor stopped following it.
    pub monitoring_ended: bool,
    /// What kind of takeover, in a few words.
    pub title: &'static str,
    /// The host's name.
    pub host: String,
    /// Container, unit or cgroup, as people know it.
    pub place: String,
    /// What happened, as one sentence.
    pub verdict: String,
    /// What was seen that proves it, as one sentence.
    pub evidence: String,
    /// When it began, RFC 3339.
    pub opened: String,
    /// When it last changed.
    pub updated: String,
    /// When it ended, if it did.
    pub ended: Option<String>,
    /// Seconds from its beginning to its end or last change.
    pub duration_seconds: f64,
    /// What it happened to.
    pub facts: Vec<Fact>,
    /// The ways from the peer to the shell.
    pub ways: Vec<Way>,
    /// The process tree, parents first.
    pub processes: Vec<Process>,
    /// The first and the newest commands, oldest first.
    pub commands: Vec<CommandRow>,
    /// How many of `commands` are the first ones. Commands that are not kept came after these.
    pub first_commands: usize,
    /// How many commands there were in all.
    pub command_count: u64,
    /// How the process is confined, with what is risky.
    pub posture: Vec<Property>,
    /// Other findings to look at: those of the same peer first, then the newest first.
    pub related: Vec<Related>,
    /// How many more of them there are.
    pub related_hidden: usize,
    /// Where to read on.
    pub logs: Vec<Step>,
    /// MITRE ATT&CK.
    pub mitre: Vec<Technique>,
    /// What to do now, in this order.
    pub steps: Vec<Step>,
}

/// A label and its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// One or two words.
    pub what: &'static str,
    /// The answer.
    pub value: String,
}

/// A program that was run through the takeover.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandRow {
    /// When, RFC 3339.
    pub time: String,
    /// The time of day in UTC, `03:48:05Z`.
    pub clock: String,
    /// Seconds since the finding opened.
    pub after: f64,
    /// Process id.
    pub pid: u32,
    /// Real user id.
    pub user_id: u32,
    /// As it could have been typed.
    pub command: String,
}

/// A technique of MITRE ATT&CK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Technique {
    /// `T1059.004`.
    pub id: &'static str,
    /// Its name and tactic.
    pub name: &'static str,
}

/// The direction in which bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Flow {
    /// From the peer to the shell.
    In,
    /// From the shell to the peer.
    Out,
    /// Both.
    Both,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The other party.
    Peer,
    /// A process that carries bytes.
    Relay,
    /// The shell or program at the end.
    Shell,
}

/// One place that bytes come through.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// What it is.
    pub part: Part,
    /// The peer's address, else the program's name.
    pub name: String,
    /// Process id.
    pub pid: Option<u32>,
    /// Its executable or arguments, or what is to be known of the peer.
    pub detail: String,
    /// What lies between it and the next node.
    pub link: Option<String>,
}

/// One way, from the peer to the shell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// The shell's streams at the end of it: `stdin, stdout`; or how else it gets there.
    pub streams: String,
    /// The direction in which bytes go through it.
    pub flow: Flow,
    /// At least two.
    pub nodes: Vec<Node>,
}

/// What a process has to do with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// It is above the shell, and no more.
    Ancestor,
    /// It carries the shell's streams.
    Relay,
    /// The shell, or the first command of a technique without one.
    Shell,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// How far below the first one it is.
    pub depth: usize,
    /// Process id, as the host numbers it.
    pub pid: u32,
    /// Its parent's.
    pub parent: Option<u32>,
    /// Real user id.
    pub user_id: Option<u32>,
    /// Its part.
    pub role: Role,
    /// What its program is.
    pub name: String,
    /// Its arguments, else its executable.
    pub command: String,
    /// When it started, RFC 3339; `None` where that is not known.
    pub started: Option<String>,
    /// The same in ticks of `/proc/PID/stat`.
    pub start_ticks: u64,
}

/// A property of how a process is confined.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Property {
    /// Which.
    pub what: &'static str,
    /// How it is.
    pub value: String,
    /// Why that makes things worse, if it does.
    pub risk: Option<&'static str>,
}

/// Another finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Related {
    /// Its id.
    pub id: String,
    /// When it opened, RFC 3339.
    pub opened: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it goes on.
    pub state: State,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Where.
    pub place: String,
    /// What it has in common: `same peer`, `same container`, `same unit`, `same peer and container`, `same peer and unit`.
    pub why: &'static str,
}

/// Something to do or to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What it is for.
    pub what: String,
    /// The commands, one after another. None if there is nothing to type.
    pub commands: Vec<Line>,
}

impl Step {
    pub(super) fn new(what: &str, commands: Vec<Line>) -> Self {
        Self {
            what: what.to_owned(),
            commands,
        }
    }
}

impl Story {
    /// The commands that about `most` rows have room for: the first ones, how many are left out after these, the newest ones.
    ///
    /// With 8 first ones of 32 and room for 4 rows, these are the first one, the count in a row of its own, and the newest two.
    pub(super) fn commands_shown(&self, most: usize) -> (&[CommandRow], u64, &[CommandRow]) {
        let (mut first, mut newest) = self
            .commands
            .split_at_checked(self.first_commands)
            .unwrap_or((&[], &self.commands));
        if self.commands.len() > most {
            first = &first[..first.len().min(most / 4)];
            let room = most - first.len() - usize::from(!first.is_empty());
            newest = &newest[newest.len().saturating_sub(room)..];
        }
        let shown = first.len() + newest.len();
        (first, self.command_count.saturating_sub(shown as u64), newest)
    }

    /// When it ended, or last changed if it goes on.
    pub(super) fn end(&self) -> &str {
        self.ended.as_ref().unwrap_or(&self.updated)
    }
}

/// A foreign string on one line, harmless and bounded.
pub(super) fn safe(text: &str) -> String {
    bounded(&Text::from(text).for_terminal())
}

/// A harmless string, bounded. XML has no such characters as the two that are replaced.
pub(super) fn bounded(text: &str) -> String {
    typed::cut(text, TEXT_MAX).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// A moment to the second, without the `T`.
pub(super) fn second(stamp: &str) -> String {
    let cut: String = stamp.chars().take(19).collect();
    format!("{}Z", cut.replace('T', " "))
}
