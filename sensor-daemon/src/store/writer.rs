//! Keeps findings, on a thread of its own: detection hands them over and never waits, not even for a disk that is full or
//! gone. Then memory keeps them, and they go to the file when it can be written to again.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::ErrorCode;
use tracing::{debug, info, warn};

use crate::{
    detect::{EndReason, State},
    finding::Report,
};

use super::{FILE, Retention, StoreError, database::Database, disk::Disk, follower::Follower, is_damage};

/// States that wait before a newer one takes the place of an older one of the same finding.
const PLENTY: usize = 256;
/// States that wait at most.
const WAITING_MAX: usize = 1024;
/// States kept in one go.
const BATCH: usize = 64;
/// States kept at hand for sinks.
const RECENT_MAX: usize = 16;
/// How often a file that could not be written to is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(30);
/// How often old findings are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How often room is made for a batch before memory takes it.
const SHED_MAX: usize = 20;

/// Where findings are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this directory.
    Directory(PathBuf),
    /// Nowhere but in memory: they end with the sensor.
    Memory,
}

/// The end that detection holds.
pub struct Store {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

pub(super) struct Shared {
    work: Mutex<Work>,
    handed_over: Condvar,
    pub(super) database: Mutex<Database>,
    pub(super) progress: Mutex<Progress>,
    pub(super) moved: Condvar,
}

#[derive(Default)]
struct Work {
    waiting: VecDeque<Report>,
    settle: bool,
    closed: bool,
    dropped: u64,
}

#[derive(Default)]
pub(super) struct Progress {
    /// Number of the last state that is kept.
    pub(super) last: i64,
    /// The last states, so that a sink that keeps up need not read them again.
    pub(super) recent: VecDeque<(i64, Arc<Report>)>,
    /// Nothing will follow.
    pub(super) ended: bool,
    /// What is kept is in a file.
    durable: bool,
}

/// A panic elsewhere leaves what is behind the lock as good as it was: every change is one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Work {
    fn push(&mut self, report: Report) {
        if self.waiting.len() >= PLENTY
            && let Some(older) = self.waiting.iter_mut().find(|older| older.id == report.id)
        {
            *older = report;
            self.dropped += 1;
        } else if self.waiting.len() >= WAITING_MAX {
            self.dropped += 1;
        } else {
            self.waiting.push_back(report);
        }
    }
}

impl Store {
    /// Opens the record and starts its thread. `sinks` are those that will follow it; others are forgotten. A directory that
    /// is of no use is said so of, and memory is used.
    ///
    /// # Errors
    /// A thread can't be started, or there is no memory.
    pub fn start(place: &Place, retention: Retention, sinks: &[String]) -> Result<Self, StoreError> {
        let (mut database, disk) = match place {
            Place::Memory => (Database::in_memory()?, None),
            Place::Directory(directory) => match Disk::open(directory) {
                Ok((database, disk)) => (database, Some(disk)),
                Err(error) => {
                    warn!(
                        "{error}; findings are kept in memory, and those that were not delivered are lost with the sensor"
                    );
                    (Database::in_memory()?, None)
                }
            },
        };
        let explain = |source| StoreError::of(Path::new(FILE), source);
        database.keep_cursors(sinks).map_err(explain)?;
        for sink in sinks {
            database.cursor(sink).map_err(explain)?;
        }
        let last = database.last().map_err(explain)?;
        let shared = Arc::new(Shared {
            work: Mutex::default(),
            handed_over: Condvar::new(),
            database: Mutex::new(database),
            progress: Mutex::new(Progress {
                last,
                durable: disk.is_some(),
                ..Progress::default()
            }),
            moved: Condvar::new(),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            on_disk: disk.is_some(),
            disk,
            retention,
            retry_at: Instant::now(),
            tidy_at: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.work());
        let thread = thread.map_err(|source| StoreError::Io {
            path: PathBuf::from("(thread)"),
            source,
        })?;
        Ok(Self { shared, thread })
    }

    /// Hands a state over. Never waits.
    pub fn put(&self, report: Report) {
        lock(&self.shared.work).push(report);
        self.shared.handed_over.notify_one();
    }

    /// Says that whatever goes on was handed over: what an earlier start of the sensor left open, and this one did not meet, is
    /// over.
    pub fn settle(&self) {
        lock(&self.shared.work).settle = true;
        self.shared.handed_over.notify_one();
    }

    /// States that were not kept, or that a sink did not get because newer ones of the same finding came too fast.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.shared.work).dropped
    }

    /// Whether what is kept outlives the sensor.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        lock(&self.shared.progress).durable
    }

    /// Where a sink is.
    #[must_use]
    pub fn follow(&self, sink: &str) -> Follower {
        let cursor = lock(&self.shared.database).cursor(sink).unwrap_or_else(|error| {
            debug!("the place of {sink} can't be read: {error}");
            0
        });
        Follower::new(Arc::clone(&self.shared), sink, cursor)
    }

    /// Lets the file grow by no more than `pages`, as if the disk were full.
    #[cfg(test)]
    pub(super) fn fill_disk(&self, pages: i64) -> rusqlite::Result<()> {
        lock(&self.shared.database).refuse_to_grow(pages)
    }

    /// Keeps what was handed over, and lets followers end when they have had it.
    pub fn close(&self) {
        lock(&self.shared.work).closed = true;
        self.shared.handed_over.notify_one();
    }

    /// Waits for the thread.
    pub fn join(self) {
        self.close();
        if self.thread.join().is_err() {
            warn!("the thread that keeps findings died");
        }
    }
}

/// What the thread owns.
struct Writer {
    shared: Arc<Shared>,
    /// The file, if there is to be one.
    disk: Option<Disk>,
    /// It is what is written to.
    on_disk: bool,
    retention: Retention,
    retry_at: Instant,
    tidy_at: Instant,
}

impl Writer {
    fn work(mut self) {
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
            work = if self.disk.is_some() && !self.on_disk {
                let waited = self.shared.handed_over.wait_timeout(work, RETRY_EVERY);
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
        for _ in 0..SHED_MAX {
            let result = lock(&self.shared.database).put(reports);
            let error = match result {
                Ok(last) => {
                    let mut progress = lock(&self.shared.progress);
                    let first = last + 1 - reports.len() as i64;
                    progress.recent.extend((first..).zip(reports.drain(..).map(Arc::new)));
                    let surplus = progress.recent.len().saturating_sub(RECENT_MAX);
                    progress.recent.drain(..surplus);
                    progress.last = last;
                    drop(progress);
                    self.shared.moved.notify_all();
                    return;
                }
                Err(error) => error,
            };
            let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
            if self.on_disk && full && lock(&self.shared.database).shed().unwrap_or(false) {
                continue;
            }
            if !self.on_disk || !self.leave_disk(&error) {
                warn!("{} states of findings can't be kept: {error}", reports.len());
                break;
            }
        }
        lock(&self.shared.work).dropped += reports.len() as u64;
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
        if is_damage(error)
            && let Ok(new) = disk.replace()
        {
            let mut new = new;
            if carry_over(&database, &mut new, lock(&self.shared.progress).last).is_ok() {
                *database = new;
                return true;
            }
        }
        warn!(
            "findings can't be written to {} ({error}): memory keeps them until it can be written to again",
            disk.path.display()
        );
        let Ok(mut memory) = Database::in_memory() else {
            return false;
        };
        if let Err(error) = carry_over(&database, &mut memory, lock(&self.shared.progress).last) {
            debug!("what no sink has had can't be read from the file: {error}");
        }
        *database = memory;
        self.on_disk = false;
        lock(&self.shared.progress).durable = false;
        self.retry_at = Instant::now() + RETRY_EVERY;
        true
    }

    /// Writes what memory has kept to the file, if it can be written to.
    fn return_to_disk(&mut self) {
        let Some(disk) = &self.disk else { return };
        if self.on_disk || Instant::now() < self.retry_at {
            return;
        }
        self.retry_at = Instant::now() + RETRY_EVERY;
        let mut database = lock(&self.shared.database);
        let last = lock(&self.shared.progress).last;
        let returned = Database::open(&disk.path).and_then(|mut file| {
            let copied = carry_over(&database, &mut file, last);
            copied
                .map_err(|source| StoreError::of(&disk.path, source))
                .map(|()| file)
        });
        match returned {
            Ok(file) => {
                *database = file;
                self.on_disk = true;
                lock(&self.shared.progress).durable = true;
                info!("findings are written to {} again", disk.path.display());
            }
            Err(error) => debug!("{error}"),
        }
    }

    /// Ends what nobody follows any more.
    fn settle(&mut self) {
        let abandoned = lock(&self.shared.database).abandoned().unwrap_or_else(|error| {
            warn!("findings that an earlier sensor left open can't be read: {error}");
            Vec::new()
        });
        let mut ended: Vec<Report> = abandoned
            .into_iter()
            .map(|mut report| {
                let incident = &mut report.incident;
                incident.state = State::Inactive;
                incident.ended = Some(incident.updated);
                incident.end_reason = Some(EndReason::NoHolderFound);
                incident.monitoring_ended = true;
                incident.new_commands = 0;
                report
            })
            .collect();
        while !ended.is_empty() {
            let mut batch = ended.drain(..ended.len().min(BATCH)).collect();
            self.keep(&mut batch);
        }
    }

    fn tidy(&mut self) {
        if !self.on_disk || Instant::now() < self.tidy_at {
            return;
        }
        self.tidy_at = Instant::now() + TIDY_EVERY;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
        if let Err(error) = lock(&self.shared.database).keep_within(&self.retention, now) {
            debug!("old findings can't be removed: {error}");
        }
    }
}

/// Copies what some sink has not had, what goes on, and every sink's place. Numbers go on after `last`.
fn carry_over(from: &Database, to: &mut Database, last: i64) -> rusqlite::Result<()> {
    to.number_from(last)?;
    for row in from.open_ones()? {
        to.adopt(&row, from.has_met(row.seq)?)?;
    }
    let cursors = from.cursors()?;
    let mut seq = cursors.iter().map(|(_, seq)| *seq).min().unwrap_or(last);
    loop {
        let rows = from.after(seq, BATCH)?;
        for row in &rows {
            to.adopt(row, from.has_met(row.seq)?)?;
            seq = row.seq;
        }
        if rows.len() < BATCH {
            break;
        }
    }
    for (sink, seq) in cursors {
        to.set_cursor(&sink, seq)?;
    }
    Ok(())
}
