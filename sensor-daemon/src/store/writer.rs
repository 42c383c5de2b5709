//! Keeps findings, on a thread of its own, so that detection never waits for a disk that is full, slow or gone.
//!
//! Every few seconds, and with every state, the thread looks after the file: one that was removed is begun anew, one that is damaged
//! is moved aside, what could not be written is tried again, and findings are closed that somebody asked to close.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    disk::{Disk, Foreign},
    error::StoreError,
    record::Record,
    retention::{self, Retention},
    settled::Settled,
    shared::{Shared, Work, lock},
    unix_now,
};
use crate::{
    detect::{EndReason, State},
    finding::Report,
};

/// States taken at once.
const BATCH: usize = 64;
/// How often old findings are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// What the thread owns.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Where the file is to be, if there is to be one.
    directory: Option<PathBuf>,
    /// The directory that is in use.
    disk: Option<Disk>,
    retention: Retention,
    /// How often the file is looked after.
    every: Duration,
    look_at: Instant,
    /// It was said that the file can't be written.
    failing: bool,
    /// What an earlier sensor left open is over.
    settled: Option<Settled>,
    forget_at: Instant,
    /// When the newest finding in the file had changed, and when that was read.
    newest: (i64, Instant),
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, directory: Option<PathBuf>, retention: Retention, every: Duration) -> Self {
        let now = Instant::now();
        let mut writer = Self {
            shared: Arc::clone(&shared),
            directory,
            disk: None,
            retention,
            every,
            look_at: now + every,
            failing: false,
            settled: None,
            forget_at: now,
            newest: (unix_now(), now),
        };
        let mut record = lock(&shared.record);
        writer.attach(&mut record);
        writer.flush(&mut record);
        drop(record);
        writer
    }

    /// Keeps what is handed over, until there will be nothing more.
    pub(super) fn work(mut self) {
        let shared = Arc::clone(&self.shared);
        while let Some((reports, settle)) = self.wait() {
            let mut record = lock(&shared.record);
            self.look_after_file(&mut record);
            reports.into_iter().for_each(|report| record.append(report));
            self.flush(&mut record);
            if settle.is_some() {
                self.settled = settle;
                self.settle(&mut record);
            }
            self.forget(&mut record);
            self.bound(&mut record);
            shared.moved.notify_all();
        }
        let mut record = lock(&shared.record);
        self.look_at = Instant::now();
        self.look_after_file(&mut record);
        if self.directory.is_some() && !record.is_durable() {
            warn!(
                "the newest {} states of findings could not be written and end with the sensor",
                record.queued()
            );
        }
        record.ended = true;
        shared.moved.notify_all();
    }

    /// What there is to do; `None` when there will be nothing more.
    fn wait(&self) -> Option<(Vec<Report>, Option<Settled>)> {
        let work = lock(&self.shared.work);
        let idle = |work: &mut Work| work.waiting.is_empty() && work.settle.is_none() && !work.closed;
        let mut work = if self.directory.is_some() {
            let waited = self.shared.handed_over.wait_timeout_while(work, self.every, idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = self.shared.handed_over.wait_while(work, idle);
            waited.unwrap_or_else(PoisonError::into_inner)
        };
        if work.closed && work.waiting.is_empty() && work.settle.is_none() {
            return None;
        }
        let count = work.waiting.len().min(BATCH);
        let reports = work.waiting.drain(..count).collect();
        // Only when every state before it was kept.
        let settle = if work.waiting.is_empty() {
            work.settle.take()
        } else {
            None
        };
        Some((reports, settle))
    }

    /// Now and then: tries what failed again, and carries out requests to close findings.
    fn look_after_file(&mut self, record: &mut Record) {
        if self.directory.is_none() || Instant::now() < self.look_at {
            return;
        }
        self.look_at = Instant::now() + self.every;
        if record.file.is_none() {
            self.attach(record);
        }
        self.write(record);
        if record.is_durable()
            && let Some(file) = &mut record.file
        {
            match file.close_requested(record.last) {
                Ok(last) => record.last = last,
                Err(error) => debug!("findings can't be closed yet: {error}"),
            }
        }
        self.shared.moved.notify_all();
    }

    /// Opens the file, if that is possible.
    fn attach(&mut self, record: &mut Record) {
        let Some(directory) = self.directory.clone() else {
            return;
        };
        // The directory may be another one by now, with another lock.
        self.disk = None;
        let mut open = || -> Result<Disk, StoreError> {
            let mut disk = Disk::lock(&directory, Foreign::Refuse)?;
            let file = disk.open()?;
            let newest = file.newest_change().unwrap_or_default();
            self.newest = (newest.unwrap_or_else(unix_now), Instant::now());
            record
                .attach(file)
                .map_err(|source| StoreError::sqlite(&disk.path, source))?;
            Ok(disk)
        };
        match open() {
            Ok(disk) => {
                self.disk = Some(disk);
                self.settle(record);
            }
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// Says once that the file can't be written.
    fn fail(&mut self, why: &str) {
        if std::mem::replace(&mut self.failing, true) {
            debug!("{why}");
        } else {
            warn!(
                "{why}; memory keeps findings until they can be written, and what is not written by then ends with the sensor"
            );
        }
    }

    /// Writes what is queued, unless that has failed just now.
    fn flush(&mut self, record: &mut Record) {
        if !self.failing {
            self.write(record);
        }
        self.shared.durable.store(record.is_durable(), Ordering::Relaxed);
    }

    fn write(&mut self, record: &mut Record) {
        let Some(disk) = &self.disk else { return };
        let path = disk.path.clone();
        if !disk.is_in_place() {
            warn!(
                "the findings at {} were removed or replaced while the sensor runs: a new file begins with what goes on",
                path.display()
            );
            record.detach();
            self.attach(record);
        }
        let flush = |record: &mut Record| record.flush().map_err(|source| StoreError::sqlite(&path, source));
        let mut result = flush(record);
        if result.as_ref().is_err_and(StoreError::is_damage)
            && let Some(disk) = &self.disk
        {
            record.detach();
            match disk.move_aside() {
                Ok(()) => self.attach(record),
                Err(error) => self.fail(&error.to_string()),
            }
            result = flush(record);
        }
        match result {
            Err(error) => self.fail(&error.to_string()),
            Ok(()) if record.is_durable() && std::mem::take(&mut self.failing) => {
                info!("findings are written to {} again", path.display());
            }
            Ok(()) => {}
        }
        self.shared.durable.store(record.is_durable(), Ordering::Relaxed);
    }

    /// Ends what an earlier sensor left open and nobody has met again.
    fn settle(&mut self, record: &mut Record) {
        let Some(certain) = &self.settled else { return };
        let abandoned = record.abandoned(certain).unwrap_or_else(|error| {
            warn!("findings that an earlier sensor left open can't be read: {error}");
            Vec::new()
        });
        for mut report in abandoned {
            let incident = &mut report.incident;
            incident.state = State::Inactive;
            incident.ended = Some(incident.updated);
            incident.end_reason = Some(EndReason::NoHolderFound);
            incident.monitoring_ended = true;
            incident.new_commands = 0;
            record.append(report);
        }
        self.flush(record);
    }

    /// Forgets superseded states, what is too old, and the oldest of what is too much.
    fn forget(&mut self, record: &mut Record) {
        let delivered = record.delivered();
        let Some(file) = &mut record.file else { return };
        let connection = &mut file.connection;
        let mut forget = || {
            let superseded = retention::forget_superseded(connection, delivered)?;
            let undelivered = retention::keep_within(connection, self.retention.max_bytes, delivered)?;
            if Instant::now() >= self.forget_at {
                self.forget_at = Instant::now() + FORGET_EVERY;
                let (newest, at) = self.newest;
                if let Some(oldest) = self.retention.oldest(unix_now(), newest, at.elapsed()) {
                    retention::forget_old(connection, oldest, delivered)?;
                }
            }
            Ok::<_, rusqlite::Error>(superseded + undelivered)
        };
        match forget() {
            Ok(dropped) => self.shared.drop_states(dropped as u64),
            Err(error) => debug!("old findings can't be removed: {error}"),
        }
    }

    fn bound(&self, record: &mut Record) {
        let given_up = record.bound(self.directory.is_some());
        self.shared.drop_states(given_up);
    }
}
