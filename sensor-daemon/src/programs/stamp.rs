//! What tells a file from others and from what it becomes. Watched processes may write to a file between two looks at it, keep its
//! length and set its modification time, so the change time counts, which no program can set. It goes by a clock that stands still
//! between ticks: only once that has moved on does another time follow from another content.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    time::{Duration, SystemTime},
};

/// Longer than a tick of any kernel (10 ms at 100 Hz).
const TICK_MAX: Duration = Duration::from_millis(20);
/// The same for file systems that keep whole seconds (small ext4 ones), and for what knows no more of a time.
const SECONDS_MAX: Duration = Duration::from_secs(2);

/// A file as it is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Bytes.
    pub(super) size: u64,
    /// Of content, owner, mode or links, in seconds since 1970 and nanoseconds of the second.
    pub(super) changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether the file has another stamp after whatever is written to it from `now` on.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let longest = if nanoseconds == 0 { SECONDS_MAX } else { TICK_MAX };
        let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
        age(seconds, nanoseconds, now).is_some_and(|age| age >= longest)
    }
}

/// The same where only the second of its last change is known, since 1970.
#[must_use]
pub fn is_second_settled(changed: u64, now: SystemTime) -> bool {
    let changed = i64::try_from(changed).unwrap_or(i64::MAX);
    age(changed, 0, now).is_some_and(|age| age >= SECONDS_MAX)
}

/// None of a change in the future: somebody has set the clock.
fn age(seconds: i64, nanoseconds: u32, now: SystemTime) -> Option<Duration> {
    let since_1970 = Duration::new(seconds.try_into().ok()?, nanoseconds);
    now.duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_sub(since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_settles_when_its_clock_has_moved_on() {
        let now = SystemTime::UNIX_EPOCH + Duration::new(1_000, 500_000_000);
        for (changed, settled) in [
            ((1_000, 500_000_000), false),
            ((1_000, 490_000_000), false),
            ((1_000, 480_000_000), true),
            ((1_000, 0), false),
            ((999, 0), false),
            ((998, 0), true),
            ((1_001, 1), false),
            ((i64::MAX, 1), false),
            ((-1, 1), false),
        ] {
            let stamp = Stamp {
                device: 1,
                inode: 2,
                size: 3,
                changed,
            };
            assert_eq!(stamp.is_settled(now), settled, "{changed:?}");
        }
        for (changed, settled) in [(1_001, false), (999, false), (998, true), (u64::MAX, false)] {
            assert_eq!(is_second_settled(changed, now), settled, "{changed}");
        }
    }
}
