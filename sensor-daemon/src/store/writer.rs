//! Keeps findings, on a thread of its own: detection hands them over and never waits, not even for a disk that is full or
//! gone. Then memory keeps them, and they go to the file when it can be written to again.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    Retention, StoreError,
    carry::{Carry, carry_over},
    database::Database,
    disk::Disk,
    handle::{Shared, lock},
    is_damage, is_full,
    room::{Shed, Which},
    unix_now,
};
use crate::{
    detect::{EndReason, State},
    finding::Report,
};

/// States kept in one go.
const BATCH: usize = 64;
/// How often room is made for a batch, which takes a few times. If it never is enough, somebody else takes it at once.
const ROOM_TRIES: usize = 8;
/// How often old findings are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// Bytes that memory keeps in place of a file, and up to which it keeps what every sink has had.
const MEMORY_MAX: u64 = 16 << 20;
const MEMORY_DELIVERED_MAX: u64 = 2 << 20;

/// What the thread owns.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Where the file is to be, if there is to be one.
    directory: Option<PathBuf>,
    /// The file, once it was of use.
    disk: Option<Arc<Disk>>,
    /// It is what is written to.
    on_disk: bool,
    /// Every state is kept under a higher number than this one.
    first: i64,
    retention: Retention,
    sinks: Vec<String>,
    /// What is left open by now is over.
    settled: bool,
    retry_every: Duration,
    retry_at: Instant,
    tidy_at: Instant,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        directory: Option<PathBuf>,
        disk: Option<Disk>,
        retention: Retention,
        sinks: Vec<String>,
        retry_every: Duration,
    ) -> Self {
        let now = Instant::now();
        let first = lock(&shared.progress).last;
        Self {
            shared,
            directory,
            on_disk: disk.is_some(),
            disk: disk.map(Arc::new),
            first,
            retention,
            sinks,
            settled: false,
            retry_every,
            retry_at: now + retry_every,
            tidy_at: now,
        }
    }

    /// Keeps what is handed over, until there will be nothing more.
    pub(super) fn work(mut self) {
        while let Some((mut reports, settle)) = self.wait() {
            self.return_to_disk();
            if !reports.is_empty() {
                self.keep(&mut reports);
                self.forget_superseded();
            }
            if settle {
                self.settle();
            }
            self.tidy();
        }
        // The last chance for what memory keeps.
        self.retry_at = Instant::now();
        self.return_to_disk();
        lock(&self.shared.progress).ended = true;
        self.shared.moved.notify_all();
    }

    /// What there is to do; `None` when there will be nothing more.
    fn wait(&self) -> Option<(Vec<Report>, bool)> {
        let mut work = lock(&self.shared.work);
        loop {
            if !work.waiting.is_empty() || work.settle {
                let count = work.waiting.len().min(BATCH);
                let reports: Vec<_> = work.waiting.drain(..count).collect();
                // Only when everything before it was kept.
                let settle = work.waiting.is_empty() && std::mem::take(&mut work.settle);
                return Some((reports, settle));
            }
            if work.closed {
                return None;
            }
            work = if self.directory.is_some() && !self.on_disk {
                let waited = self.shared.handed_over.wait_timeout(work, self.retry_every);
                let (work, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() {
                    return Some((Vec::new(), false));
                }
                work
            } else {
                self.shared
                    .handed_over
                    .wait(work)
                    .unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Keeps a batch, wherever it can be kept.
    fn keep(&mut self, reports: &mut Vec<Report>) {
        let mut result = self.put(reports);
        for _ in 0..ROOM_TRIES {
            let full = result.as_ref().is_err_and(is_full);
            if !full || !self.on_disk || !self.make_room() {
                break;
            }
            result = self.put(reports);
        }
        if self.on_disk
            && let Err(error) = &result
            && self.leave_disk(error)
        {
            result = self.put(reports);
        }
        if let Err(error) = result {
            warn!("{} states of findings can't be kept: {error}", reports.len());
            lock(&self.shared.work).dropped += reports.len() as u64;
        }
    }

    /// Keeps a batch, and tells whoever follows.
    fn put(&mut self, reports: &mut Vec<Report>) -> rusqlite::Result<()> {
        let last = lock(&self.shared.database).put(reports)?;
        self.shared.publish(reports, last);
        Ok(())
    }

    /// Forgets findings in favour of new ones; whether there were any.
    fn make_room(&mut self) -> bool {
        let Some(disk) = &self.disk else { return false };
        let shed = disk.make_room(&mut lock(&self.shared.database));
        self.count(shed);
        shed.findings > 0
    }

    fn forget_superseded(&mut self) {
        match lock(&self.shared.database).forget_superseded() {
            Ok(skipped) => lock(&self.shared.work).dropped += skipped as u64,
            Err(error) => debug!("superseded states of findings can't be removed: {error}"),
        }
    }

    /// Goes on without the file, or with a new one if it is damaged; whether that is possible.
    fn leave_disk(&mut self, error: &rusqlite::Error) -> bool {
        let Some(disk) = &self.disk else { return false };
        let mut database = lock(&self.shared.database);
        let last = lock(&self.shared.progress).last;
        if is_damage(error)
            && let Ok(mut new) = disk.replace()
            && carry_over(&database, &mut new, Carry::Needed, last).is_ok()
        {
            *database = new;
            return true;
        }
        warn!(
            "findings can't be written to {} ({error}): memory keeps them until it can be written to again",
            disk.path.display()
        );
        let Ok(mut memory) = Database::in_memory(last) else {
            return false;
        };
        if let Err(error) = carry_over(&database, &mut memory, Carry::Needed, last) {
            debug!("what no sink has had can't be read from the file: {error}");
        }
        *database = memory;
        self.on_disk = false;
        lock(&self.shared.progress).durable = false;
        self.retry_at = Instant::now() + self.retry_every;
        true
    }

    /// Writes what memory has kept to the file, if it can be written to.
    fn return_to_disk(&mut self) {
        if self.on_disk || Instant::now() < self.retry_at {
            return;
        }
        let Some(directory) = self.directory.clone() else {
            return;
        };
        self.retry_at = Instant::now() + self.retry_every;
        if let Err(error) = self.take_up(&directory) {
            debug!("{error}");
            return;
        }
        info!("findings are written to {} again", directory.display());
    }

    fn take_up(&mut self, directory: &Path) -> Result<(), StoreError> {
        let (disk, is_new) = match &self.disk {
            Some(disk) => (Arc::clone(disk), false),
            None => (Arc::new(Disk::lock(directory)?), true),
        };
        let explain = |source| StoreError::of(&disk.path, source);
        let mut file = disk.open()?;
        let mut database = lock(&self.shared.database);
        let last = lock(&self.shared.progress).last;
        let mut waiting = Vec::new();
        if is_new {
            if file.last().map_err(explain)? >= self.first {
                let path = disk.path.clone();
                return Err(StoreError::Ahead { path });
            }
            file.begin_cursors(&self.sinks).map_err(explain)?;
            // What an earlier sensor did not deliver. Sinks are past its numbers, so it gets new ones.
            waiting = file.undelivered().map_err(explain)?;
        }
        carry_over(&database, &mut file, Carry::All, last).map_err(explain)?;
        *database = file;
        drop(database);
        self.disk = Some(disk);
        self.on_disk = true;
        lock(&self.shared.progress).durable = true;
        self.keep_all(waiting);
        if is_new && self.settled {
            self.settle();
        }
        Ok(())
    }

    /// Ends what nobody follows any more.
    fn settle(&mut self) {
        self.settled = true;
        let abandoned = lock(&self.shared.database).abandoned().unwrap_or_else(|error| {
            warn!("findings that an earlier sensor left open can't be read: {error}");
            Vec::new()
        });
        let ended = abandoned.into_iter().map(|mut report| {
            let incident = &mut report.incident;
            incident.state = State::Inactive;
            incident.ended = Some(incident.updated);
            incident.end_reason = Some(EndReason::NoHolderFound);
            incident.monitoring_ended = true;
            incident.new_commands = 0;
            report
        });
        self.keep_all(ended.collect());
    }

    fn keep_all(&mut self, mut reports: Vec<Report>) {
        while !reports.is_empty() {
            let mut batch = reports.drain(..reports.len().min(BATCH)).collect();
            self.keep(&mut batch);
        }
    }

    /// Forgets what is too old, and the oldest of what is too much.
    fn tidy(&mut self) {
        let mut database = lock(&self.shared.database);
        let mut shed = if self.on_disk {
            database.keep_within(self.retention.max_bytes, Which::All)
        } else {
            // Nobody but sinks reads it.
            let delivered = database.keep_within(MEMORY_DELIVERED_MAX, Which::Delivered);
            delivered.and_then(|shed| Ok(shed.and(database.keep_within(MEMORY_MAX, Which::All)?)))
        };
        drop(database);
        if self.on_disk && Instant::now() >= self.tidy_at {
            self.tidy_at = Instant::now() + TIDY_EVERY;
            let old = lock(&self.shared.database).forget_old(&self.retention, unix_now());
            shed = shed.and_then(|shed| Ok(shed.and(old?)));
        }
        match shed {
            Ok(shed) => self.count(shed),
            Err(error) => debug!("old findings can't be removed: {error}"),
        }
    }

    fn count(&self, shed: Shed) {
        lock(&self.shared.work).dropped += shed.undelivered as u64;
    }
}
