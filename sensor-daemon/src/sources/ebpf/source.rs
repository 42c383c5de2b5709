//! The kernel side as a source: waits for its ring buffer, reads its counters, carries out requests in its tables.

use std::io;

use tracing::{debug, warn};

use super::{Attached, OPTIONAL, decode};
use crate::{
    model::{BootTime, Coverage, Executable, Flow, Losses, Observation, OpenFiles, ProcessId, ProgramKind},
    procfs,
    sources::{Control, Denied, Events, Mark, Probe},
};

/// What became of the records so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
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
        let counters = self.counters.read().unwrap_or_else(|error| {
            debug!("the kernel side's counters can't be read: {error}");
            sensor_common::counters::Counters::default()
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
        if self.programs.lists_files() {
            match self.programs.open_files() {
                Ok(files) => return files,
                Err(error) => debug!("{error}; /proc is asked instead of {}", OPTIONAL[0].name),
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
        self.programs.delivered(flow)
    }
}

impl Control for Attached {
    fn mark(&mut self, process: ProcessId, mark: Mark, set: bool) -> Result<(), Denied> {
        self.programs.mark(process, mark, set).map_err(Denied::because)
    }

    fn watch(&mut self, flow: Flow) -> Result<(), Denied> {
        self.programs.watch(flow).map_err(Denied::because)
    }

    fn unwatch(&mut self, flow: Flow) {
        self.programs.unwatch(flow);
    }

    fn track(&mut self, process: ProcessId) -> Result<(), Denied> {
        self.programs.track(process).map_err(Denied::because)
    }

    fn learn_file(&mut self, file: &Executable, kind: ProgramKind, multicall: bool) -> Result<(), Denied> {
        if !std::mem::take(&mut self.progress.unknown_file) {
            return Ok(());
        }
        self.programs.learn_file(file, kind, multicall).map_err(Denied::because)
    }
}
