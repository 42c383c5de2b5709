//! From the engine's clock to the calendar.

use jiff::Timestamp;

use super::report::Report;
use crate::model::{BootTime, Host};

/// When that was. Out of the calendar's range, which only a broken clock can give, it is the epoch.
pub(crate) fn calendar(time: BootTime, host: &Host) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(host.boot_unix_ns) + i128::from(time.0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Unix time in nanoseconds as a date.
pub(crate) fn unix(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// When what a report shows last changed.
#[must_use]
pub fn updated(report: &Report) -> Timestamp {
    calendar(report.incident.updated, &report.host)
}

/// Hours, minutes and seconds in UTC.
pub(crate) fn of_day(time: BootTime, host: &Host) -> String {
    let second = calendar(time, host).as_second().rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// A span as people say it.
pub(crate) fn span(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    match seconds {
        0 => String::from("less than a second"),
        1 => String::from("1 second"),
        2..=119 => format!("{seconds} seconds"),
        120..=7199 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", seconds / 3600),
    }
}

/// Unix time in milliseconds.
pub(super) fn milliseconds(time: BootTime, host: &Host) -> i64 {
    calendar(time, host).as_millisecond()
}
