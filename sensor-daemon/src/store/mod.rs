//! The durable record of findings, and how far each sink has come in it. A state of a finding is kept before any sink sees it; a
//! sink that stalls or dies gets later what it has not had.
//!
//! Detection hands states to a [`Store`] and never waits. One thread (`writer`) keeps them: in memory (`record`), and from there
//! in a SQLite file (`database`) as long as that can be written. Sinks read through a [`Follower`], other processes through a
//! [`Reader`] while the sensor runs or when it does not; [`close`] is the one thing that they may write.

mod close;
mod database;
mod disk;
mod error;
mod filter;
mod follower;
mod handle;
mod reader;
mod record;
mod retention;
mod rows;
mod schema;
mod settled;
mod shared;
mod writer;

#[cfg(test)]
mod tests;

pub use self::{
    close::close,
    error::StoreError,
    filter::{Filter, Peer, Standing},
    follower::Follower,
    handle::{Place, Store},
    reader::Reader,
    retention::Retention,
    rows::{OutputState, Stored},
    settled::Settled,
};

/// The file in the state directory.
pub const FILE: &str = "findings.db";
/// Where that directory is unless it is told.
pub const DIRECTORY: &str = "/var/lib/sensor-daemon";

/// Nanoseconds of Unix time.
fn unix_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}
