//! What a sink sees of the record: the states that it has not had, in order, as soon as they are kept.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tracing::debug;

use super::{
    Stored,
    handle::{Shared, lock},
    unix_now,
};
use crate::finding::Report;

/// Pause before a sink's states are read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// A sink's view of the record.
pub struct Follower {
    shared: Arc<Shared>,
    sink: String,
    cursor: i64,
}

impl Follower {
    /// Of a sink that has come so far.
    pub(super) fn new(shared: Arc<Shared>, sink: &str, cursor: i64) -> Self {
        Self {
            shared,
            sink: sink.to_owned(),
            cursor,
        }
    }

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

    /// Notes why the sink takes nothing, or that it does again.
    pub fn failing(&self, why: Option<&str>) {
        if let Err(error) = lock(&self.shared.database).set_failing(&self.sink, why, unix_now()) {
            debug!("how {} does can't be kept: {error}", self.sink);
        }
    }

    /// Takes nothing any more: no state is kept for this sink's sake until the sensor starts again.
    pub fn leave(self) {
        if let Err(error) = lock(&self.shared.database).wait_for(&self.sink, false) {
            debug!("that {} takes nothing any more can't be kept: {error}", self.sink);
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
