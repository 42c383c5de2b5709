//! An incident for a person at a terminal: a few lines of at most [`COLUMNS`] columns. No byte of a watched process gets
//! to the terminal but through `Text::for_terminal`.

use std::fmt::Write;

use crate::{
    detect::{Severity, Snapshot, State, Technique},
    model::{Container, Context, Direction, Host, Route, Text},
};

use super::{columns, describe, report::Report, time, typed::command_line};

/// The width of a line.
const COLUMNS: usize = 80;
/// Columns before a sentence, and those of a label with what is around it.
const INDENT: usize = 2;
const LABEL: usize = 14;
/// Commands shown at a time.
const COMMANDS_SHOWN: usize = 8;

pub(crate) const BOLD: &str = "\x1b[1m";
pub(crate) const DIM: &str = "\x1b[2m";
pub(crate) const RED: &str = "\x1b[1;31m";
pub(crate) const RESET: &str = "\x1b[0m";

/// A few lines, each ended by a newline, and an empty one. Escape sequences only with `colour`.
#[must_use]
pub fn human(report: &Report, colour: bool) -> String {
    let Report {
        id,
        incident,
        host,
        losses,
        coverage: _,
        context,
        closed,
    } = report;
    let mut out = String::new();
    let state = match (incident.state, incident.monitoring_ended, incident.update) {
        _ if closed.is_some() => "CLOSED",
        (State::Inactive, ..) => "ENDED",
        (State::Active, true, _) => "LEFT OPEN",
        (State::Active, false, 1) => "NEW",
        (State::Active, false, _) => "UPDATE",
    };
    let (paint, reset) = if colour {
        (paint(incident.severity), RESET)
    } else {
        ("", "")
    };
    let bold = if colour { BOLD } else { "" };
    let _ = writeln!(
        out,
        "{} {paint}{}{reset} {bold}{state}{reset} {} {}",
        time::of_day(incident.updated, host),
        incident.severity.name(),
        title(incident.technique),
        &id[..8],
    );
    for row in columns::wrapped(&describe::sentence(incident), COLUMNS - INDENT, usize::MAX) {
        let _ = writeln!(out, "{:INDENT$}{row}", "");
    }
    for socket in &incident.sockets {
        let arrow = match socket.direction {
            Direction::Outbound => "->",
            Direction::Inbound => "<-",
            Direction::Unknown => "--",
        };
        let text = format!("{} {} {arrow} {}", socket.transport, socket.local, socket.remote);
        line(&mut out, "connection", &text);
    }
    relays(&mut out, incident);
    let shell = &incident.shell;
    let label = if incident.technique.is_shell() {
        "shell"
    } else {
        "program"
    };
    line(
        &mut out,
        label,
        &format!(
            "{} {}",
            shell.process.pid,
            command_line(&shell.argv, shell.argv_truncated)
        ),
    );
    if !incident.ancestors().is_empty() {
        let chain: Vec<String> = incident
            .ancestors()
            .iter()
            .map(|ancestor| {
                format!(
                    "{} ({})",
                    describe::name(&ancestor.program, &ancestor.comm),
                    ancestor.process.pid
                )
            })
            .collect();
        line(&mut out, "started by", &chain.join(" < "));
    }
    place(&mut out, shell.container.as_ref(), context);
    commands(&mut out, incident, host);
    if let Some(lost) = describe::losses(*losses) {
        line(&mut out, "lost", &format!("{lost} since start"));
    }
    out.push('\n');
    out
}

/// Container, pod and resource, as far as they are known: a line each.
fn place(out: &mut String, container: Option<&Container>, context: &Context) {
    let mut add = |label: &str, words: &[Option<&str>]| {
        let words: Vec<&str> = words.iter().flatten().copied().collect();
        line(out, label, &Text::from(words.join(" ").as_str()).for_terminal());
    };
    if let Some(container) = container {
        let runtime = container.runtime.to_string();
        // As much of it as the runtimes' own lists show.
        let id: String = container.id.chars().take(12).collect();
        // A machine of systemd-nspawn has no other id than its name.
        let name = container.name.as_deref().filter(|name| *name != container.id);
        add(
            "container",
            &[Some(&runtime), name, Some(&id), container.image.as_deref()],
        );
    }
    if let Some(pod) = &context.pod {
        let (namespace, name) = (pod.namespace.as_deref(), pod.name.as_deref());
        add("pod", &[namespace, name.or(pod.uid.as_deref())]);
    }
    if let Some(cloud) = &context.cloud {
        add(
            "resource",
            &[Some(&cloud.kind), Some(&cloud.display_name), Some(&cloud.name)],
        );
    }
}

/// The ways between the peer and the shell, if others carry its streams: a line each, or one for both.
fn relays(out: &mut String, incident: &Snapshot) {
    let output = if incident.carried[1] { "stdout" } else { "stderr" };
    match (&incident.input_route, &incident.output_route) {
        (Some(input), Some(back)) if same_way(input, back) => {
            way(out, incident, input, "<->", &format!("stdin {output}"))
        }
        (input, back) => {
            for (route, arrow, stream) in [(input, "->", "stdin"), (back, "<-", output)] {
                if let Some(route) = route.as_ref().filter(|route| !route.hops.is_empty()) {
                    way(out, incident, route, arrow, stream);
                }
            }
        }
    }
}

/// Whether bytes go to and fro through the very same descriptors, as through a terminal's.
pub(crate) fn same_way(input: &Route, output: &Route) -> bool {
    input.socket.inode == output.socket.inode && !input.hops.is_empty() && input.hops == output.hops
}

/// One way, from the peer to the shell's `stream`, over several lines if need be.
fn way(out: &mut String, incident: &Snapshot, route: &Route, arrow: &str, stream: &str) {
    let mut parts = Vec::with_capacity(2 * route.hops.len() + 1);
    let mut peer = format!("{} {arrow} ", route.socket.remote);
    for hop in route.hops.iter().rev() {
        let name = describe::name(&hop.program, &hop.comm);
        let (pid, fd) = (hop.process.pid, hop.onward.fd);
        parts.push(format!("{}{name} (pid {pid}) fd {fd}", std::mem::take(&mut peer)));
        let kind = hop.kind.strip_suffix(" master").unwrap_or(&hop.kind);
        parts.push(format!("{kind} {}", hop.inode));
    }
    let shell = &incident.shell;
    let name = describe::name(&shell.program, &shell.comm);
    parts.push(format!("{name} (pid {}) {stream}", shell.process.pid));

    let parts = parts.into_iter().map(|part| (part, "")).collect();
    for (at, row) in columns::joined(parts, " | ", COLUMNS - LABEL).into_iter().enumerate() {
        let row: String = row.into_iter().map(|(text, _)| text).collect();
        line(out, if at == 0 { "way" } else { "" }, &row);
    }
}

/// The commands that came since the snapshot before.
fn commands(out: &mut String, incident: &Snapshot, host: &Host) {
    let new = usize::try_from(incident.new_commands).unwrap_or(usize::MAX);
    let shown = new.min(COMMANDS_SHOWN).min(incident.commands.len());
    // A technique without a shell counts the program shown above as its first command.
    let above = usize::from(!incident.technique.is_shell() && incident.update == 1);
    let hidden = new.saturating_sub(shown + above);
    if hidden > 0 {
        line(out, "commands", &format!("{hidden} earlier ones not shown"));
    }
    for command in &incident.commands[incident.commands.len() - shown..] {
        let text = format!(
            "{} {} {}",
            time::of_day(command.time, host),
            command.process.pid,
            command_line(&command.argv, command.argv_truncated)
        );
        line(out, "command", &text);
    }
}

pub(crate) fn title(technique: Technique) -> &'static str {
    match technique {
        Technique::ReverseShell => "reverse shell",
        Technique::BindShell => "bind shell",
        Technique::RemoteShell => "remote shell",
        Technique::InputOnlyShell => "shell fed by a socket",
        Technique::CommandLoop => "command loop",
        Technique::RemoteCommand => "program on a socket",
        Technique::InputOnlyCommand => "program fed by a socket",
    }
}

pub(crate) fn paint(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "\x1b[1;97;41m",
        Severity::High => RED,
        Severity::Medium => "\x1b[1;33m",
        Severity::Low => "\x1b[36m",
    }
}

/// One labelled line, cut at the edge.
fn line(out: &mut String, label: &str, text: &str) {
    out.push_str(&columns::fit(&format!("  {label:<11} {text}"), COLUMNS));
    out.push('\n');
}
