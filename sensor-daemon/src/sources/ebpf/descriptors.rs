//! Lists open files by a run of the BPF iterator: a few milliseconds where `/proc` takes hundreds.

use std::{fs::File, io::Read as _};

use aya::programs::{Iter, ProgramError, links::LinkError};
use sensor_common::record::OpenFileRecord;
use zerocopy::FromBytes as _;

use super::{Programs, decode};
use crate::{
    model::{Descriptor, ProcessId},
    sources::open_files::{OpenFiles, Owner},
};

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

impl Programs {
    /// Whether the iterator is there.
    #[must_use]
    pub fn lists_files(&self) -> bool {
        self.lists_files
    }

    /// Runs the iterator.
    ///
    /// # Errors
    /// The kernel does not let it run to its end; or it was not loaded.
    pub fn open_files(&mut self) -> Result<OpenFiles, IterError> {
        let program = self.ebpf.program_mut("open_files").filter(|_| self.lists_files);
        let program: &mut Iter = program.ok_or(ProgramError::NotLoaded)?.try_into()?;
        let link = program.attach()?;
        Ok(read(program.take_link(link)?.into_file()?)?)
    }
}

fn read(mut file: File) -> std::io::Result<OpenFiles> {
    const RECORD: usize = size_of::<OpenFileRecord>();
    let mut files = OpenFiles::default();
    let mut current: Option<Owner> = None;
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        let read = file.read(&mut buffer[filled..])?;
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
