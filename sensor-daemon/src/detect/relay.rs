//! The rule for shells whose streams other processes carry to a socket. Owns what such a way is worth; [`super::trace`] finds
//! it.
//!
//! Two kinds of carriers. A *dedicated* one exists to carry these bytes: its own standard streams are the socket or
//! the shell's pipes (`nc`, `cat`, `script`, a program that has put the connection on its own streams), or it is a
//! known relay program. Then the chain is closed, and worth as much as a socket on the shell's own streams. A *general*
//! program (a node service, an editor, an agent) may hold a shell and a connection that have nothing to do with each other:
//! that takes more evidence.

use crate::model::{Direction, Exec, Hop, ProgramKind, Route, Socket, SocketState, Stream, Text};

use super::snapshot::{Link, Severity, Technique};

/// Nanoseconds after which a connection on which nobody has spoken is one that waits for its peer.
const SILENCE: u64 = 900_000_000;

/// The ways that a shell's input comes and its output goes.
#[derive(Clone, Debug)]
pub(super) struct Relay {
    pub(super) input: Route,
    pub(super) output: Option<Route>,
    /// What shows that a general program connects the two, as one sentence.
    pub(super) proof: Option<&'static str>,
}

/// When a shell is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It has just started, with these streams.
    Start,
    Later,
}

/// What a relayed shell is evidence of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worth {
    pub(super) severity: Severity,
    pub(super) technique: Technique,
    pub(super) direction: Direction,
    /// A general program holds shell and connection: what the connection delivers decides.
    pub(super) needs_proof: bool,
}

impl Relay {
    /// A relay of which only the input's way is known.
    pub(super) fn of_input(input: Route) -> Self {
        Self {
            input,
            output: None,
            proof: None,
        }
    }

    /// The output's way, if it belongs to the same takeover as the input's: `curl … | sh` in somebody's login session has its
    /// output on that session's connection.
    pub(super) fn answer(&self) -> Option<&Route> {
        let (input, output) = (&self.input.socket, self.output.as_ref()?);
        let same = input.inode == output.socket.inode
            || (input.direction == Direction::Outbound && output.socket.direction == Direction::Outbound)
            || input.remote == output.socket.remote;
        same.then_some(output)
    }

    /// Every process that carries bytes, those of the input first.
    pub(super) fn hops(&self) -> Vec<Hop> {
        let mut hops = self.input.hops.clone();
        for hop in self.answer().into_iter().flat_map(|output| &output.hops) {
            if hops.iter().all(|known| known.process != hop.process) {
                hops.push(hop.clone());
            }
        }
        hops
    }

    /// The sockets, the input's first.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        let answer = self.answer().map(|output| &output.socket);
        std::iter::once(&self.input.socket).chain(answer.filter(|socket| socket.inode != self.input.socket.inode))
    }

    /// What ties the shell to the socket.
    pub(super) fn link(&self) -> Link {
        let closed = self
            .answer()
            .is_none_or(|output| is_dedicated(&self.input) && is_dedicated(output));
        match (closed, self.proof) {
            (true, _) => Link::Carried,
            (false, Some(_)) => Link::Delivered,
            (false, None) => Link::Held,
        }
    }

    /// What was seen, in sentences.
    pub(super) fn evidence(&self) -> String {
        let mut evidence = self.ways();
        if let Some(proof) = self.proof {
            evidence.push(' ');
            evidence.push_str(proof);
        }
        evidence
    }

    fn ways(&self) -> String {
        let carrier = |route: &Route| {
            let names: Vec<String> = route.hops.iter().map(name).collect();
            match names.as_slice() {
                [] => String::from("is the socket itself"),
                names => format!("is carried by {}", names.join(" and ")),
            }
        };
        let input = carrier(&self.input);
        match self.answer() {
            Some(output) => {
                let output = carrier(output);
                if input == output {
                    format!(
                        "Its stdin and stdout: each {input}, to a network socket; it executes what it reads from stdin."
                    )
                } else {
                    format!(
                        "Its stdin {input}, its stdout {output}, to a network socket; it executes what it reads from stdin."
                    )
                }
            }
            None => format!("Its stdin {input}, from a network socket; it executes what it reads from stdin."),
        }
    }

    /// Which standard streams of the shell it carries.
    pub(super) fn carried(&self, exec: &Exec) -> [bool; 3] {
        let answer = self.answer().and_then(|_| answering(&exec.streams));
        [true, answer == Some(1), answer == Some(2)]
    }

    /// Whether the peer was the first to speak, or nobody has spoken after `waited` nanoseconds: a program that asks somebody
    /// something speaks first, and at once.
    pub(super) fn peer_leads(&self, waited: u64) -> bool {
        let socket = &self.input.socket;
        self.input.connections == 1
            && socket.state == SocketState::Connected
            && is_unused(socket)
            && (waited >= SILENCE || socket.bytes_received.unwrap_or(0) > 0)
    }

    /// Judges a shell that reads commands.
    pub(super) fn worth(&self, exec: &Exec, moment: Moment) -> Worth {
        let socket = &self.input.socket;
        let direction = match (socket.direction, self.answer()) {
            (Direction::Unknown, Some(output)) => output.socket.direction,
            (known, _) => known,
        };
        let worth = |severity, technique, needs_proof| Worth {
            severity,
            technique,
            direction,
            needs_proof,
        };
        let Some(output) = self.answer() else {
            return worth(Severity::Low, Technique::InputOnlyShell, false);
        };
        let technique = match direction {
            Direction::Outbound => Technique::ReverseShell,
            Direction::Inbound => Technique::BindShell,
            Direction::Unknown => Technique::RemoteShell,
        };
        if is_dedicated(&self.input) && is_dedicated(output) {
            let severity = if direction == Direction::Outbound {
                Severity::Critical
            } else {
                Severity::High
            };
            return worth(severity, technique, false);
        }
        // The connection was not used for anything before the shell started, and there is nothing else that it could be
        // for: whoever speaks a protocol with somebody (TLS, HTTP, a database's) has both sent and received by then. How it
        // was when the shell started, the parent's descriptors then tell.
        let then = exec
            .held
            .iter()
            .find(|held| held.inode == socket.inode)
            .unwrap_or(socket);
        let only = self.input.connections == 1;
        let untouched = moment == Moment::Start && is_unused(then) && is_bare(exec);
        // Nobody asks a shell behind pipes to be interactive unless for somebody far away.
        let interactive = direction == Direction::Outbound && is_interactive_on_pipes(exec);
        if only && (untouched || interactive) {
            worth(Severity::Medium, technique, true)
        } else {
            worth(Severity::Low, technique, true)
        }
    }
}

/// Whether a connection was not used for anything but, at most, a first line from the peer: no protocol's answer is that
/// short.
fn is_unused(socket: &Socket) -> bool {
    const LINE_MAX: u64 = 64;

    socket.bytes_sent.unwrap_or(0) == 0 || socket.bytes_received.unwrap_or(0) <= LINE_MAX
}

/// The number of the stream that a shell answers on, if somebody is at the other end: its output, else its errors.
pub(super) fn answering(streams: &[Stream; 3]) -> Option<usize> {
    [1, 2].into_iter().find(|&number| {
        let stream = &streams[number];
        stream.has_other_end() || stream.socket().is_some_and(Socket::has_peer)
    })
}

/// Whether a shell was started without anything else to do than read commands. Its arguments may only say how.
fn is_bare(exec: &Exec) -> bool {
    exec.argv.len() <= 4
}

/// Whether a shell was told to be interactive though there is no terminal: `sh -i`, `bash -li`.
fn is_interactive_on_pipes(exec: &Exec) -> bool {
    let is_flag = |argument: &Text| match argument.as_bytes() {
        b"--interactive" => true,
        [b'-', letters @ ..] => letters.contains(&b'i') && letters.iter().all(u8::is_ascii_alphabetic),
        _ => false,
    };
    let on_terminal = exec
        .streams
        .iter()
        .any(|stream| matches!(stream, Stream::Terminal { .. }));
    exec.program.kind == ProgramKind::Shell && !on_terminal && exec.argv.iter().skip(1).any(is_flag)
}

/// Whether the carrier that holds the socket exists for these bytes.
fn is_dedicated(route: &Route) -> bool {
    let Some(last) = route.hops.last() else { return true };
    route.fd <= 2 || (last.fd <= 2 && last.kind != "terminal") || last.program.kind == ProgramKind::Relay
}

/// A carrier, for a sentence.
fn name(hop: &Hop) -> String {
    let name = if hop.program.name.is_empty() {
        hop.comm.for_terminal()
    } else {
        Text::from(hop.program.name.as_str()).for_terminal()
    };
    format!(
        "{name} (pid {}, descriptor {}, {} {})",
        hop.process.pid, hop.fd, hop.kind, hop.inode
    )
}
