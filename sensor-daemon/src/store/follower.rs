//! What a sink sees of the record: the states that it has not had, in order, as soon as they are kept.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tracing::debug;

use super::{
    shared::{Shared, lock},
    unix_now,
};
use crate::finding::Report;

/// Pause before states that could not be read are read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// A sink's view of the record.
pub struct Follower {
    shared: Arc<Shared>,
    sink: String,
    /// How far numbers had been moved when the last states were handed out.
    moved: i64,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, sink: &str) -> Self {
        let sink = sink.to_owned();
        Self { shared, sink, moved: 0 }
    }

    /// What the sink has not had, in order, as soon as there is something; `None` when there will be nothing more.
    pub fn next(&mut self, limit: usize) -> Option<Vec<(i64, Arc<Report>)>> {
        let mut record = lock(&self.shared.record);
        loop {
            let place = record.place(&self.sink);
            if record.last <= place {
                if record.ended {
                    return None;
                }
                record = self.shared.moved.wait(record).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            match record.after(place, limit) {
                Ok(batch) => {
                    self.shared.drop_states(batch.unreadable as u64);
                    if !batch.states.is_empty() {
                        self.moved = record.moved;
                        return Some(batch.states);
                    }
                    // All of them were superseded, or can't be read.
                    record.note(&self.sink, |cursor| cursor.seq = batch.up_to);
                }
                Err(error) => {
                    // This may pass. What can't be read by the end is still in the file.
                    debug!("what {} has not had can't be read yet: {error}", self.sink);
                    drop(record);
                    if self.pause(READ_AGAIN) {
                        return None;
                    }
                    record = lock(&self.shared.record);
                }
            }
        }
    }

    /// Notes that everything up to this number was delivered.
    pub fn done(&mut self, seq: i64) {
        let mut record = lock(&self.shared.record);
        let seq = seq + record.moved - self.moved;
        record.note(&self.sink, |cursor| cursor.seq = seq);
    }

    /// Notes why the sink takes nothing, or that it takes states again.
    pub fn failing(&self, why: Option<&str>) {
        lock(&self.shared.record).note(&self.sink, |cursor| {
            let since = cursor.failing.take().map_or_else(unix_now, |(_, since)| since);
            cursor.failing = why.map(|why| (why.to_owned(), since));
        });
    }

    /// Takes nothing any more: no state is kept for this sink's sake until the sensor starts again.
    pub fn leave(self) {
        lock(&self.shared.record).note(&self.sink, |cursor| cursor.waits = false);
    }

    /// Waits before another try. Returns true if the sensor ends.
    #[must_use]
    pub fn pause(&self, time: Duration) -> bool {
        let record = lock(&self.shared.record);
        let waited = self
            .shared
            .moved
            .wait_timeout_while(record, time, |record| !record.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }
}
