//! What the threads of the record share: detection hands states over, the writer keeps them, sinks follow.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

use super::{record::Record, settled::Settled};
use crate::finding::Report;

/// States that wait for the writer before a newer state replaces an older one of the same finding.
const PLENTY: usize = 256;
/// States that wait at most.
const WAITING_MAX: usize = 1024;

/// Whoever needs both locks takes `record` first.
pub(super) struct Shared {
    /// Held for a moment only, so that detection never waits for a disk.
    pub(super) work: Mutex<Work>,
    pub(super) handed_over: Condvar,
    /// Held while the file is read or written.
    pub(super) record: Mutex<Record>,
    pub(super) moved: Condvar,
    /// Everything that is kept outlives the sensor.
    pub(super) durable: AtomicBool,
}

/// What waits for the writer.
#[derive(Default)]
pub(super) struct Work {
    /// States to be kept.
    pub(super) waiting: VecDeque<Report>,
    /// After these, what an earlier sensor left open is over.
    pub(super) settle: Option<Settled>,
    /// Nothing more will be handed over.
    pub(super) closed: bool,
    /// States that were not kept, or that some sink does not get.
    pub(super) dropped: u64,
}

impl Work {
    pub(super) fn push(&mut self, report: Report) {
        if self.waiting.len() >= PLENTY
            && let Some(older) = self.waiting.iter_mut().rev().find(|older| older.id == report.id)
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

impl Shared {
    pub(super) fn new(record: Record) -> Self {
        Self {
            work: Mutex::default(),
            handed_over: Condvar::new(),
            record: Mutex::new(record),
            moved: Condvar::new(),
            durable: AtomicBool::new(false),
        }
    }

    /// Counts states that were not kept, or that some sink does not get.
    pub(super) fn drop_states(&self, count: u64) {
        lock(&self.work).dropped += count;
    }
}

/// A panic elsewhere leaves what is behind the lock as good as it was: every change is one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::tests::{report, reverse_shell};

    #[test]
    fn the_newest_queued_state_gives_way_to_a_newer_one() {
        let mut work = Work::default();
        let state = |update| {
            let mut report = report(&reverse_shell());
            report.incident.update = update;
            report
        };
        for update in 1..=PLENTY as u64 + 2 {
            work.push(state(update));
        }
        let updates: Vec<u64> = work.waiting.iter().map(|report| report.incident.update).collect();
        assert!(updates.is_sorted(), "{updates:?}");
        assert_eq!((updates.len(), updates.last()), (PLENTY, Some(&(PLENTY as u64 + 2))));
        assert_eq!(work.dropped, 2);
    }
}
