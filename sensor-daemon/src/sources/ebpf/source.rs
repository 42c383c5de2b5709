//! The kernel side as a source: waits for its ring buffer, reads its counters, carries out requests in its tables.

use std::io;

use aya::{
    Ebpf,
    maps::{MapData, MapError, PerCpuArray, ProgramArray, RingBuf},
    programs::{Iter, ProgramError},
};
use aya_log::EbpfLogger;
use sensor_common::{counters::Counters, first_argument::ProgramFile};
use tokio::io::unix::AsyncFd;
use tracing::{debug, warn};

use super::{
    decode, descriptors,
    descriptors::IterError,
    load::{LoadError, Opened},
    missed::MissedRuns,
    specs::OPEN_FILES,
    tables::{Tables, take},
    wire::Wire,
};
use crate::{
    model::{BootTime, Coverage, Executable, Flow, Losses, Observation, OpenFiles, ProcessId},
    procfs,
    sources::{Control, Denied, Events, Mark, Probe},
};

/// What became of the records so far.
#[derive(Debug, Default)]
struct Progress {
    /// An observation that was decoded while the ring buffer was waited for.
    pending: Option<Observation>,
    /// The last exec's file has no entry in the kernel side's table of files.
    unknown_file: bool,
    /// Records that could not be read.
    failures: u64,
}

impl Progress {
    fn decode(&mut self, record: &[u8]) -> Option<Observation> {
        match decode::decode(record) {
            Ok(observation) => {
                self.unknown_file = decode::is_unknown_file(record);
                Some(observation)
            }
            Err(error) => {
                if self.failures == 0 {
                    warn!("the kernel side sent {error}; further ones are counted only");
                }
                self.failures += 1;
                None
            }
        }
    }
}

/// The kernel side at work. Dropping it detaches the programs.
pub struct Attached {
    ebpf: Ebpf,
    /// The ring buffer, to be waited for.
    events: AsyncFd<RingBuf<MapData>>,
    counters: PerCpuArray<MapData, [u64; Counters::COUNT]>,
    missed: MissedRuns,
    coverage: Coverage,
    progress: Progress,
    tables: Tables,
    wire: Wire,
    /// The iterator over open files is loaded.
    lists_files: bool,
    /// The kernel empties a program array when the last descriptor of it is closed.
    _stages: ProgramArray<MapData>,
}

/// What the kernel side can see, given whether the programs `stream_moved` and `wire` are loaded.
pub fn coverage(stream_moved: bool, wire: bool) -> Coverage {
    Coverage {
        // Without the programs that see these nothing is attached.
        execs: true,
        exits: true,
        connects: true,
        moved_streams: stream_moved,
        deliveries: wire,
        process_numbers: procfs::sees_host_process_ids().unwrap_or(false),
    }
}

impl Attached {
    /// Loads and attaches the programs. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// The kernel refuses a program.
    pub fn attach(opened: Opened) -> Result<Self, LoadError> {
        let mut loaded = opened.load_all()?;
        let ebpf = &mut loaded.ebpf;
        let events: RingBuf<MapData> = take(ebpf, "EVENTS")?;
        Ok(Self {
            // SAFETY: the ring buffer owns the map whose descriptor it shows, and never exchanges it.
            events: unsafe { AsyncFd::register(events) }.map_err(|error| LoadError::Wait(error.into()))?,
            counters: take(ebpf, "COUNTERS")?,
            missed: loaded.missed,
            coverage: coverage(loaded.stream_moved, loaded.wire),
            progress: Progress::default(),
            tables: Tables::take(ebpf)?,
            wire: Wire::new(loaded.wire, take(ebpf, "SAMPLES")?),
            lists_files: loaded.open_files,
            _stages: loaded.stages,
            ebpf: loaded.ebpf,
        })
    }

    /// The kernel side's own diagnostics, to be waited for and flushed into the `log` crate. Silent unless
    /// [`LoadOptions::kernel_log`](super::LoadOptions::kernel_log) was given.
    ///
    /// # Errors
    /// The log's map can't be read or waited for.
    pub fn log(&mut self) -> Result<AsyncFd<EbpfLogger<&'static dyn log::Log>>, LoadError> {
        let logger = EbpfLogger::init(&mut self.ebpf).map_err(|error| LoadError::Wait(io::Error::other(error)))?;
        // SAFETY: the logger owns the map whose descriptor it shows, and never exchanges it.
        unsafe { AsyncFd::register(logger) }.map_err(|error| LoadError::Wait(error.into()))
    }

    /// Adds up the counters of all CPUs.
    fn counters(&self) -> Result<Counters, MapError> {
        let mut sum = Counters::default();
        for cpu in self.counters.get(&0, 0)?.iter() {
            sum.add(&zerocopy::transmute!(*cpu));
        }
        Ok(sum)
    }

    fn iterate_files(&mut self) -> Result<OpenFiles, IterError> {
        let program: &mut Iter = self
            .ebpf
            .program_mut(OPEN_FILES.name)
            .ok_or(ProgramError::NotLoaded)?
            .try_into()?;
        descriptors::list(program)
    }
}

impl Events for Attached {
    async fn ready(&mut self) -> io::Result<()> {
        while self.progress.pending.is_none() {
            let mut guard = self.events.readable_mut().await?;
            if let Some(record) = guard.get_inner_mut().next() {
                self.progress.pending = self.progress.decode(&record);
            } else {
                guard.clear_ready();
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Observation> {
        if let Some(observation) = self.progress.pending.take() {
            return Some(observation);
        }
        loop {
            let record = self.events.get_mut().next()?;
            if let Some(observation) = self.progress.decode(&record) {
                return Some(observation);
            }
        }
    }

    fn losses(&self) -> Losses {
        let counters = self.counters().unwrap_or_else(|error| {
            debug!("the kernel side's counters can't be read: {error}");
            Counters::default()
        });
        Losses {
            ring_full: counters.ring_full + counters.stage_missing,
            runs_missed: self.missed.count(),
            read_failures: counters.read_failed_streams
                + counters.read_failed_socket
                + counters.read_failed_argv
                + counters.read_failed_path
                + self.progress.failures,
            tracking_full: counters.tracking_full,
            output_dropped: 0,
        }
    }

    fn coverage(&self) -> Coverage {
        self.coverage
    }
}

impl Probe for Attached {
    fn open_files(&mut self) -> OpenFiles {
        if self.lists_files {
            match self.iterate_files() {
                Ok(files) => return files,
                Err(error) => debug!("{error}; /proc is asked instead of {}", OPEN_FILES.name),
            }
        }
        procfs::open_files()
    }

    fn is_alive(&self, process: ProcessId) -> bool {
        !self.coverage.process_numbers || procfs::is_alive(process)
    }

    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool {
        !self.coverage.process_numbers || procfs::holds_socket(process, inode)
    }

    fn delivered(&self, flow: Flow) -> Option<Vec<(BootTime, Vec<u8>)>> {
        self.wire.delivered(flow)
    }
}

impl Control for Attached {
    fn mark(&mut self, process: ProcessId, mark: Mark, set: bool) -> Result<(), Denied> {
        self.tables.mark(process, mark, set).map_err(Denied::because)
    }

    fn watch(&mut self, flow: Flow) -> Result<(), Denied> {
        self.wire.watch(&mut self.ebpf, flow).map_err(Denied::because)
    }

    fn unwatch(&mut self, flow: Flow) {
        self.wire.unwatch(&mut self.ebpf, flow);
    }

    fn track(&mut self, process: ProcessId) -> Result<(), Denied> {
        self.tables.track(process).map_err(Denied::because)
    }

    fn learn_file(&mut self, file: &Executable, program: ProgramFile) -> Result<(), Denied> {
        if !std::mem::take(&mut self.progress.unknown_file) {
            return Ok(());
        }
        self.tables.learn_file(file, program).map_err(Denied::because)
    }
}
