//! All open sockets, pipes and terminals of the machine at one moment, ordered by what is connected with what. The kernel
//! side fills it in one go (`ebpf::descriptors`), `/proc` where that is not to be had (`running`).

use std::collections::HashMap;

use crate::model::{Descriptor, ProcessId, Stream, Text};

/// One process's part.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Which.
    pub process: ProcessId,
    /// Process id of its parent.
    pub parent: u32,
    /// The kernel's short name of it.
    pub comm: Text,
    /// What it has open, by number.
    pub descriptors: Vec<Descriptor>,
}

/// What was open.
#[derive(Debug, Default)]
pub struct OpenFiles {
    owners: Vec<Owner>,
    /// Indexes in `owners` of those who have it open.
    by_end: HashMap<End, Vec<u32>>,
}

/// What tells one end of a connection from all others. Both ends of a pipe are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Socket(u64),
    Pipe(u64),
    Fifo(u64, u32),
    Slave(u64, u32),
    Master(u64, u32),
}

impl End {
    fn of(stream: &Stream) -> Option<Self> {
        Some(match *stream {
            Stream::Socket(ref socket) => Self::Socket(socket.inode),
            Stream::Unix { inode, .. } => Self::Socket(inode),
            Stream::Pipe { inode } => Self::Pipe(inode),
            Stream::Fifo { inode, fs } => Self::Fifo(inode, fs),
            Stream::Terminal { inode, fs, .. } => Self::Slave(inode, fs),
            Stream::TerminalMaster { slave, fs } => Self::Master(slave, fs),
            _ => return None,
        })
    }

    fn opposite(stream: &Stream) -> Option<Self> {
        Some(match *stream {
            Stream::Unix { peer, .. } => Self::Socket(peer?),
            Stream::Terminal { inode, fs, .. } => Self::Master(inode, fs),
            Stream::TerminalMaster { slave, fs } => Self::Slave(slave, fs),
            Stream::Pipe { .. } | Stream::Fifo { .. } => return Self::of(stream),
            _ => return None,
        })
    }
}

impl OpenFiles {
    /// Adds a process with all it has open.
    pub fn push(&mut self, owner: Owner) {
        let index = self.owners.len() as u32;
        for descriptor in &owner.descriptors {
            if let Some(end) = End::of(&descriptor.stream) {
                let owners = self.by_end.entry(end).or_default();
                if owners.last() != Some(&index) {
                    owners.push(index);
                }
            }
        }
        self.owners.push(owner);
    }

    /// Who has the other end of `stream` open; for a pipe, either end.
    pub fn opposite(&self, stream: &Stream) -> impl Iterator<Item = &Owner> + '_ {
        let owners = End::opposite(stream).and_then(|end| self.by_end.get(&end));
        owners.into_iter().flatten().map(|&index| &self.owners[index as usize])
    }

    /// Everybody.
    #[must_use]
    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }
}
