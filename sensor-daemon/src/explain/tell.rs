//! Makes a story of a report and of others around it. Pure: it reads nothing else.

use std::path::Path;

use crate::{
    finding::{Closed, Report, describe, human, time, typed},
    model::{BootTime, Credentials, ProcessId, ProgramKind, Text},
};

use super::{
    advice, facts, logs, posture, processes, related,
    story::{CommandRow, Story, Technique, VERSION, bounded, safe},
    ways,
};

impl Story {
    /// The story of `report`. Those of `others` that are related to it are told with it.
    #[must_use]
    pub fn new(report: &Report, others: &[Report]) -> Self {
        let incident = &report.incident;
        let (related, related_hidden) = related::related(report, others);
        let processes = processes::processes(report);
        let (commands, first_commands) = commands(report);
        let stamp = |at| time::calendar(at, &report.host).to_string();
        Self {
            version: VERSION,
            id: safe(&report.id),
            severity: incident.severity,
            state: incident.state,
            monitoring_ended: incident.monitoring_ended,
            title: human::title(incident.technique),
            host: safe(&report.host.hostname),
            place: facts::place(report),
            verdict: bounded(&verdict(report)),
            evidence: safe(&incident.evidence),
            opened: stamp(incident.opened),
            updated: stamp(incident.updated),
            ended: incident.ended.map(stamp),
            duration_seconds: seconds(incident.duration()),
            facts: facts::facts(report),
            ways: ways::ways(report),
            commands,
            first_commands,
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

    /// The story with commands that read the record in `directory`, where that is not the usual one.
    #[must_use]
    pub fn kept_in(mut self, directory: &Path) -> Self {
        advice::of_record(&mut self.steps, &directory.to_string_lossy());
        self
    }
}

/// What happened, and whether somebody has dealt with it.
fn verdict(report: &Report) -> String {
    let sentence = describe::sentence(&report.incident);
    match &report.closed {
        None => sentence,
        Some(Closed { reason: None, .. }) => format!("{sentence} The finding was closed."),
        Some(Closed {
            reason: Some(reason), ..
        }) => format!("{sentence} The finding was closed: {reason}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds do")]
fn seconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 1_000) as f64 / 1e6
}

/// The commands, and how many of them are the first ones.
///
/// A technique without a shell counts the program that was seen first as its first command, and has it as `shell`. So a command
/// loop that has run one program has one command.
fn commands(report: &Report) -> (Vec<CommandRow>, usize) {
    let incident = &report.incident;
    let shell = &incident.shell;
    let row = |time: BootTime, process: ProcessId, credentials: &Credentials, argv: &[Text], truncated| CommandRow {
        time: time::calendar(time, &report.host).to_string(),
        clock: time::of_day(time, &report.host),
        after: seconds(time.since(incident.opened)),
        pid: process.pid,
        user_id: credentials.uid,
        command: bounded(&typed::command_line(argv, truncated)),
    };
    let mut rows = Vec::new();
    if !incident.technique.is_shell() {
        rows.push(row(
            incident.opened,
            shell.process,
            &shell.credentials,
            &shell.argv,
            shell.argv_truncated,
        ));
    }
    let first = rows.len() + incident.first_commands;
    rows.extend(incident.commands.iter().map(|command| {
        row(
            command.time,
            command.process,
            &command.credentials,
            &command.argv,
            command.argv_truncated,
        )
    }));
    (rows, first)
}

/// The techniques that the finding itself names by number.
fn mitre(report: &Report) -> Vec<Technique> {
    let shell = (report.incident.shell.program.kind != ProgramKind::Interpreter).then_some(Technique {
        id: "T1059.004",
        name: "Unix Shell (Execution)",
    });
    let mut techniques = vec![Technique {
        id: "T1059",
        name: "Command and Scripting Interpreter (Execution)",
    }];
    techniques.extend(shell);
    techniques.push(Technique {
        id: "TA0011",
        name: "Command and Control (tactic)",
    });
    techniques
}
