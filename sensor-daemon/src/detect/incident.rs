//! One incident: its sockets, processes and commands, and the snapshot of them. Every part is bounded. [`super::incidents`]
//! decides what happens to it.
//!
//! The *shell* is the program that is the strongest evidence; all others are commands. Example: `tar` on a connection
//! opens the incident (MEDIUM, `tar` is the shell). Then `sh` executes on that connection: HIGH evidence, so `sh` becomes
//! the shell, and `tar` becomes the first command. What follows without being stronger evidence is a command.

use std::collections::BTreeMap;

use crate::model::{BootTime, Direction, Exec, ProcessId, Socket, SocketState, Stream};

use super::{
    commands::{COMMANDS_MAX, COMMANDS_MIN, Commands},
    inspector::Inspector,
    judgement::{Judgement, Proof},
    pacing::Pace,
    relay::Relay,
    snapshot::{Command, EndReason, Link, Severity, Snapshot, State, Technique, carried, cut_arguments},
};

/// Most processes followed of one incident.
pub(super) const PROCESSES_MAX: usize = 1024;
/// Most sockets of one incident.
pub(super) const SOCKETS_MAX: usize = 8;
/// Most processes asked about in one search; each may cost a walk through `/proc/PID/fd`.
const ASKED_MAX: usize = 64;

/// What a process has to do with an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It executed a program with one of the sockets among its streams.
    Executed,
    /// It had the socket open when its child executed a program.
    Holder,
}

/// What the search for a process that still has one of the sockets open came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HolderSearch {
    /// A process has a socket open.
    Found,
    /// None of those asked has, but there are more.
    Unfinished,
    /// No process has.
    NoHolder,
}

/// One incident.
#[derive(Debug)]
pub(super) struct Incident {
    pub(super) judgement: Judgement,
    pub(super) pace: Pace,
    /// The deadline that the engine has queued for it.
    pub(super) deadline: Option<BootTime>,
    /// When to search for holders of its sockets next.
    pub(super) search_at: BootTime,
    /// When that was done last.
    pub(super) searched: Option<BootTime>,
    /// It ended before, once at least.
    pub(super) ended_before: bool,
    pub(super) updated: BootTime,
    pub(super) ended: Option<(BootTime, EndReason)>,
    opened: BootTime,
    shell: Box<Exec>,
    evidence: String,
    commands: Commands,
    /// Every exec, the shell's among them.
    execs: u64,
    /// Command count in the last snapshot.
    commands_shown: u64,
    /// Snapshots given.
    updates: u64,
    sockets: Vec<(Socket, Open)>,
    processes: BTreeMap<ProcessId, Role>,
    /// How many of `processes` are [`Role::Executed`].
    executed: usize,
}

/// Whether a socket of an incident is still open, as far as is known.
type Open = bool;

impl Incident {
    pub(super) fn new(exec: Exec, judgement: Judgement, search_at: BootTime) -> Self {
        Self {
            pace: Pace::default(),
            deadline: None,
            search_at,
            searched: None,
            ended_before: false,
            updated: exec.time,
            ended: None,
            opened: exec.time,
            evidence: judgement.proof.evidence(&exec, judgement.technique),
            judgement,
            shell: kept(exec),
            commands: Commands::default(),
            execs: 1,
            commands_shown: 0,
            updates: 0,
            sockets: Vec::new(),
            processes: BTreeMap::new(),
            executed: 0,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.ended.is_none()
    }

    pub(super) fn severity(&self) -> Severity {
        self.judgement.severity
    }

    /// Takes another exec on its sockets, keeping at most `keep` commands; whether that raised the severity.
    pub(super) fn absorb(&mut self, exec: Exec, judgement: Option<Judgement>, keep: usize) -> bool {
        self.updated = self.updated.max(exec.time);
        let severity = self.judgement.severity;
        let stronger = judgement.filter(|judgement| judgement.strength() > self.judgement.strength());
        // A look caught it after it put the connection on its streams and before it executed what it did that for.
        if self.shell.running && self.shell.process == exec.process && !self.judgement.technique.is_shell() {
            if let Some(judgement) = stronger {
                self.evidence = judgement.proof.evidence(&exec, judgement.technique);
                self.judgement = judgement;
            } else if self.judgement.technique != Technique::CommandLoop {
                // It may have run for long as what it was.
                return self.absorb_command(exec, keep);
            }
            self.shell = kept(exec);
            return self.judgement.severity > severity;
        }
        let Some(judgement) = stronger else {
            return self.absorb_command(exec, keep);
        };
        self.execs += 1;
        self.evidence = judgement.proof.evidence(&exec, judgement.technique);
        let rose = judgement.severity > severity;
        self.judgement = judgement;
        let weaker = std::mem::replace(&mut self.shell, kept(exec));
        self.commands.push_oldest(Command::from(*weaker), keep);
        rose
    }

    /// Takes an exec that is no stronger evidence. The severity stays.
    fn absorb_command(&mut self, exec: Exec, keep: usize) -> bool {
        self.execs += 1;
        self.commands.push(Command::from(exec), keep);
        false
    }

    /// A program that counts as a command already turns out to be more; whether that raised the severity.
    pub(super) fn promote(&mut self, exec: Exec, judgement: Judgement) -> bool {
        if judgement.strength() <= self.judgement.strength() {
            return false;
        }
        let rose = judgement.severity > self.judgement.severity;
        self.evidence = judgement.proof.evidence(&exec, judgement.technique);
        self.judgement = judgement;
        if self.shell.process != exec.process {
            self.commands.remove(exec.process, exec.time);
            let weaker = std::mem::replace(&mut self.shell, kept(exec));
            self.commands.push_oldest(Command::from(*weaker), COMMANDS_MAX);
        }
        rose
    }

    /// Further proof for the shell that is known; whether that raised the severity.
    pub(super) fn raise(&mut self, severity: Severity, proof: &'static str) -> bool {
        let rose = severity > self.judgement.severity;
        self.judgement.severity = self.judgement.severity.max(severity);
        let relay = match &mut self.judgement.proof {
            Proof::Relay(relay) => Some(relay),
            _ => None,
        };
        if rose || relay.as_ref().is_some_and(|relay| relay.proof.is_none()) {
            self.evidence.push(' ');
            self.evidence.push_str(proof);
            if let Some(relay) = relay {
                relay.proof = Some(proof);
            }
        }
        rose
    }

    /// Takes note of a socket, or of its new state; whether it is one of the incident's now.
    pub(super) fn add_socket(&mut self, socket: &Socket) -> bool {
        if let Some((known, open)) = self.sockets.iter_mut().find(|(known, _)| known.inode == socket.inode) {
            *open |= socket.has_peer();
            known.state = socket.state;
            known.bytes_received = socket.bytes_received.max(known.bytes_received);
            if known.direction == Direction::Unknown {
                known.direction = socket.direction;
            }
            return true;
        }
        let room = self.sockets.len() < SOCKETS_MAX && socket.has_peer();
        if room {
            self.sockets.push((socket.clone(), true));
        }
        room
    }

    /// Whether `socket` is the connection that this incident knows under its inode number, not one that came later.
    pub(super) fn is_same_connection(&self, socket: &Socket) -> bool {
        let identity = |socket: &Socket| {
            (
                socket.inode,
                socket.netns,
                socket.transport,
                socket.local,
                socket.remote,
            )
        };
        self.sockets
            .iter()
            .any(|(known, _)| identity(known) == identity(socket))
    }

    /// Takes note that a socket closed; whether another one is open.
    pub(super) fn close_socket(&mut self, inode: u64) -> bool {
        for (socket, open) in &mut self.sockets {
            if socket.inode == inode {
                *open = false;
                socket.state = SocketState::Unconnected;
            }
        }
        self.sockets.iter().any(|&(_, open)| open)
    }

    /// Inode numbers of all its sockets.
    pub(super) fn inodes(&self) -> impl Iterator<Item = u64> + '_ {
        self.sockets.iter().map(|(socket, _)| socket.inode)
    }

    /// Follows a process; whether there was room.
    pub(super) fn add_process(&mut self, process: ProcessId, role: Role) -> bool {
        let full = self.processes.len() >= PROCESSES_MAX;
        match self.processes.get_mut(&process) {
            Some(known) => {
                if *known == Role::Holder && role == Role::Executed {
                    *known = role;
                    self.executed += 1;
                }
            }
            None if full => return false,
            None => {
                self.processes.insert(process, role);
                self.executed += usize::from(role == Role::Executed);
            }
        }
        true
    }

    /// Removes a process that ended.
    pub(super) fn remove_process(&mut self, process: ProcessId) {
        if self.processes.remove(&process) == Some(Role::Executed) {
            self.executed -= 1;
        }
    }

    /// Removes all processes, and returns them.
    pub(super) fn take_processes(&mut self) -> impl Iterator<Item = ProcessId> + use<> {
        self.executed = 0;
        std::mem::take(&mut self.processes).into_keys()
    }

    /// How many processes that executed a program on its sockets live.
    pub(super) fn executed(&self) -> usize {
        self.executed
    }

    /// How many processes are followed.
    pub(super) fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Asks whether a process still has a socket of it open. Those that have none are removed and put into `gone`.
    pub(super) fn search_holders(&mut self, inspector: &dyn Inspector, gone: &mut Vec<ProcessId>) -> HolderSearch {
        let open = || {
            self.sockets
                .iter()
                .filter(|&&(_, open)| open)
                .map(|(socket, _)| socket.inode)
        };
        let mut found = false;
        for &process in self.processes.keys().take(ASKED_MAX) {
            found = match self.judgement.proof {
                // The socket is somebody else's.
                Proof::Relay(_) => inspector.is_alive(process),
                _ => open().any(|inode| inspector.holds_socket(process, inode)),
            };
            if found {
                break;
            }
            gone.push(process);
        }
        for &process in gone.iter() {
            self.remove_process(process);
        }
        match (found, self.processes.is_empty()) {
            (true, _) => HolderSearch::Found,
            (false, false) => HolderSearch::Unfinished,
            (false, true) => HolderSearch::NoHolder,
        }
    }

    /// The snapshot that is owed when the incident will be followed no longer: it is open, or has something left to say.
    pub(super) fn final_snapshot(&mut self) -> Option<Snapshot> {
        let owed = self.is_active() || self.pace.due().is_some();
        (owed && self.pace.has_emitted()).then(|| Snapshot {
            monitoring_ended: self.is_active(),
            ..self.snapshot()
        })
    }

    /// The incident as it stands; the next one starts counting from here.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        // Exhaustive, so that a new field can't be forgotten.
        let Judgement {
            severity,
            technique,
            direction,
            ref proof,
        } = self.judgement;
        let (relay, link) = match proof {
            Proof::Streams => (None, Link::Streams),
            Proof::Relay(relay) => (Some(relay), relay.link()),
            Proof::Delivered(_) => (None, Link::Delivered),
            Proof::ParentHolds(_) => (None, Link::Held),
        };
        let carried = relay.map_or_else(|| carried(&self.shell.streams), |relay| relay.carried(&self.shell));
        let command_count = self.execs - u64::from(technique.is_shell());
        let new_commands = command_count.saturating_sub(self.commands_shown);
        self.commands_shown = command_count;
        self.updates += 1;
        Snapshot {
            update: self.updates,
            state: if self.is_active() {
                State::Active
            } else {
                State::Inactive
            },
            severity,
            technique,
            // The kernel may have learnt it since.
            direction: match direction {
                Direction::Unknown => self.sockets.first().map_or(direction, |(socket, _)| socket.direction),
                known => known,
            },
            opened: self.opened,
            updated: self.ended.map_or(self.updated, |(at, _)| at.max(self.updated)),
            ended: self.ended.map(|(at, _)| at),
            end_reason: self.ended.map(|(_, reason)| reason),
            shell: Exec::clone(&self.shell),
            commands: self.commands.to_vec(),
            first_commands: self.commands.first(),
            omitted: self.commands.omitted(),
            command_count,
            new_commands,
            sockets: self.sockets.iter().map(|(socket, _)| socket.clone()).collect(),
            carried,
            link,
            relays: relay.map(|relay| relay.hops()).unwrap_or_default(),
            input_route: relay.map(|relay| relay.input.clone()),
            output_route: relay.and_then(|relay| relay.answer()).cloned(),
            loopback: self.sockets.iter().all(|(socket, _)| socket.remote.is_loopback()),
            evidence: self.evidence.clone(),
            monitoring_ended: false,
        }
    }

    /// Keeps as few commands as possible: what was shown, and may never be shown again, needs no memory.
    pub(super) fn shrink(&mut self) {
        self.commands.shrink(COMMANDS_MIN);
    }

    #[cfg(test)]
    pub(super) fn commands(&self) -> usize {
        self.commands.kept()
    }
}

/// An exec as it is kept of a shell. Its ancestors' arguments are cut, but not so short that findings, which show
/// [`Command::ARGV_MAX`] bytes, could not tell that something is missing.
fn kept(mut exec: Exec) -> Box<Exec> {
    for ancestor in &mut exec.ancestors {
        cut_arguments(&mut ancestor.argv, 2 * Command::ARGV_MAX);
    }
    Box::new(exec)
}

/// The processes and sockets that an exec ties to an incident.
pub(super) struct Ties {
    pub(super) process: ProcessId,
    /// The parent, if it has one of the sockets open.
    pub(super) holder: Option<ProcessId>,
    /// At most one for each stream, the input first.
    pub(super) sockets: Vec<Socket>,
}

impl Ties {
    /// A process without sockets of its own.
    pub(super) fn of_process(process: ProcessId) -> Self {
        Self {
            process,
            holder: None,
            sockets: Vec::new(),
        }
    }

    /// A shell, and the sockets that its streams are carried to.
    pub(super) fn of_relay(process: ProcessId, relay: &Relay) -> Self {
        Self {
            sockets: relay.sockets().cloned().collect(),
            ..Self::of_process(process)
        }
    }

    pub(super) fn of(exec: &Exec) -> Self {
        let mut sockets: Vec<Socket> = Vec::with_capacity(3);
        for socket in exec.streams.iter().filter_map(Stream::socket) {
            if sockets.iter().all(|other| other.inode != socket.inode) {
                sockets.push(socket.clone());
            }
        }
        let held = sockets
            .iter()
            .any(|socket| socket.has_peer() && socket.parent_fd.is_some());
        let holder = exec.parent().filter(|_| held).map(|parent| parent.process);
        Self {
            process: exec.process,
            holder,
            sockets,
        }
    }
}
