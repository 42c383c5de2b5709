//! Keeps findings, on a thread of its own: detection hands them over and never waits, not even for a disk that is full or
//! gone. Then memory keeps them, and they go to the file when it can be written to again.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use crate::{
    detect::{EndReason, State},
    finding::Report,
};

use super::{
    FILE, Retention, StoreError, database::Database, disk::Disk, follower::Follower, is_damage, is_full, room::Shed,
};

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
/// Bytes that memory keeps in place of a file.
const MEMORY_MAX: u64 = 4 << 20;

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
    /// is of no use is said so of, and memory is used until it is.
    ///
    /// # Errors
    /// A thread can't be started, or there is no memory.
    pub fn start(place: &Place, retention: Retention, sinks: &[String]) -> Result<Self, StoreError> {
        Self::start_with(place, retention, sinks, RETRY_EVERY)
    }

    pub(super) fn start_with(
        place: &Place,
        retention: Retention,
        sinks: &[String],
        retry_every: Duration,
    ) -> Result<Self, StoreError> {
        let directory = match place {
            Place::Memory => None,
            Place::Directory(directory) => Some(directory.clone()),
        };
        let opened = directory.as_deref().and_then(|directory| {
            let opened = Disk::lock(directory).and_then(|disk| Ok((disk.open()?, disk)));
            let explain = |error: &StoreError| {
                warn!(
                    "{error}; memory keeps findings until they can be, those not delivered by then end with the sensor"
                );
            };
            opened.inspect_err(explain).ok()
        });
        let (mut database, disk) = match opened {
            Some((database, disk)) => (database, Some(disk)),
            None => (Database::in_memory()?, None),
        };
        let explain = |source| StoreError::of(Path::new(FILE), source);
        if disk.is_none() {
            // Higher than any in a file that may be used later.
            let now = unix_now() / 1_000_000;
            database.number_from(now).map_err(explain)?;
        }
        database.begin_cursors(sinks).map_err(explain)?;
        let last = database.last().map_err(explain)?;
        let on_disk = disk.is_some();
        let shared = Arc::new(Shared {
            work: Mutex::default(),
            handed_over: Condvar::new(),
            database: Mutex::new(database),
            progress: Mutex::new(Progress {
                last,
                durable: on_disk,
                ..Progress::default()
            }),
            moved: Condvar::new(),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            directory,
            on_disk,
            disk,
            retention,
            sinks: sinks.to_vec(),
            settled: false,
            retry_every,
            retry_at: Instant::now() + retry_every,
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
    /// Where the file is to be, if there is to be one.
    directory: Option<PathBuf>,
    /// The file, once it was of use.
    disk: Option<Disk>,
    /// It is what is written to.
    on_disk: bool,
    retention: Retention,
    sinks: Vec<String>,
    /// What is left open by now is over.
    settled: bool,
    retry_every: Duration,
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
        while self.on_disk
            && let Err(error) = &result
            && is_full(error)
            && self.make_room()
        {
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
        let mut progress = lock(&self.shared.progress);
        let first = last + 1 - reports.len() as i64;
        progress.recent.extend((first..).zip(reports.drain(..).map(Arc::new)));
        let surplus = progress.recent.len().saturating_sub(RECENT_MAX);
        progress.recent.drain(..surplus);
        progress.last = last;
        drop(progress);
        self.shared.moved.notify_all();
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
        let Ok(mut memory) = Database::in_memory() else {
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
        let (disk, is_new) = match self.disk.take() {
            Some(disk) => (disk, false),
            None => (Disk::lock(directory)?, true),
        };
        let path = disk.path.clone();
        let explain = |source| StoreError::of(&path, source);
        let mut file = match disk.open() {
            Ok(file) => file,
            Err(error) => {
                self.disk = Some(disk).filter(|_| !is_new);
                return Err(error);
            }
        };
        // What an earlier sensor did not deliver. Sinks are past its numbers, so it gets new ones.
        let mut waiting = Vec::new();
        let mut database = lock(&self.shared.database);
        let last = lock(&self.shared.progress).last;
        let taken = (|| {
            if is_new {
                file.begin_cursors(&self.sinks)?;
                waiting = file.undelivered()?;
            }
            carry_over(&database, &mut file, Carry::All, last)
        })();
        if let Err(source) = taken {
            self.disk = Some(disk).filter(|_| !is_new);
            return Err(explain(source));
        }
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
        let max_bytes = if self.on_disk {
            self.retention.max_bytes
        } else {
            MEMORY_MAX
        };
        let mut shed = lock(&self.shared.database).keep_within(max_bytes);
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

/// Nanoseconds of Unix time.
fn unix_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

/// What is copied from one record to another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carry {
    /// All that there is.
    All,
    /// What goes on, and what some sink has not had.
    Needed,
}

/// Copies findings and every sink's place. Numbers go on after `last`.
fn carry_over(from: &Database, to: &mut Database, what: Carry, last: i64) -> rusqlite::Result<()> {
    to.number_from(last)?;
    for row in from.open_ones()? {
        let met = from.has_met(row.seq)?;
        to.adopt(row, met)?;
    }
    let cursors = from.cursors()?;
    let mut seq = match what {
        Carry::All => 0,
        Carry::Needed => cursors.iter().map(|cursor| cursor.seq).min().unwrap_or(last),
    };
    loop {
        let rows = from.after(seq, BATCH)?;
        let all = rows.len() < BATCH;
        for row in rows {
            seq = row.seq;
            let met = from.has_met(seq)?;
            to.adopt(row, met)?;
        }
        if all {
            break;
        }
    }
    for cursor in cursors {
        to.set_cursor(&cursor.sink, cursor.seq)?;
        to.wait_for(&cursor.sink, cursor.waits)?;
    }
    Ok(())
}
