//! What the engine hands out: snapshots of incidents. Plain data with a few derived properties; `finding/` turns it
//! into text and JSON.

use serde::{Deserialize, Serialize};

use crate::model::{
    Ancestor, BootTime, Credentials, Direction, Exec, Executable, Hop, ProcessId, Program, Route, Socket, Stream, Text,
};

/// How bad an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// Seen in ordinary work too.
    Low,
    /// A program is driven by a peer; it may be meant to be.
    Medium,
    /// A peer's commands are executed.
    High,
    /// A reverse shell.
    Critical,
}

impl Severity {
    /// The level below; `Low` has none and stays.
    #[must_use]
    pub fn lowered(self) -> Self {
        match self {
            Self::Critical => Self::High,
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
        }
    }

    /// Its name as Security Command Center writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Whether an incident goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// It goes on, as far as is known.
    Active,
    /// It is over.
    Inactive,
}

/// What kind of takeover it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Technique {
    /// A shell whose input and output are a connection that this host opened.
    ReverseShell,
    /// A shell whose input and output are a connection that this host accepted.
    BindShell,
    /// A shell whose input and output are a connection of unknown origin.
    RemoteShell,
    /// A shell that executes what a connection delivers and answers elsewhere.
    InputOnlyShell,
    /// A program reads a connection and runs commands that answer to it.
    CommandLoop,
    /// A program other than a shell has its input and output on a connection.
    RemoteCommand,
    /// A program other than a shell has its input on a connection.
    InputOnlyCommand,
}

impl Technique {
    /// Whether a shell or interpreter takes commands from the peer, so that what follows is run through it.
    #[must_use]
    pub fn is_shell(self) -> bool {
        matches!(
            self,
            Self::ReverseShell | Self::BindShell | Self::RemoteShell | Self::InputOnlyShell
        )
    }

    /// Its name in findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReverseShell => "reverse_shell",
            Self::BindShell => "bind_shell",
            Self::RemoteShell => "remote_shell",
            Self::InputOnlyShell => "input_only_shell",
            Self::CommandLoop => "command_loop",
            Self::RemoteCommand => "remote_command",
            Self::InputOnlyCommand => "input_only_command",
        }
    }
}

/// What ties a program to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Link {
    /// Its standard streams are the connection.
    Streams,
    /// Other processes carry its streams to the connection, and do nothing else.
    Carried,
    /// Another process holds the connection and either the other ends of its streams or runs it. Nothing shows that one has
    /// to do with the other.
    Held,
    /// The same, and the connection delivered what was executed.
    Delivered,
}

impl Link {
    /// Its name in findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Carried => "carried",
            Self::Held => "held",
            Self::Delivered => "delivered",
        }
    }
}

/// Why an incident is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndReason {
    /// The last process on its sockets ended.
    ProcessesEnded,
    /// Its last socket closed.
    SocketsClosed,
    /// A look at its processes found none that still has one of its sockets open.
    NoHolderFound,
}

impl EndReason {
    /// Its name in findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ProcessesEnded => "processes_ended",
            Self::SocketsClosed => "sockets_closed",
            Self::NoHolderFound => "no_holder_found",
        }
    }
}

/// A program that was run on an incident's sockets: an [`Exec`] without what the incident knows already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// When.
    pub time: BootTime,
    /// The process.
    pub process: ProcessId,
    /// Its parent, while that was known.
    pub parent: Option<u32>,
    /// The kernel's short name of it.
    pub comm: Text,
    /// Who it ran as.
    pub credentials: Credentials,
    /// The executed file.
    pub executable: Executable,
    /// What the executed file is.
    pub program: Program,
    /// The script, if an interpreter ran one.
    pub script: Option<Text>,
    /// Arguments, at most [`Command::ARGV_MAX`] bytes of them.
    pub argv: Vec<Text>,
    /// More arguments, or more of the last one, existed.
    pub argv_truncated: bool,
}

impl Command {
    /// Most bytes of arguments kept of one command: thirty-two of them have to fit a line.
    pub const ARGV_MAX: usize = 512;
}

impl From<Exec> for Command {
    fn from(exec: Exec) -> Self {
        let parent = exec.parent().map(|parent| parent.process.pid);
        let Exec {
            time,
            process,
            comm,
            credentials,
            executable,
            program,
            script,
            mut argv,
            mut argv_truncated,
            ..
        } = exec;
        argv_truncated |= cut_arguments(&mut argv, Self::ARGV_MAX);
        Self {
            time,
            process,
            parent,
            comm,
            credentials,
            executable,
            program,
            script,
            argv,
            argv_truncated,
        }
    }
}

/// Cuts a list of arguments to `room` bytes; whether something is missing now.
pub(super) fn cut_arguments(argv: &mut Vec<Text>, mut room: usize) -> bool {
    for at in 0..argv.len() {
        if argv[at].0.len() > room {
            // Never in the middle of a character, so that cutting alone doesn't make text invalid.
            let cut = (0..=room)
                .rev()
                .find(|&cut| argv[at].0[cut] & 0xc0 != 0x80)
                .unwrap_or(0);
            argv[at].0.truncate(cut);
            argv[at].0.shrink_to_fit();
            argv.truncate(at + usize::from(cut > 0));
            argv.shrink_to_fit();
            return true;
        }
        room -= argv[at].0.len();
    }
    false
}

/// One takeover as it stands at [`Snapshot::updated`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Counts the snapshots of this incident, from 1.
    pub update: u64,
    /// Whether it goes on.
    pub state: State,
    /// The highest that it reached.
    pub severity: Severity,
    /// What kind of takeover it is.
    pub technique: Technique,
    /// Who opened the connection.
    pub direction: Direction,
    /// When its first exec happened.
    pub opened: BootTime,
    /// When what this snapshot shows last changed.
    pub updated: BootTime,
    /// When it ended, if it did.
    pub ended: Option<BootTime>,
    /// Why it ended, if it did.
    pub end_reason: Option<EndReason>,
    /// The shell; for a technique without one, the first command.
    pub shell: Exec,
    /// The first and the newest other programs on its sockets, oldest first.
    pub commands: Vec<Command>,
    /// How many of `commands` are the first ones. The omitted commands came after these and before the rest.
    #[serde(default)]
    pub first_commands: usize,
    /// How many commands between the first and the newest are counted, but not kept.
    #[serde(default)]
    pub omitted: u64,
    /// Programs run on its sockets, the shell of a shell technique not counted.
    pub command_count: u64,
    /// How many of them are new since the snapshot before this one.
    pub new_commands: u64,
    /// Its sockets. The first one is the primary socket, from which its id is derived.
    pub sockets: Vec<Socket>,
    /// Which of the shell's streams are such a socket, or are carried to one.
    pub carried: [bool; 3],
    /// What ties the shell to the connection.
    pub link: Link,
    /// The processes that carry them, from the shell to the socket; empty if the streams are the socket itself.
    pub relays: Vec<Hop>,
    /// The way from the socket to the shell's input, if others carry it.
    pub input_route: Option<Route>,
    /// The way from the shell's output, or its errors if that goes nowhere, to the socket, if others carry it.
    pub output_route: Option<Route>,
    /// Every socket's peer is this host itself.
    pub loopback: bool,
    /// What was seen that makes it a takeover, as one sentence.
    pub evidence: String,
    /// It was active still when the sensor stopped following it.
    pub monitoring_ended: bool,
}

impl Snapshot {
    /// The socket that its id is derived from: the input if there was one.
    #[must_use]
    pub fn primary(&self) -> Option<&Socket> {
        self.sockets.first()
    }

    /// The processes above the shell, the parent first.
    #[must_use]
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.shell.ancestors
    }

    /// The socket that is the shell's input, or that its input is carried from, if one is.
    #[must_use]
    pub fn input(&self) -> Option<&Socket> {
        let own = self.shell.streams[0].socket();
        let socket = self.input_route.as_ref().map(|route| &route.socket).or(own);
        socket.filter(|_| self.carried[0])
    }

    /// Nanoseconds from its first exec to its end or its last change.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.ended.unwrap_or(self.updated).since(self.opened)
    }
}

/// Which streams are a network socket with a peer.
pub(super) fn carried(streams: &[Stream; 3]) -> [bool; 3] {
    [0, 1, 2].map(|at: usize| streams[at].socket().is_some_and(Socket::has_peer))
}
