//! The rule: what one exec, by itself, is evidence of. Owns the table of severities; knows nothing of incidents, which
//! [`super::engine`] keeps.
//!
//! A stream counts only while it is a network socket with a peer. A listening socket as stdin (FastCGI), one that was
//! never connected, a UNIX socket: none of them lets anybody else in.

use crate::model::{Direction, Exec, ProgramKind, Socket, Stream};

use super::{
    argv,
    snapshot::{self, Severity, Technique},
};

/// What an exec is evidence of.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    /// A takeover.
    Takeover(Takeover<'a>),
    /// A program that serves a connection which this host accepted, as its server meant it to.
    Service,
    /// Nothing.
    Nothing,
}

/// Evidence of a takeover.
#[derive(Debug)]
pub(super) struct Takeover<'a> {
    pub(super) severity: Severity,
    pub(super) technique: Technique,
    pub(super) direction: Direction,
    /// What identifies the takeover: the input if it is a socket, else the output.
    pub(super) primary: &'a Socket,
}

/// Judges one exec. `served` tells whether a program that serves this socket's connection is among its ancestors.
pub(super) fn judge(exec: &Exec, served: impl Fn(&Socket) -> bool) -> Verdict<'_> {
    let [input, output, error] = exec.streams.each_ref().map(counted);
    let Some(primary) = input.or(output).or(error) else {
        return Verdict::Nothing;
    };
    if input.is_none() {
        return judge_output(exec, served);
    }
    let answer = output.or(error);
    let direction = match (primary.direction, answer) {
        (Direction::Unknown, Some(answer)) => answer.direction,
        (known, _) => known,
    };
    let found = |severity, technique| {
        Verdict::Takeover(Takeover {
            severity,
            technique,
            direction,
            primary,
        })
    };
    if argv::reads_commands(exec) {
        return match (answer.is_some(), direction) {
            (true, Direction::Outbound) => found(Severity::Critical, Technique::ReverseShell),
            (true, Direction::Inbound) => found(Severity::High, Technique::BindShell),
            (true, Direction::Unknown) => found(Severity::High, Technique::RemoteShell),
            (false, Direction::Outbound) => found(Severity::High, Technique::InputOnlyShell),
            (false, _) => found(Severity::Medium, Technique::InputOnlyShell),
        };
    }
    if answer.is_some() && direction == Direction::Outbound && exec.running && exec.program.kind == ProgramKind::Shell {
        // It has put the connection on its own streams, whatever it was started for.
        return found(Severity::High, Technique::ReverseShell);
    }
    if answer.is_some() && direction == Direction::Outbound && run_by_loop(exec).is_some_and(|looped| looped.by_text) {
        return found(Severity::High, Technique::CommandLoop);
    }
    let (severity, technique) = match (answer.is_some(), direction) {
        (true, Direction::Outbound) => (Severity::Medium, Technique::RemoteCommand),
        (false, Direction::Outbound) => (Severity::Low, Technique::InputOnlyCommand),
        // sshd's re-exec, inetd, socket activation, a CGI script.
        (_, Direction::Inbound | Direction::Unknown) => return Verdict::Service,
    };
    // A tunnel may end on loopback, so a shell there counts in full; other programs talk to themselves all day.
    found(
        if is_loopback(exec) {
            severity.lowered()
        } else {
            severity
        },
        technique,
    )
}

/// Only output is a socket: nothing, unless it is a command that a loop runs.
fn judge_output(exec: &Exec, served: impl Fn(&Socket) -> bool) -> Verdict<'_> {
    let Some(Loop { socket, by_text }) = run_by_loop(exec) else {
        return Verdict::Nothing;
    };
    if socket.direction != Direction::Outbound && served(socket) {
        return Verdict::Service;
    }
    Verdict::Takeover(Takeover {
        severity: if by_text { Severity::High } else { Severity::Low },
        technique: Technique::CommandLoop,
        direction: socket.direction,
        primary: socket,
    })
}

/// Somebody reads commands from a connection and runs them with their output on it.
struct Loop<'a> {
    socket: &'a Socket,
    /// By a program that executes text.
    by_text: bool,
}

/// Evidence of a loop: the parent holds the connection as well, and something was received on it.
fn run_by_loop(exec: &Exec) -> Option<Loop<'_>> {
    let (socket, parent) = held_by_parent(exec).zip(exec.parent())?;
    let was_read = match socket.bytes_received {
        Some(bytes) => bytes > 0,
        // Nothing counts here: a program that only sends (`logger`, a metric pusher) rarely sends its errors too.
        None => {
            let on = |stream: &Stream| counted(stream).is_some_and(|other| other.inode == socket.inode);
            on(&exec.streams[1]) && on(&exec.streams[2])
        }
    };
    was_read.then(|| Loop {
        socket,
        by_text: parent.program.executes_text(),
    })
}

/// The output that the parent has open too.
fn held_by_parent(exec: &Exec) -> Option<&Socket> {
    exec.streams[1..]
        .iter()
        .filter_map(counted)
        .find(|socket| socket.parent_fd.is_some())
}

/// The stream's socket, if it counts.
fn counted(stream: &Stream) -> Option<&Socket> {
    stream.socket().filter(|socket| socket.has_peer())
}

fn is_loopback(exec: &Exec) -> bool {
    exec.streams
        .iter()
        .filter_map(counted)
        .all(|socket| socket.remote.is_loopback())
}

/// What was seen, as one sentence. Only for evidence that is adopted: it allocates.
pub(super) fn evidence(exec: &Exec, technique: Technique) -> String {
    let names: Vec<&str> = ["stdin", "stdout", "stderr"]
        .into_iter()
        .zip(snapshot::carried(&exec.streams))
        .filter_map(|(name, carried)| carried.then_some(name))
        .collect();
    let streams = match names.as_slice() {
        [] => String::from("None of its streams"),
        [only] => format!("Its {only}"),
        [first @ .., last] => format!("Its {} and {last}", first.join(", ")),
    };
    let verb = if names.len() > 1 { "are" } else { "is" };
    let rest = match technique {
        Technique::ReverseShell | Technique::BindShell | Technique::RemoteShell | Technique::InputOnlyShell => {
            String::from("and it executes what it reads from stdin")
        }
        Technique::RemoteCommand | Technique::InputOnlyCommand => {
            String::from("and it runs a program of its own, not the peer's commands")
        }
        Technique::CommandLoop => {
            let socket = held_by_parent(exec);
            let descriptor = socket.and_then(|socket| socket.parent_fd).unwrap_or_default();
            let received = socket.and_then(|socket| socket.bytes_received);
            let received = received
                .map(|bytes| format!(" {bytes} bytes came in on it before."))
                .unwrap_or_default();
            return format!(
                "{streams} {verb} a network socket that its parent has open as descriptor {descriptor}.{received}"
            );
        }
    };
    format!("{streams} {verb} a network socket, {rest}.")
}
