//! The end of the record that detection and sinks hold: states are handed over here and never waited for.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tracing::{debug, warn};

use super::{
    FILE, Retention, StoreError, database::Database, disk::Disk, follower::Follower, unix_now, writer::Writer,
};
use crate::finding::Report;

/// States that wait before a newer one takes the place of an older one of the same finding.
const PLENTY: usize = 256;
/// States that wait at most.
const WAITING_MAX: usize = 1024;
/// States kept at hand for sinks.
const RECENT_MAX: usize = 16;
/// How often a file that could not be written to is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(30);

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
    pub(super) work: Mutex<Work>,
    pub(super) handed_over: Condvar,
    pub(super) database: Mutex<Database>,
    pub(super) progress: Mutex<Progress>,
    pub(super) moved: Condvar,
}

#[derive(Default)]
pub(super) struct Work {
    /// States to be kept.
    pub(super) waiting: VecDeque<Report>,
    /// Then, what is left open by an earlier sensor is over.
    pub(super) settle: bool,
    /// Nothing more will be handed over.
    pub(super) closed: bool,
    /// States that some sink did not and will not get.
    pub(super) dropped: u64,
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
    pub(super) durable: bool,
}

impl Shared {
    /// Tells whoever follows of states that are kept, the last of them under this number.
    pub(super) fn publish(&self, reports: &mut Vec<Report>, last: i64) {
        let mut progress = lock(&self.progress);
        let first = last + 1 - reports.len() as i64;
        progress.recent.extend((first..).zip(reports.drain(..).map(Arc::new)));
        let surplus = progress.recent.len().saturating_sub(RECENT_MAX);
        progress.recent.drain(..surplus);
        progress.last = last;
        drop(progress);
        self.moved.notify_all();
    }
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
        let explain = |source| StoreError::of(Path::new(FILE), source);
        let (mut database, disk, last) = match opened {
            Some((database, disk)) => {
                let last = database.last().map_err(explain)?;
                (database, Some(disk), last)
            }
            None => {
                // Higher than any number in a file that may be used later.
                let last = unix_now() / 1_000_000;
                (Database::in_memory(last)?, None, last)
            }
        };
        database.begin_cursors(sinks).map_err(explain)?;
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
        let writer = Writer::new(
            Arc::clone(&shared),
            directory,
            disk,
            retention,
            sinks.to_vec(),
            retry_every,
        );
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
