//! systemd's journal, by its native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): an entry for each state of a
//! finding, with fields to filter by. `docs/journald.md` lists them.
//!
//! The protocol is a datagram of fields, so little that its encoder is here: libraries for it bring a logging framework with
//! them. Every value goes in the form with a length in front, which no byte of a value can end, so a watched process can't
//! make fields. An entry that is too large for a datagram goes as a sealed memfd, as the protocol demands.
//!
//! The socket is looked up by its path for each entry, so a journal that was started again is found again; while there is
//! none, delivery fails, and whoever calls it tries again later.

use std::{
    fs::File,
    io::{self, IoSlice, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix},
};

use super::{Sink, fields};
use crate::finding::{self, Report};

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// `MESSAGE_ID` of every entry that is a finding, whatever its state. It never changes.
pub const MESSAGE_ID: &str = "6b9c4d0f8a3e4c5bb2d7e19f50c8a7d4";
/// How long a journal that reads nothing may keep the sink.
const PATIENCE: Duration = Duration::from_secs(5);

/// The journal as a sink.
#[derive(Debug)]
pub struct Journald {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Journald {
    /// A sink that writes to the journal at `path`, which need not listen yet; [`SOCKET`] is the machine's own.
    ///
    /// # Errors
    /// No socket can be made.
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            path: path.into(),
            socket,
        })
    }

    /// Sends one entry.
    fn send(&self, entry: &[u8]) -> io::Result<()> {
        match self.socket.send_to(entry, &self.path) {
            Ok(_) => Ok(()),
            // More than this socket, or the journal's, takes in one piece.
            Err(error) if too_large(&error) => send_as_file(self.socket.as_fd(), &self.path, entry),
            Err(error) => Err(error),
        }
    }
}

impl Sink for Journald {
    fn name(&self) -> &str {
        "journald"
    }

    fn deliver(&mut self, report: &Report) -> io::Result<()> {
        self.send(&entry(report)).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::WouldBlock => "it has read nothing for some seconds".to_owned(),
                _ => error.to_string(),
            };
            io::Error::new(
                error.kind(),
                format!(
                    "the journal at {} does not take a finding: {why}; is systemd-journald running?",
                    self.path.display()
                ),
            )
        })
    }
}

fn too_large(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS))
}

/// The fields of a report as the protocol has them.
fn entry(report: &Report) -> Vec<u8> {
    let mut entry = Vec::with_capacity(16 * 1024);
    let mut field = |name: &str, value: &str| {
        entry.extend_from_slice(name.as_bytes());
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        entry.extend_from_slice(value.as_bytes());
        entry.push(b'\n');
    };
    field("MESSAGE", &finding::sentence(&report.incident));
    field("MESSAGE_ID", MESSAGE_ID);
    field("PRIORITY", &fields::priority(report).to_string());
    field("SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
    for (name, value) in fields::of(report) {
        field(&format!("FINDING_{name}"), &value);
    }
    field("FINDING_JSON", &finding::json::line(&finding::scc(report)));
    entry
}

/// Hands an entry over as a file in memory that can't be changed any more.
fn send_as_file(socket: BorrowedFd<'_>, path: &Path, entry: &[u8]) -> io::Result<()> {
    let memory = rustix::fs::memfd_create("journal-entry", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(entry)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )?;
    let descriptors = [file.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor beside the message"));
    }
    let address = SocketAddrUnix::new(path)?;
    rustix::net::sendmsg_addr(
        socket,
        &address,
        &[IoSlice::new(&[])],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::{io::Read as _, os::fd::OwnedFd};

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

    use super::*;

    #[test]
    fn an_entry_of_any_size_arrives_and_none_without_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let sink = Journald::new(&path).unwrap();
        assert_eq!(sink.send(b"A=1\n").unwrap_err().kind(), io::ErrorKind::NotFound);
        for again in 0..2 {
            // The second is a journal that was started again.
            let _ = std::fs::remove_file(&path);
            let journal = UnixDatagram::bind(&path).unwrap();
            sink.send(b"A=1\n").unwrap();
            let mut got = [0; 64];
            let length = journal.recv(&mut got).unwrap();
            assert_eq!(&got[..length], b"A=1\n", "{again}");
            drop(journal);
            assert_eq!(
                sink.send(b"A=1\n").unwrap_err().kind(),
                io::ErrorKind::ConnectionRefused
            );
        }
        std::fs::remove_file(&path).unwrap();
        let journal = UnixDatagram::bind(&path).unwrap();
        let large = vec![b'x'; 4 << 20];
        sink.send(&large).unwrap();
        assert_eq!(received(&journal), large);
    }

    /// The content of the file that came with a message.
    fn received(journal: &UnixDatagram) -> Vec<u8> {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut nothing = [0; 1];
        let mut buffers = [io::IoSliceMut::new(&mut nothing)];
        rustix::net::recvmsg(journal, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
        let file = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        let file: OwnedFd = file.unwrap();
        let seals = rustix::fs::fcntl_get_seals(&file).unwrap();
        assert!(seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL));
        let mut content = Vec::new();
        // The offset is the writer's: the journal maps the file.
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).unwrap();
        File::from(file).read_to_end(&mut content).unwrap();
        content
    }
}
