//! What was seen: execs, streams, sockets, processes. Plain data; imports nothing else of ours, does nothing.
//!
//! Sources (`sources/`) make it, the engine (`detect/`) judges it. All of it serializes, so that what one machine saw
//! can be replayed on another.

mod container;
mod context;
mod coverage;
mod flow;
mod open_files;
mod program;
mod route;
#[cfg(test)]
pub(crate) mod samples;
pub mod secrets;
mod socket;
mod text;
mod version;

use sensor_common::device;
use serde::{Deserialize, Serialize};

pub use self::{
    container::{Container, ContainerRuntime},
    context::{Account, Cloud, Context, FileDigest, Pod, Posture},
    coverage::Coverage,
    flow::Flow,
    open_files::{OpenFiles, Owner},
    program::{Program, ProgramKind},
    route::{Hop, Onward, Route},
    socket::{Direction, Endpoint, Socket, SocketState, Transport},
    text::{Text, acts_unseen, printable},
    version::VERSION,
};

/// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`). The only clock that the engine knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootTime(pub u64);

impl BootTime {
    /// The time `nanoseconds` later.
    #[must_use]
    pub fn after(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }

    /// Nanoseconds from `earlier` to this, 0 if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A process, told apart from later ones that get the same number.
///
/// The start is kept in whole ticks of `/proc/PID/stat` (10 ms), since that is all that `/proc` tells; a process id does
/// not come round in one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Process id (thread group id) in the initial PID namespace.
    pub pid: u32,
    /// When it started.
    pub start: BootTime,
}

/// Nanoseconds of one tick of `/proc/PID/stat`.
const TICK_NS: u64 = sensor_common::record::TICK_NS;

impl ProcessId {
    /// From a start in nanoseconds since boot.
    #[must_use]
    pub fn from_start_ns(pid: u32, start_ns: u64) -> Self {
        Self::from_start_ticks(pid, start_ns / TICK_NS)
    }

    /// From a start in ticks since boot.
    #[must_use]
    pub fn from_start_ticks(pid: u32, ticks: u64) -> Self {
        Self {
            pid,
            start: BootTime(ticks.saturating_mul(TICK_NS)),
        }
    }

    /// Its start in ticks since boot.
    #[must_use]
    pub fn start_ticks(self) -> u64 {
        self.start.0 / TICK_NS
    }
}

/// Something that a source saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Observation {
    /// A process executed a program that may be driven through a socket.
    Exec(Box<Exec>),
    /// A process that an earlier exec spoke of ended.
    Exit(Exit),
    /// A socket that an earlier exec spoke of closed.
    SocketClosed(SocketClosed),
    /// A process that may relay for a piped shell connects to somebody.
    Connect(Act),
    /// A connection became a standard stream of a process that was running already. Nothing by itself: whoever sees it
    /// looks at that process, and yields an exec of it.
    Moved(Act),
    /// Time has passed: a relay that accepts a connection long after its shell has started tells nobody.
    #[serde(alias = "lookAgain")]
    Rescan(BootTime),
    /// The kernel has left out runs of the kernel side: an end may be among what it did not report.
    RunsMissed(BootTime),
}

impl Observation {
    /// When it was made.
    #[must_use]
    pub fn time(&self) -> BootTime {
        match self {
            Self::Exec(exec) => exec.time,
            Self::Exit(exit) => exit.time,
            Self::SocketClosed(closed) => closed.time,
            Self::Connect(act) | Self::Moved(act) => act.time,
            Self::Rescan(time) | Self::RunsMissed(time) => *time,
        }
    }
}

/// One exec, as it stood when the new program had not run an instruction yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// When.
    pub time: BootTime,
    /// The process that exec'd.
    pub process: ProcessId,
    /// It was seen running, not executing: its streams are what it has now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub running: bool,
    /// The kernel's short name of it (at most 15 bytes).
    pub comm: Text,
    /// Who it runs as.
    pub credentials: Credentials,
    /// The executed file: for a script, its interpreter.
    pub executable: Executable,
    /// What the executed file is.
    pub program: Program,
    /// The script, if an interpreter runs one: absolute where the working directory was known.
    pub script: Option<Text>,
    /// Working directory, absolute as the process sees it.
    pub cwd: Option<Text>,
    /// Arguments, the program's own name first.
    pub argv: Vec<Text>,
    /// More arguments, or more of the last one, exist than `argv` shows.
    pub argv_truncated: bool,
    /// Its control group.
    pub cgroup: Cgroup,
    /// The container that it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// stdin, stdout, stderr.
    pub streams: [Stream; 3],
    /// Connections that the parent held, looked for only where no stream is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Socket>,
    /// The parent first, then upwards.
    pub ancestors: Vec<Ancestor>,
}

impl Exec {
    /// The parent, while it is known.
    #[must_use]
    pub fn parent(&self) -> Option<&Ancestor> {
        self.ancestors.first()
    }
}

/// User and group ids and capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Effective capabilities, bit by bit (`include/uapi/linux/capability.h`).
    pub capabilities: u64,
}

/// The file that was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Executable {
    /// Absolute path as the process sees it; `memfd:NAME` for a memfd; `None` if it could not be read.
    pub path: Option<Text>,
    /// Leading components of `path` are missing.
    pub path_truncated: bool,
    /// Inode number.
    pub inode: u64,
    /// Device, in the kernel's internal form (major << 20 | minor).
    pub device: u32,
    /// Owner of the file.
    pub owner: u32,
    /// Bytes.
    pub size: u64,
    /// Second of its last change, since 1970.
    pub changed: u64,
    /// Lives in memory only (`memfd_create(2)`).
    pub memfd: bool,
    /// Has no name in the file system any more.
    pub deleted: bool,
    /// Runs as its owner.
    pub setuid: bool,
    /// Runs as its group.
    pub setgid: bool,
}

/// Control group of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The kernel's id of it.
    pub id: u64,
    /// Last component of its path; empty for the root.
    pub leaf: Text,
    /// The component above; empty for the root.
    pub parent: Text,
}

/// Namespaces of a process, each by inode number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Mount.
    pub mnt: u32,
    /// PID, for children.
    pub pid: u32,
    /// Network.
    pub net: u32,
    /// User.
    pub user: u32,
}

/// A process above the one that exec'd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Which.
    pub process: ProcessId,
    /// Real user id.
    pub uid: u32,
    /// The kernel's short name of it.
    pub comm: Text,
    /// Its executable, if it still lived when looked at.
    pub path: Option<Text>,
    /// Its arguments, likewise; at most a few kilobytes.
    pub argv: Vec<Text>,
    /// What its executable is.
    pub program: Program,
}

/// What a standard stream is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// A socket with a network peer: IPv4, IPv6, vsock.
    Socket(Socket),
    /// An AF_UNIX socket.
    Unix {
        /// Its inode number.
        inode: u64,
        /// Inode number of the other end.
        peer: Option<u64>,
    },
    /// A socket of another family (netlink, packet, …).
    OtherSocket {
        /// Its inode number.
        inode: u64,
    },
    /// An anonymous pipe.
    Pipe {
        /// Its inode number, the same at both ends.
        inode: u64,
    },
    /// A named pipe.
    Fifo {
        /// Its inode number.
        inode: u64,
        /// Device of its file system, kernel's internal form.
        fs: u32,
    },
    /// A terminal; of a pseudo-terminal the slave side, where programs run.
    Terminal {
        /// Its device, kernel's internal form (major << 20 | minor).
        device: u32,
        /// Its inode number.
        inode: u64,
        /// Device of its file system: every container has a numbering of its own.
        fs: u32,
    },
    /// The master side of a pseudo-terminal, which carries what its slave's programs read and write.
    TerminalMaster {
        /// Inode number of the slave.
        slave: u64,
        /// Device of the file system that the slave is in.
        fs: u32,
    },
    /// A regular file.
    File {
        /// Its inode number.
        inode: u64,
    },
    /// Anything else, `/dev/null` among it.
    Other,
    /// The descriptor is closed.
    Closed,
}

impl Stream {
    /// The network socket, if it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// Whether another process can be at the other end of it, who may pass on what comes through a socket.
    #[must_use]
    pub fn has_other_end(&self) -> bool {
        match self {
            Self::Unix { .. } | Self::Pipe { .. } | Self::Fifo { .. } => true,
            Self::Terminal { device, .. } => device::is_pseudo_terminal(*device),
            _ => false,
        }
    }

    /// Whether this is the other end of `end`: what is written to one can be read from the other. The ends of a pipe can't be
    /// told apart, so a pipe is its own other end.
    #[must_use]
    pub fn is_opposite_of(&self, end: &Self) -> bool {
        match (end, self) {
            (Self::Pipe { inode }, Self::Pipe { inode: other }) => inode == other,
            (Self::Fifo { inode, fs }, Self::Fifo { inode: other, fs: on }) => (inode, fs) == (other, on),
            (Self::Unix { peer, .. }, Self::Unix { inode, .. }) => *peer == Some(*inode),
            (Self::Terminal { inode, fs, .. }, Self::TerminalMaster { slave, fs: on })
            | (Self::TerminalMaster { slave, fs: on }, Self::Terminal { inode, fs, .. }) => (inode, fs) == (slave, on),
            _ => false,
        }
    }

    /// The inode number, where one tells it from others of its kind.
    #[must_use]
    pub fn inode(&self) -> Option<u64> {
        match self {
            Self::Socket(socket) => Some(socket.inode),
            Self::Unix { inode, .. }
            | Self::OtherSocket { inode }
            | Self::Pipe { inode }
            | Self::Fifo { inode, .. }
            | Self::Terminal { inode, .. }
            | Self::TerminalMaster { slave: inode, .. }
            | Self::File { inode } => Some(*inode),
            Self::Other | Self::Closed => None,
        }
    }

    /// The stream's kind as one word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Socket(_) => "socket",
            Self::Unix { .. } => "unix socket",
            Self::OtherSocket { .. } => "other socket",
            Self::Pipe { .. } => "pipe",
            Self::Fifo { .. } => "fifo",
            Self::Terminal { .. } => "terminal",
            Self::TerminalMaster { .. } => "terminal master",
            Self::File { .. } => "file",
            Self::Other => "other",
            Self::Closed => "closed",
        }
    }
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// When.
    pub time: BootTime,
    /// Which.
    pub process: ProcessId,
    /// Wait status, as `wait(2)` gives it.
    pub status: u32,
}

/// Something that a process did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When.
    pub time: BootTime,
    /// Which.
    pub process: ProcessId,
}

/// A process and those of its descriptors that bytes travel through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Which.
    pub process: ProcessId,
    /// Process id of its parent.
    pub parent: u32,
    /// The kernel's short name of it.
    pub comm: Text,
    /// Its executable.
    pub path: Option<Text>,
    /// That path leads to this executable for the host as well, not only in a mount namespace of its own.
    pub host_path: bool,
    /// What its executable is.
    pub program: Program,
    /// Its sockets, pipes and terminals, by number.
    pub descriptors: Vec<Descriptor>,
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its number.
    pub fd: u32,
    /// What it is.
    pub stream: Stream,
    /// Open for reading.
    pub read: bool,
    /// Open for writing.
    pub write: bool,
}

/// The end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketClosed {
    /// When.
    pub time: BootTime,
    /// Inode number of the socket.
    pub inode: u64,
}

/// The machine that was watched: what a finding says of it, and how its clock relates to the calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// Its name.
    pub hostname: String,
    /// The host's name can't be seen: `hostname` is that of the sensor's container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hostname_of_container: bool,
    /// `/etc/machine-id`; empty where there is none.
    pub machine_id: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Kernel release, as `uname -r` prints it.
    pub kernel: String,
    /// Unix time of boot in nanoseconds: what to add to a [`BootTime`].
    pub boot_unix_ns: i64,
}

/// What was lost since the sensor started. All zero on a machine that is fine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Losses {
    /// Events that found the ring buffer full.
    pub ring_full: u64,
    /// Execs, ends and connections that the kernel left out, because on the same CPU another task was in the middle of
    /// the program that was to see them (Linux 7.0 on).
    pub runs_missed: u64,
    /// Kernel reads that failed, of any kind.
    pub read_failures: u64,
    /// Processes or sockets whose end will not be reported.
    pub tracking_full: u64,
    /// Finding lines that the output did not take in time.
    pub output_dropped: u64,
}
