//! Everything that is told of a finding, in the order in which it is told. Pure: made of reports and nothing else.
//! `docs/reading.md` documents its JSON form, which changes only together with [`VERSION`].

use std::path::Path;

use serde::Serialize;

use crate::{
    detect::{Severity, State},
    finding::{Report, describe, human, time},
    model::{Losses, ProgramKind, Text},
};

use super::{
    advice::{self, Step},
    logs,
    posture::{self, Property},
    processes::{self, Process},
    related::{self, Related},
    ways::{self, Way},
};

/// Of the JSON form. Grows when a member changes its meaning or goes away, not when one is added.
pub const VERSION: u32 = 1;
/// Most characters of one string.
pub(super) const TEXT_MAX: usize = 1024;

/// A label and what is to be said under it.
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

/// A finding as it is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// [`VERSION`].
    pub version: u32,
    /// The finding's id.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// Whether it goes on.
    pub state: State,
    /// It goes on as far as is known, but nobody looks any more.
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
    /// Happened to what.
    pub facts: Vec<Fact>,
    /// From the peer to the shell.
    pub ways: Vec<Way>,
    /// The process tree, parents first.
    pub processes: Vec<Process>,
    /// The newest commands, oldest first.
    pub commands: Vec<CommandRow>,
    /// How many there were in all.
    pub command_count: u64,
    /// How the process is confined, with what is risky.
    pub posture: Vec<Property>,
    /// Other findings to look at, the newest first.
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

impl Story {
    /// The story of `report`. Of `others`, the related ones are told.
    #[must_use]
    pub fn new(report: &Report, others: &[Report]) -> Self {
        let Report {
            id,
            incident,
            host,
            losses: _,
            context: _,
            closed: _,
        } = report;
        let (related, related_hidden) = related::related(report, others);
        let processes = processes::processes(report);
        let stamp = |at| time::calendar(at, host).to_string();
        Self {
            version: VERSION,
            id: safe(id),
            severity: incident.severity,
            state: incident.state,
            monitoring_ended: incident.monitoring_ended,
            title: human::title(incident.technique),
            host: safe(&host.hostname),
            place: place(report),
            verdict: bounded(&describe::sentence(incident)),
            evidence: safe(&incident.evidence),
            opened: stamp(incident.opened),
            updated: stamp(incident.updated),
            ended: incident.ended.map(stamp),
            duration_seconds: seconds(incident.duration()),
            facts: facts(report),
            ways: ways::ways(report),
            commands: commands(report),
            command_count: incident.command_count,
            posture: posture::properties(report),
            related,
            related_hidden,
            logs: logs::logs(report),
            mitre: mitre(report),
            steps: advice::steps(report, &processes),
            processes,
        }
    }

    /// The same, told of a record in another directory than the usual one: commands that read it name that.
    #[must_use]
    pub fn kept_in(mut self, directory: &Path) -> Self {
        advice::of_record(&mut self.steps, &directory.to_string_lossy());
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds do")]
fn seconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 1_000) as f64 / 1e6
}

/// A foreign string on one line, harmless and bounded.
pub(super) fn safe(text: &str) -> String {
    bounded(&Text::from(text).for_terminal())
}

/// A harmless string, bounded.
pub(super) fn bounded(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Where it happened, as people know it: the container, else the unit, else the host.
pub(super) fn place(report: &Report) -> String {
    let shell = &report.incident.shell;
    if let Some(container) = &shell.container {
        let id: String = container.id.chars().take(12).collect();
        let name = container.name.as_deref().unwrap_or(&id);
        return safe(&format!("{} container {name}", container.runtime));
    }
    if shell.cgroup.leaf.is_empty() {
        return String::from("the host itself");
    }
    bounded(&shell.cgroup.leaf.for_terminal())
}

fn facts(report: &Report) -> Vec<Fact> {
    let (shell, context) = (&report.incident.shell, &report.context);
    let mut facts = Vec::new();
    let mut add = |what, value: String| {
        facts.push(Fact {
            what,
            value: bounded(&value),
        });
    };
    let path = |text: Option<&Text>| text.map_or_else(|| String::from("unknown"), Text::for_terminal);
    let file = &shell.executable;
    let mut binary = path(file.path.as_ref());
    for (marked, word) in [
        (file.memfd, "in memory only"),
        (file.deleted, "deleted"),
        (file.setuid, "set-uid"),
        (file.setgid, "set-gid"),
    ] {
        if marked {
            binary.push_str(&format!(" ({word})"));
        }
    }
    add("binary", binary);
    if let Some(digest) = &context.file {
        add("sha256", safe(&digest.sha256));
        add("size", format!("{} bytes", digest.size));
    }
    if let Some(script) = &shell.script {
        add("script", script.for_terminal());
    }
    if let Some(cwd) = &shell.cwd {
        add("directory", cwd.for_terminal());
    }
    let mut account = format!("user id {}", shell.credentials.uid);
    if let Some(known) = &context.account {
        if let Some(name) = &known.name {
            account = format!("{} ({account})", safe(name));
        }
        match (&known.login_name, known.login_uid) {
            (Some(name), _) => account.push_str(&format!(", logged in as {}", safe(name))),
            (None, Some(uid)) => account.push_str(&format!(", logged in as user id {uid}")),
            (None, None) => {}
        }
        if let Some(tty) = &known.tty {
            account.push_str(&format!(", terminal {}", safe(tty)));
        }
    }
    if shell.credentials.euid != shell.credentials.uid {
        account.push_str(&format!(", acts as user id {}", shell.credentials.euid));
    }
    add("account", account);
    match &shell.container {
        Some(container) => {
            add("runtime", container.runtime.to_string());
            add("container", safe(&container.id));
            if let Some(name) = &container.name {
                add("name", safe(name));
            }
            if let Some(image) = &container.image {
                add("image", safe(image));
            }
        }
        None if shell.cgroup.leaf.is_empty() => {}
        None => add("unit", shell.cgroup.leaf.for_terminal()),
    }
    if let Some(pod) = &context.pod {
        let parts: Vec<&str> = [&pod.namespace, &pod.name]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let uid = pod.uid.as_deref().unwrap_or_default();
        add("pod", safe(format!("{} {uid}", parts.join("/")).trim()));
    }
    add("kernel", safe(&report.host.kernel));
    if !context.addresses.is_empty() {
        let addresses: Vec<String> = context.addresses.iter().take(8).map(ToString::to_string).collect();
        add("addresses", addresses.join(" "));
    }
    if let Some(cloud) = &context.cloud {
        add("cloud", safe(&format!("{} {}", cloud.kind, cloud.display_name)));
    }
    let Losses {
        ring_full,
        runs_missed,
        read_failures,
        tracking_full,
        output_dropped,
    } = report.losses;
    let events = ring_full.saturating_add(runs_missed);
    if [events, read_failures, tracking_full, output_dropped]
        .iter()
        .any(|&count| count > 0)
    {
        add(
            "lost",
            format!(
                "{events} events, {read_failures} reads, {tracking_full} ends, {output_dropped} output lines since the \
                 sensor's start: something may be missing here"
            ),
        );
    }
    facts
}

fn commands(report: &Report) -> Vec<CommandRow> {
    let incident = &report.incident;
    let row = |command: &crate::detect::Command| CommandRow {
        time: time::calendar(command.time, &report.host).to_string(),
        clock: time::of_day(command.time, &report.host),
        after: seconds(command.time.since(incident.opened)),
        pid: command.process.pid,
        user_id: command.credentials.uid,
        command: bounded(&human::command_line(&command.argv, command.argv_truncated)),
    };
    incident.commands.iter().map(row).collect()
}

/// The same techniques as the finding itself names, by number.
fn mitre(report: &Report) -> Vec<Technique> {
    let mut techniques = vec![Technique {
        id: "T1059",
        name: "Command and Scripting Interpreter (Execution)",
    }];
    if report.incident.shell.program.kind != ProgramKind::Interpreter {
        techniques.push(Technique {
            id: "T1059.004",
            name: "Unix Shell (Execution)",
        });
    }
    techniques.push(Technique {
        id: "TA0011",
        name: "Command and Control (tactic)",
    });
    techniques
}
