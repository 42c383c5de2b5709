//! How bytes get from a socket to a program's stream when other processes carry them.

use serde::{Deserialize, Serialize};

use super::{ProcessId, Program, Socket, Text};

/// The way between a standard stream and a network socket. The process nearest to the shell comes first, the one that
/// holds the socket last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Who carries the bytes. Empty if the stream is the socket itself.
    pub hops: Vec<Hop>,
    /// The socket at the end of it.
    pub socket: Socket,
    /// The descriptor at which the last process holds it.
    pub fd: u32,
    /// Network connections that the last process holds in all.
    pub connections: usize,
}

/// A process that carries bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// Which.
    pub process: ProcessId,
    /// The kernel's short name of it.
    pub comm: Text,
    /// Its executable.
    pub path: Option<Text>,
    /// That path leads to this executable for the host as well, not only in a mount namespace of its own.
    pub host_path: bool,
    /// What its executable is.
    pub program: Program,
    /// Process id of its parent.
    pub parent: u32,
    /// Its descriptor towards the shell.
    pub fd: u32,
    /// What that is, as [`super::Stream::kind`] names it.
    pub kind: String,
    /// Inode number of that; of a terminal's master the slave's.
    pub inode: u64,
    /// Its descriptor towards the socket.
    pub onward: Onward,
}

/// The descriptor by which a process passes bytes on towards the socket, or gets them from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Onward {
    /// Its number.
    pub fd: u32,
    /// What it is, as [`super::Stream::kind`] names it.
    pub kind: String,
    /// Inode number of that; of a terminal's master the slave's.
    pub inode: u64,
}
