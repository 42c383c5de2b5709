//! When an incident may emit a snapshot. Owns the intervals, not the content.

use crate::model::BootTime;

const SECOND: u64 = 1_000_000_000;
/// The shortest time between two paced snapshots, in nanoseconds.
pub(super) const INTERVAL_MIN: u64 = SECOND;
/// The longest.
pub(super) const INTERVAL_MAX: u64 = 60 * SECOND;

/// One incident's pace: each snapshot doubles the wait before the next one, until it has been quiet for a while.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<BootTime>,
    interval: u64,
    due: Option<BootTime>,
}

impl Pace {
    /// When a snapshot is due, if one is.
    pub(super) fn due(&self) -> Option<BootTime> {
        self.due
    }

    /// Whether a snapshot was ever given.
    pub(super) fn has_emitted(&self) -> bool {
        self.last.is_some()
    }

    /// Something changed at `now`.
    pub(super) fn changed(&mut self, now: BootTime) {
        if self.due.is_some() {
            return;
        }
        if self.last.is_none_or(|last| now.since(last) >= INTERVAL_MAX) {
            self.interval = INTERVAL_MIN;
        }
        // Changes come in bursts (an interactive bash runs dozens of programs at once), so even a change after a long
        // silence waits for its companions.
        let earliest = now.0.saturating_add(INTERVAL_MIN);
        self.due =
            Some(BootTime(self.last.map_or(earliest, |last| {
                earliest.max(last.0.saturating_add(self.interval))
            })));
    }

    /// Whether the wait after the last snapshot is over, so that another may follow at once.
    pub(super) fn rested(&self, now: BootTime) -> bool {
        self.last.is_none_or(|last| now.since(last) >= self.interval)
    }

    /// A snapshot was given at `now`.
    pub(super) fn emitted(&mut self, now: BootTime) {
        self.interval = if self.has_emitted() {
            (self.interval * 2).min(INTERVAL_MAX)
        } else {
            INTERVAL_MIN
        };
        self.last = Some(now);
        self.due = None;
    }
}
