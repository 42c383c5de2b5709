//! The kernel side's tables that user space writes: whose end it wants to know, what it knows of processes and files.

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError},
};
use sensor_common::record::{FileKey, ProcessMark, file_kind, process_mark};

use super::{Programs, take};
use crate::{
    model::{Executable, ProcessId, ProgramKind},
    procfs::boot_time,
    sources::Mark,
};

const _: () = assert!(size_of::<FileKey>() == 32 && size_of::<ProcessMark>() == 16);

pub(super) struct Tables {
    tracked: HashMap<MapData, u32, u64>,
    marks: HashMap<MapData, u32, [u8; 16]>,
    files: HashMap<MapData, [u8; 32], u32>,
    epoch: Array<MapData, u64>,
}

impl Tables {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, MapError> {
        Ok(Self {
            tracked: take(ebpf, "TRACKED")?,
            marks: take(ebpf, "MARKS")?,
            files: take(ebpf, "FILES")?,
            epoch: take(ebpf, "EPOCH")?,
        })
    }
}

impl Programs {
    /// Asks for the end of a process that was found otherwise than by an exec.
    ///
    /// # Errors
    /// The kernel's table of followed processes is full.
    pub fn track(&mut self, process: ProcessId) -> Result<(), MapError> {
        self.tables.tracked.insert(process.pid, process.start.0, 0)
    }

    /// Sets or takes back a mark of a process.
    ///
    /// # Errors
    /// The kernel refuses, which happens on no kernel known.
    pub fn mark(&mut self, process: ProcessId, mark: Mark, set: bool) -> Result<(), MapError> {
        let bit = match mark {
            Mark::Session => process_mark::SESSION,
            Mark::Neighbour => process_mark::NEIGHBOUR,
        };
        let start_ticks = process.start_ticks();
        let known = match self.tables.marks.get(&process.pid, 0) {
            Ok(value) => zerocopy::transmute!(value),
            Err(MapError::KeyNotFound) => ProcessMark {
                start_ticks,
                flags: 0,
                reserved: 0,
            },
            Err(error) => return Err(error),
        };
        let before = if known.start_ticks == start_ticks {
            known.flags
        } else {
            0
        };
        let flags = if set { before | bit } else { before & !bit };
        if flags == before {
            return Ok(());
        }
        let value = ProcessMark {
            start_ticks,
            flags,
            reserved: 0,
        };
        let value: [u8; 16] = zerocopy::transmute!(value);
        self.tables.marks.insert(process.pid, value, 0)?;
        // What the kernel side remembers of parents does not know of it.
        self.tables.epoch.set(0, boot_time().0, 0)
    }

    /// Tells the kernel side what an executed file is.
    ///
    /// # Errors
    /// The kernel refuses, which happens on no kernel known.
    pub fn learn_file(&mut self, file: &Executable, kind: ProgramKind, multicall: bool) -> Result<(), MapError> {
        let kind = match kind {
            _ if multicall => file_kind::MULTICALL,
            ProgramKind::Shell => file_kind::SHELL,
            ProgramKind::Interpreter => file_kind::INTERPRETER,
            ProgramKind::Relay | ProgramKind::Other => file_kind::OTHER,
        };
        let key = FileKey {
            inode: file.inode,
            size: file.size,
            changed: file.changed,
            device: file.device,
            reserved: 0,
        };
        let key: [u8; 32] = zerocopy::transmute!(key);
        self.tables.files.insert(key, kind, 0)
    }
}
