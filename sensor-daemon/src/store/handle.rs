//! The end of the record that detection holds: states are handed over here and never waited for.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use tracing::warn;

use super::{
    error::StoreError,
    follower::Follower,
    record::Record,
    retention::Retention,
    settled::Settled,
    shared::{Shared, lock},
    writer::Writer,
};
use crate::finding::Report;

/// How often the file is looked after.
const EVERY: Duration = Duration::from_secs(5);

/// Where findings are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this directory.
    Directory(PathBuf),
    /// In memory: they end with the sensor.
    Memory,
}

/// The record of findings.
pub struct Store {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Store {
    /// Opens the record and starts its thread. `sinks` are those that will follow it; the places of others are forgotten. If
    /// the directory can't be used, a warning says so, and memory keeps findings until it can.
    ///
    /// # Errors
    /// A thread can't be started.
    pub fn start(place: &Place, retention: Retention, sinks: &[String]) -> Result<Self, StoreError> {
        Self::start_with(place, retention, sinks, EVERY)
    }

    pub(super) fn start_with(
        place: &Place,
        retention: Retention,
        sinks: &[String],
        every: Duration,
    ) -> Result<Self, StoreError> {
        let directory = match place {
            Place::Memory => None,
            Place::Directory(directory) => Some(directory.clone()),
        };
        let shared = Arc::new(Shared::new(Record::new(sinks)));
        let writer = Writer::new(Arc::clone(&shared), directory, retention, every);
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

    /// Says that whatever goes on was handed over. What an earlier start of the sensor left open, and this one did not meet, is
    /// over, as far as that is certain.
    pub fn settle(&self, certain: Settled) {
        lock(&self.shared.work).settle = Some(certain);
        self.shared.handed_over.notify_one();
    }

    /// States that were not kept, or that a sink did not get.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.shared.work).dropped
    }

    /// Returns true if everything that is kept outlives the sensor.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.shared.durable.load(Ordering::Relaxed)
    }

    /// The view of a sink.
    #[must_use]
    pub fn follow(&self, sink: &str) -> Follower {
        Follower::new(Arc::clone(&self.shared), sink)
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
