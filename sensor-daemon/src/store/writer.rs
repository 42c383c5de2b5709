//! Keeps findings, on a thread of its own: detection hands them over and never waits, not even for a disk that is full or
//! gone. Then memory keeps them, and they go to the file when it can be written to again.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::ErrorCode;
use rustix::fs::{FlockOperation, flock};
use tracing::{debug, info, warn};

use crate::{
    detect::{EndReason, State},
    finding::Report,
};

use super::{FILE, Retention, StoreError, Stored, database::Database, is_damage};

/// States that wait before a newer one takes the place of an older one of the same finding.
const PLENTY: usize = 256;
/// States that wait at most.
const WAITING_MAX: usize = 1024;
/// States kept in one go.
const BATCH: usize = 64;
/// States kept at hand for sinks.
const RECENT_MAX: usize = 16;
/// Numbers without a readable row that are passed over in a damaged file.
const UNREADABLE_MAX: usize = 100_000;
/// Pause before a sink's states are read again.
const READ_AGAIN: Duration = Duration::from_secs(1);
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

struct Shared {
    work: Mutex<Work>,
    handed_over: Condvar,
    database: Mutex<Database>,
    progress: Mutex<Progress>,
    moved: Condvar,
}

#[derive(Default)]
struct Work {
    waiting: VecDeque<Report>,
    settle: bool,
    closed: bool,
    dropped: u64,
}

#[derive(Default)]
struct Progress {
    /// Number of the last state that is kept.
    last: i64,
    /// The last states, so that a sink that keeps up need not read them again.
    recent: VecDeque<(i64, Arc<Report>)>,
    /// Nothing will follow.
    ended: bool,
    /// What is kept is in a file.
    durable: bool,
}

/// A panic elsewhere leaves what is behind the lock as good as it was: every change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
        Follower {
            shared: Arc::clone(&self.shared),
            sink: sink.to_owned(),
            cursor,
        }
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

/// A sink's view of the record.
pub struct Follower {
    shared: Arc<Shared>,
    sink: String,
    cursor: i64,
}

impl Follower {
    /// What the sink has not had, in order, as soon as there is something; `None` when there will be nothing more.
    pub fn next(&mut self, limit: usize) -> Option<Vec<(i64, Arc<Report>)>> {
        loop {
            let mut progress = lock(&self.shared.progress);
            while progress.last <= self.cursor {
                if progress.ended {
                    return None;
                }
                progress = self.shared.moved.wait(progress).unwrap_or_else(PoisonError::into_inner);
            }
            if progress.recent.front().is_some_and(|(seq, _)| *seq <= self.cursor + 1) {
                let new = progress.recent.iter().filter(|(seq, _)| *seq > self.cursor);
                return Some(new.take(limit).cloned().collect());
            }
            let last = progress.last;
            drop(progress);
            let rows = lock(&self.shared.database).after(self.cursor, limit);
            match rows {
                Ok(rows) if !rows.is_empty() => {
                    let rows = rows.into_iter();
                    return Some(rows.map(|Stored { seq, report }| (seq, Arc::new(report))).collect());
                }
                // All of them were superseded, or are not to be understood.
                Ok(_) => self.cursor = last,
                Err(error) => {
                    // It may pass; what can't be read then is in the file still.
                    debug!("what {} has not had can't be read yet: {error}", self.sink);
                    if self.pause(READ_AGAIN) {
                        return None;
                    }
                }
            }
        }
    }

    /// Notes that everything up to this number was delivered.
    pub fn done(&mut self, seq: i64) {
        self.cursor = seq;
        if let Err(error) = lock(&self.shared.database).set_cursor(&self.sink, seq) {
            debug!("the place of {} can't be kept: {error}", self.sink);
        }
    }

    /// Waits before another try, or until the sensor ends; whether it does.
    #[must_use]
    pub fn pause(&self, time: Duration) -> bool {
        let progress = lock(&self.shared.progress);
        let (progress, _) = self
            .shared
            .moved
            .wait_timeout_while(progress, time, |progress| !progress.ended)
            .unwrap_or_else(PoisonError::into_inner);
        progress.ended
    }
}

/// The file, and the right to write it.
struct Disk {
    path: PathBuf,
    _lock: File,
}

impl Disk {
    fn open(directory: &Path) -> Result<(Database, Self), StoreError> {
        let path = directory.join(FILE);
        let io = |source: io::Error| StoreError::Io {
            path: path.clone(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io)?;
        let private = |name: &str| {
            let mut options = fs::OpenOptions::new();
            options.create(true).truncate(false).write(true).mode(0o600);
            options.open(directory.join(name))
        };
        let lock = private("lock").map_err(io)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StoreError::InUse { path });
        }
        // SQLite would make it readable for all.
        private(FILE).map_err(io)?;
        let disk = Self { path, _lock: lock };
        let database = match Database::open(&disk.path) {
            Err(StoreError::Damaged { .. }) => disk.replace()?,
            other => other?,
        };
        Ok((database, disk))
    }

    /// Moves a damaged file aside, and begins a new one with what can be read of it.
    fn replace(&self) -> Result<Database, StoreError> {
        let io = |source: io::Error| StoreError::Io {
            path: self.path.clone(),
            source,
        };
        let aside = (1..)
            .map(|number| PathBuf::from(format!("{}.corrupt-{number}", self.path.display())))
            .find(|path| !path.exists())
            .ok_or_else(|| io(io::ErrorKind::AlreadyExists.into()))?;
        fs::rename(&self.path, &aside).map_err(io)?;
        for suffix in ["-wal", "-shm"] {
            let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            // There is none after an orderly end.
            let _ = fs::rename(beside(&self.path), beside(&aside));
        }
        let mut options = fs::OpenOptions::new();
        let made = options
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&self.path);
        made.map_err(io)?;
        let mut database = Database::open(&self.path)?;
        let saved = super::database::open_for_reading(&aside)
            .map(|damaged| salvage(&damaged, &mut database))
            .unwrap_or_default();
        warn!(
            "the findings at {} are damaged: the file was moved to {}, {saved} states of findings go on in a new one",
            self.path.display(),
            aside.display()
        );
        Ok(database)
    }
}

/// Takes over what can be read, and every sink's place; how many states that is.
fn salvage(damaged: &rusqlite::Connection, database: &mut Database) -> usize {
    let last = super::database::last(damaged).unwrap_or(0);
    let (mut saved, mut seq, mut unreadable) = (0, 0, 0);
    // Row by row: one that can't be read ends a longer answer.
    while unreadable < UNREADABLE_MAX {
        match super::database::after(damaged, seq, 1).as_deref() {
            Ok([row, ..]) => {
                seq = row.seq;
                // An earlier start of the sensor wrote it, as far as it is known.
                saved += usize::from(database.adopt(row, false).is_ok());
            }
            Ok([]) => break,
            Err(_) if seq < last => {
                seq += 1;
                unreadable += 1;
            }
            Err(_) => break,
        }
    }
    for (sink, seq) in super::database::cursors(damaged).unwrap_or_default() {
        if let Err(error) = database.set_cursor(&sink, seq) {
            debug!("the place of {sink} can't be taken over: {error}");
        }
    }
    saved
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
