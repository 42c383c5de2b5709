//! The clock that `/proc` and the kernel side count by, and how it stands to the calendar.

use rustix::time::{ClockId, clock_gettime};

use crate::model::BootTime;

/// Unix time of boot, in nanoseconds. Moves when somebody sets the clock.
#[must_use]
pub fn boot_unix_ns() -> i64 {
    let realtime = clock_gettime(ClockId::Realtime);
    let boottime = clock_gettime(ClockId::Boottime);
    (realtime.tv_sec - boottime.tv_sec) * 1_000_000_000 + (realtime.tv_nsec - boottime.tv_nsec)
}

/// Now, on the engine's clock.
#[must_use]
pub fn boot_time() -> BootTime {
    let now = clock_gettime(ClockId::Boottime);
    BootTime(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}
