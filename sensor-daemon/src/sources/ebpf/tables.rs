//! The kernel side's tables that user space writes: whose end it wants to know, what it knows of processes and files.

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError},
};
use sensor_common::{
    first_argument::ProgramFile,
    record::{FileKey, ProcessMark, process_mark},
};

use crate::{
    model::{Executable, ProcessId},
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

impl Tables {
    /// Asks for the end of a process that was found otherwise than by an exec.
    ///
    /// # Errors
    /// The kernel's table of followed processes is full.
    pub fn track(&mut self, process: ProcessId) -> Result<(), MapError> {
        self.tracked.insert(process.pid, process.start.0, 0)
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
        let known = match self.marks.get(&process.pid, 0) {
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
        self.marks.insert(process.pid, value, 0)?;
        // A new epoch: what the kernel side remembers of parents does not know of the mark.
        self.epoch.set(0, boot_time().0, 0)
    }

    /// Tells the kernel side what an executed file is.
    ///
    /// # Errors
    /// The kernel refuses, which happens on no kernel known.
    pub fn learn_file(&mut self, file: &Executable, program: ProgramFile) -> Result<(), MapError> {
        let key = FileKey {
            inode: file.inode,
            size: file.size,
            changed: file.changed,
            device: file.device,
            reserved: 0,
        };
        let key: [u8; 32] = zerocopy::transmute!(key);
        self.files.insert(key, program.word(), 0)
    }
}

/// Takes a map out of the object.
pub(super) fn take<T: TryFrom<aya::maps::Map, Error = MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<T, MapError> {
    ebpf.take_map(name)
        .ok_or_else(|| MapError::InvalidName { name: name.to_owned() })?
        .try_into()
}
