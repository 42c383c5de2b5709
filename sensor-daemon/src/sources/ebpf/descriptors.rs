//! Lists open files by a run of the BPF iterator: a few milliseconds where `/proc` takes hundreds.

use std::io::{ErrorKind, Read};

use aya::programs::{Iter, ProgramError, links::LinkError};
use sensor_common::record::OpenFileRecord;
use zerocopy::FromBytes as _;

use super::decode;
use crate::model::{Descriptor, OpenFiles, Owner, ProcessId};

/// Bytes read at once.
const BUFFER: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum IterError {
    /// The iterator can't be started.
    #[error("the iterator over open files can't be attached: {0}")]
    Program(#[from] ProgramError),
    /// Nor opened.
    #[error("the iterator over open files can't be opened: {0}")]
    Link(#[from] LinkError),
    /// Nor read to its end.
    #[error("the iterator over open files can't be read: {0}")]
    Read(#[from] std::io::Error),
}

/// Runs the iterator.
///
/// # Errors
/// The kernel does not let it run to its end.
pub(super) fn list(program: &mut Iter) -> Result<OpenFiles, IterError> {
    let link = program.attach()?;
    Ok(read(program.take_link(link)?.into_file()?)?)
}

/// Reads records to the end; one may be split between two reads.
fn read(mut file: impl Read) -> std::io::Result<OpenFiles> {
    const RECORD: usize = size_of::<OpenFileRecord>();
    let mut files = OpenFiles::default();
    let mut current: Option<Owner> = None;
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        let read = match file.read(&mut buffer[filled..]) {
            Ok(read) => read,
            // The kernel pauses after a million files of which none is given.
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => continue,
            Err(error) => return Err(error),
        };
        if read == 0 {
            break;
        }
        filled += read;
        let whole = filled / RECORD * RECORD;
        for bytes in buffer[..whole].chunks_exact(RECORD) {
            if let Ok(record) = OpenFileRecord::read_from_bytes(bytes) {
                add(&mut files, &mut current, &record);
            }
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    if let Some(owner) = current {
        files.push(owner);
    }
    Ok(files)
}

fn add(files: &mut OpenFiles, current: &mut Option<Owner>, record: &OpenFileRecord) {
    let process = ProcessId::from_start_ns(record.tgid, record.start_ns);
    // The iterator gives all files of one process before those of the next.
    let owner = match current {
        Some(owner) if owner.process == process => owner,
        _ => {
            let next = Owner {
                process,
                parent: record.parent,
                comm: decode::until_nul(&record.comm).into(),
                descriptors: Vec::new(),
            };
            if let Some(before) = current.replace(next) {
                files.push(before);
            }
            let Some(owner) = current else { return };
            owner
        }
    };
    owner.descriptors.push(Descriptor {
        fd: record.fd,
        stream: decode::stream(&record.file),
        read: record.file.mode & 1 != 0,
        write: record.file.mode & 2 != 0,
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use sensor_common::record::{StreamRecord, stream_kind};
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;
    use crate::model::Stream;

    fn record(tgid: u32, fd: u32, kind: u32, mode: u8) -> Vec<u8> {
        let mut record = OpenFileRecord::new_zeroed();
        (record.tgid, record.parent, record.fd) = (tgid, 1, fd);
        record.start_ns = 35_000_000;
        record.comm[..2].copy_from_slice(b"nc");
        record.file = StreamRecord {
            kind,
            inode: 5,
            peer_inode: 6,
            fs_dev: 25,
            mode,
            ..StreamRecord::new_zeroed()
        };
        record.as_bytes().to_vec()
    }

    fn sample() -> Vec<u8> {
        [
            record(12, 0, stream_kind::PIPE, 1),
            record(12, 3, stream_kind::TERMINAL_MASTER, 3),
            record(13, 1, stream_kind::UNIX, 2),
        ]
        .concat()
    }

    /// Gives these parts, one a read, and an error where a part is empty.
    struct Parts<'a>(Vec<&'a [u8]>);

    impl Read for Parts<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.first().copied() {
                None => Ok(0),
                Some([]) => {
                    self.0.remove(0);
                    Err(ErrorKind::WouldBlock.into())
                }
                Some(part) => {
                    let length = part.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&part[..length]);
                    match &part[length..] {
                        [] => drop(self.0.remove(0)),
                        rest => self.0[0] = rest,
                    }
                    Ok(length)
                }
            }
        }
    }

    /// Each process with the number of its files.
    fn owners(files: &OpenFiles) -> Vec<(u32, usize)> {
        let owners = files.owners();
        owners
            .map(|owner| (owner.process.pid, owner.descriptors.len()))
            .collect()
    }

    #[test]
    fn records_are_read_field_by_field() {
        let files = read(Parts(vec![&sample()])).unwrap();
        let all: Vec<_> = files.owners().collect();
        let [first, second] = all.as_slice() else {
            panic!("two processes: {:?}", owners(&files))
        };
        assert_eq!(first.process, ProcessId::from_start_ns(12, 35_000_000));
        assert_eq!((first.parent, &first.comm), (1, &"nc".into()));
        let descriptor = |fd, stream, read, write| Descriptor {
            fd,
            stream,
            read,
            write,
        };
        assert_eq!(
            first.descriptors,
            [
                descriptor(0, Stream::Pipe { inode: 5 }, true, false),
                descriptor(3, Stream::TerminalMaster { slave: 6, fs: 25 }, true, true),
            ]
        );
        let socket = Stream::Unix {
            inode: 5,
            peer: Some(6),
        };
        assert_eq!(second.descriptors, [descriptor(1, socket, false, true)]);
        let reader = files.opposite(&Stream::Pipe { inode: 5 });
        assert_eq!(reader.map(|owner| owner.process.pid).collect::<Vec<_>>(), [12]);
    }

    #[test]
    fn reads_that_are_split_at_every_byte() {
        let sample = sample();
        for at in 1..sample.len() {
            let (first, second) = sample.split_at(at);
            for parts in [vec![first, second], vec![first, &[], second]] {
                assert_eq!(owners(&read(Parts(parts)).unwrap()), [(12, 2), (13, 1)], "{at}");
            }
        }
        let bytes = sample.chunks(1).collect();
        assert_eq!(owners(&read(Parts(bytes)).unwrap()), [(12, 2), (13, 1)]);
    }

    #[test]
    fn more_than_one_buffer() {
        let many: Vec<u8> = (0..2000).flat_map(|fd| record(12, fd, stream_kind::PIPE, 1)).collect();
        assert!(many.len() > 4 * BUFFER);
        assert_eq!(owners(&read(Parts(vec![&many])).unwrap()), [(12, 2000)]);
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let sample = sample();
        let record = size_of::<OpenFileRecord>();
        for length in 0..=sample.len() {
            let files = read(Parts(vec![&sample[..length]])).map(|files| {
                let counts = owners(&files);
                counts.iter().map(|(_, count)| count).sum::<usize>()
            });
            assert_eq!(files.unwrap(), length / record, "{length}");
        }
    }
}
