//! The sentences that findings say of an incident. No control character gets into them.

use crate::{
    detect::{Link, Snapshot, State, Technique},
    model::{Direction, Exec, Hop, Losses, Program, ProgramKind, Socket, Text},
};

use super::{time, typed};

/// Most characters of a foreign name in a sentence.
const NAME_MAX: usize = 120;
/// Most relays named in a sentence.
const RELAYS_MAX: usize = 3;

/// What happened, in one sentence on one line.
#[must_use]
pub fn sentence(incident: &Snapshot) -> String {
    let shell = who(&incident.shell);
    let connection = connection(incident);
    let both = match incident.link {
        Link::Streams => format!("{shell} has its input and output on {connection}"),
        Link::Carried => format!(
            "{shell} has its input and output carried by {} over {connection}",
            relays(&incident.relays)
        ),
        Link::Held => format!(
            "{shell} has its input and output held by {}, which holds {connection} as well",
            relays(&incident.relays)
        ),
        Link::Delivered => format!(
            "{shell} has its input and output held by {}, which passes on what {connection} delivers",
            relays(&incident.relays)
        ),
    };
    let perhaps = if incident.link == Link::Held { "perhaps " } else { "" };
    let what = match incident.technique {
        Technique::ReverseShell => format!("{both}: {perhaps}a reverse shell"),
        Technique::BindShell => format!("{both}: {perhaps}a bind shell"),
        Technique::RemoteShell => format!("{both}: {perhaps}a shell under remote control"),
        Technique::InputOnlyShell if incident.relays.is_empty() => {
            format!("{shell} reads its input from {connection}: it executes what the peer sends")
        }
        Technique::InputOnlyShell => format!(
            "{shell} reads its input, carried by {}, from {connection}: it executes what the peer sends",
            relays(&incident.relays)
        ),
        Technique::CommandLoop => {
            let runner = incident.shell.parent().map_or_else(
                || String::from("A program"),
                |parent| process(&parent.program, &parent.comm, parent.process.pid),
            );
            match incident.link {
                Link::Delivered => format!("{runner} runs what {connection} delivers, {shell} first: a command loop"),
                Link::Held => format!(
                    "{runner} holds {connection} and runs commands, {shell} first, though nothing shows that they came over \
                     it: perhaps a command loop"
                ),
                Link::Streams | Link::Carried => format!(
                    "{runner} reads {connection} and runs commands that answer to it, {shell} first: a command loop"
                ),
            }
        }
        Technique::RemoteCommand => {
            format!("{shell} has its input and output on {connection}: a program that the peer talks to directly")
        }
        Technique::InputOnlyCommand => format!("{shell} reads its input from {connection}"),
    };
    format!("{what}; {}.", course(incident))
}

/// Whether what runs is a UNIX shell or commands, and not the code of another interpreter.
pub(super) fn is_unix_shell(incident: &Snapshot) -> bool {
    incident.shell.program.kind != ProgramKind::Interpreter
}

/// How it went on.
fn course(incident: &Snapshot) -> String {
    let count = match (incident.technique.is_shell(), incident.command_count) {
        (true, 0) => String::from("no command was run through it"),
        (true, 1) => String::from("1 command was run through it"),
        (true, count) => format!("{count} commands were run through it"),
        (false, 1) => String::from("1 program was run on it"),
        (false, count) => format!("{count} programs were run on it"),
    };
    if incident.state == State::Inactive {
        format!("it ended after {}, and {count}", time::span(incident.duration()))
    } else if incident.monitoring_ended {
        format!("{count} until the sensor stopped following it")
    } else {
        format!("{count} so far")
    }
}

/// What the sensor has lost since its start, if anything.
pub(crate) fn losses(losses: Losses) -> Option<String> {
    let Losses {
        ring_full,
        runs_missed,
        read_failures,
        tracking_full,
        output_dropped,
    } = losses;
    let events = ring_full.saturating_add(runs_missed);
    let any = [events, read_failures, tracking_full, output_dropped] != [0; 4];
    any.then(|| format!("{events} events, {read_failures} reads, {tracking_full} ends, {output_dropped} output lines"))
}

/// The program, its file and process.
fn who(exec: &Exec) -> String {
    let mut words = name(&exec.program, &exec.comm);
    if let Some(script) = &exec.script {
        words.push_str(&format!(" running {}", shortened(script)));
    }
    let path = exec
        .executable
        .path
        .as_ref()
        .map_or_else(|| String::from("file unknown"), shortened);
    format!(
        "{words} ({path}, pid {}, user id {})",
        exec.process.pid, exec.credentials.uid
    )
}

/// The relays that carry the streams, from the shell to the socket.
fn relays(hops: &[Hop]) -> String {
    let mut names: Vec<String> = hops
        .iter()
        .take(RELAYS_MAX)
        .map(|hop| process(&hop.program, &hop.comm, hop.process.pid))
        .collect();
    match hops.len().saturating_sub(RELAYS_MAX) {
        0 => {}
        1 => names.push(String::from("another process")),
        more => names.push(format!("{more} other processes")),
    }
    match names.as_slice() {
        [] => String::from("another process"),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn process(program: &Program, comm: &Text, pid: u32) -> String {
    format!("{} (pid {pid})", name(program, comm))
}

/// A program's name for people: what it is, else what it calls itself.
pub(crate) fn name(program: &Program, comm: &Text) -> String {
    if program.name.is_empty() {
        shortened(comm)
    } else {
        shortened(&Text::from(program.name.as_str()))
    }
}

/// A foreign name, short enough for a sentence.
pub(super) fn shortened(text: &Text) -> String {
    typed::cut(&text.for_terminal(), NAME_MAX)
}

/// The connection that carries the streams, or both if input and output have one each.
fn connection(incident: &Snapshot) -> String {
    let routed = incident.input_route.as_ref().map(|route| &route.socket);
    let Some(primary) = routed.or(incident.primary()) else {
        return String::from("a network connection");
    };
    let answers = incident.output_route.iter().map(|route| &route.socket);
    let answer = answers
        .chain(incident.shell.streams[1..].iter().filter_map(|stream| stream.socket()))
        .find(|socket| socket.has_peer() && socket.inode != primary.inode);
    let one = one_connection(primary, incident.direction);
    match answer {
        Some(answer) if incident.carried[0] => {
            format!("{one} and {} for output", one_connection(answer, answer.direction))
        }
        _ => one,
    }
}

fn one_connection(socket: &Socket, direction: Direction) -> String {
    let Socket { transport, remote, .. } = socket;
    let here = if remote.is_loopback() {
        " (loopback: this host itself)"
    } else {
        ""
    };
    match direction {
        Direction::Outbound => format!("an outbound {transport} connection to {remote}{here}"),
        Direction::Inbound => format!("an inbound {transport} connection from {remote}{here}"),
        Direction::Unknown => format!("a network connection ({transport}) with {remote}{here}"),
    }
}
