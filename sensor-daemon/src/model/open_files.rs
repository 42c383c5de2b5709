//! All open sockets, pipes and terminals of the machine at one moment, ordered by what is connected with what. A source
//! fills it in one go, or `procfs` does where the source can't.

use super::{Descriptor, ProcessId, Socket, Stream, Text};

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

/// What was open. Kept small: a machine with thousands of processes has tens of thousands of descriptors, and is looked at
/// for one shell.
#[derive(Debug, Default)]
pub struct OpenFiles {
    rows: Vec<Row>,
    entries: Vec<Entry>,
    sockets: Vec<Socket>,
}

/// A process; its entries lie between its first and the next row's.
#[derive(Debug)]
struct Row {
    process: ProcessId,
    parent: u32,
    comm: Text,
    first: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    end: End,
    fd: u32,
    read: bool,
    write: bool,
}

/// What tells one end of a connection from all others. Both ends of a pipe are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// An index in `sockets`.
    Socket(usize),
    /// Its own inode number, and its peer's or zero.
    Unix(u64, u64),
    Pipe(u64),
    Fifo(u64, u32),
    /// Inode number, file system, device.
    Slave(u64, u32, u32),
    Master(u64, u32),
}

impl End {
    /// The stream, unless it is a network socket.
    fn stream(self) -> Option<Stream> {
        Some(match self {
            Self::Socket(_) => return None,
            Self::Unix(inode, peer) => Stream::Unix {
                inode,
                peer: (peer != 0).then_some(peer),
            },
            Self::Pipe(inode) => Stream::Pipe { inode },
            Self::Fifo(inode, fs) => Stream::Fifo { inode, fs },
            Self::Slave(inode, fs, device) => Stream::Terminal { device, inode, fs },
            Self::Master(slave, fs) => Stream::TerminalMaster { slave, fs },
        })
    }

    fn is_opposite_of(self, end: &Stream) -> bool {
        self.stream().is_some_and(|stream| stream.is_opposite_of(end))
    }
}

impl OpenFiles {
    /// Adds a process with all it has open that bytes travel through.
    pub fn push(&mut self, owner: Owner) {
        let Owner {
            process,
            parent,
            comm,
            descriptors,
        } = owner;
        self.rows.push(Row {
            process,
            parent,
            comm,
            first: self.entries.len(),
        });
        for Descriptor {
            fd,
            stream,
            read,
            write,
        } in descriptors
        {
            let end = match stream {
                Stream::Socket(socket) => {
                    self.sockets.push(socket);
                    End::Socket(self.sockets.len() - 1)
                }
                Stream::Unix { inode, peer } => End::Unix(inode, peer.unwrap_or(0)),
                Stream::Pipe { inode } => End::Pipe(inode),
                Stream::Fifo { inode, fs } => End::Fifo(inode, fs),
                Stream::Terminal { device, inode, fs } => End::Slave(inode, fs, device),
                Stream::TerminalMaster { slave, fs } => End::Master(slave, fs),
                _ => continue,
            };
            self.entries.push(Entry { end, fd, read, write });
        }
    }

    /// Who has the other end of `stream` open; for a pipe, either end.
    pub fn opposite(&self, stream: &Stream) -> impl Iterator<Item = Owner> {
        (0..self.rows.len())
            .filter(|&row| self.entries(row).iter().any(|entry| entry.end.is_opposite_of(stream)))
            .map(|row| self.owner(row))
    }

    /// Everybody.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        (0..self.rows.len()).map(|row| self.owner(row))
    }

    /// The process with this number.
    #[must_use]
    pub fn of_pid(&self, pid: u32) -> Option<Owner> {
        let row = self.rows.iter().position(|row| row.process.pid == pid)?;
        Some(self.owner(row))
    }

    fn entries(&self, row: usize) -> &[Entry] {
        let end = self.rows.get(row + 1).map_or(self.entries.len(), |next| next.first);
        &self.entries[self.rows[row].first..end]
    }

    fn owner(&self, row: usize) -> Owner {
        let entries = self.entries(row).iter();
        let descriptors = entries.map(|&Entry { end, fd, read, write }| Descriptor {
            fd,
            stream: match end {
                End::Socket(index) => Stream::Socket(self.sockets[index].clone()),
                end => end.stream().unwrap_or(Stream::Other),
            },
            read,
            write,
        });
        let Row {
            process, parent, comm, ..
        } = &self.rows[row];
        Owner {
            process: *process,
            parent: *parent,
            comm: comm.clone(),
            descriptors: descriptors.collect(),
        }
    }
}
