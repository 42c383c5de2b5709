//! The durable record of findings, and how far each sink has come in it. A state of a finding is kept before any sink sees
//! it; a sink that stalls or dies finds later what it has not had.
//!
//! One thread writes ([`writer`]); sinks read in this process, [`Reader`]s from any other while it runs.

mod carry;
mod columns;
mod database;
mod disk;
mod follower;
mod handle;
mod queries;
mod reader;
mod room;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::ErrorCode;

use crate::{
    detect::{Severity, State},
    finding::Report,
};

pub use self::{
    follower::Follower,
    handle::{Place, Store},
    reader::Reader,
};

/// The file in the state directory.
pub const FILE: &str = "findings.db";
/// Where that directory is unless it is told.
pub const DIRECTORY: &str = "/var/lib/sensor-daemon";

/// A state of a finding, and its number: a later one has a higher number.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The number.
    pub seq: i64,
    /// The state.
    pub report: Report,
}

/// Which findings are asked for; what is `None` excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Changed at this time or later, in nanoseconds of Unix time.
    pub since: Option<i64>,
    /// Changed at this time or before.
    pub until: Option<i64>,
    /// The lowest severity.
    pub min_severity: Option<Severity>,
    /// A part of the container's id or name.
    pub container: Option<String>,
    /// The address of a peer.
    pub peer: Option<String>,
    /// Whether it goes on.
    pub state: Option<State>,
    /// So many at most, the newest.
    pub limit: Option<usize>,
}

/// How an output is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputState {
    /// As `--output` names it.
    pub name: String,
    /// States that it has not had.
    pub waiting: u64,
    /// Nobody reads it any more; it is tried again when the sensor starts anew.
    pub closed: bool,
    /// Why it takes nothing.
    pub failing: Option<String>,
    /// Since when, in nanoseconds of Unix time.
    pub failing_since: Option<i64>,
}

/// How long findings that ended are kept, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For how long; `None` for ever.
    pub max_age: Option<Duration>,
    /// Bytes of the file.
    pub max_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_age: Some(Duration::from_secs(30 * 86_400)),
            max_bytes: 64 << 20,
        }
    }
}

/// Why the record can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody has kept any yet, or elsewhere.
    #[error(
        "there are no findings at {}: no sensor has kept any there; if its state directory is another, name it with \
         --state-directory", path.display()
    )]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// Another version made it.
    #[error(
        "the findings at {} are in a form (version {version}) that this version does not know: use the version that wrote \
         them, or move the file away", path.display()
    )]
    Version {
        /// Where.
        path: PathBuf,
        /// In which form.
        version: i64,
    },
    /// It is no database, or a damaged one.
    #[error("the findings at {} are damaged", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
    },
    /// Another sensor writes there.
    #[error("the findings at {} belong to another sensor that runs", path.display())]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// It was written to by a clock that went ahead of ours.
    #[error(
        "the findings at {} are from the future: the clock was set back; they can be added to after the next start",
        path.display()
    )]
    Ahead {
        /// Where.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("the findings at {} can't be kept or read: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database does.
    #[error("the findings at {} can't be kept or read: {source}", path.display())]
    Sqlite {
        /// Where.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl StoreError {
    fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if is_damage(&source) {
            Self::Damaged { path }
        } else {
            Self::Sqlite { path, source }
        }
    }

    /// Whether the file is at fault, if it could be opened for writing.
    fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            // A header can call itself read-only; and what is wrong with our own statements, if not the file ("unsupported
            // file format")?
            Self::Sqlite { source, .. } => source.sqlite_error().is_some_and(|error| {
                error.code == ErrorCode::ReadOnly || error.extended_code == rusqlite::ffi::SQLITE_ERROR
            }),
            _ => false,
        }
    }

    fn is_full(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if is_full(source))
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Whether the file is at fault, and not the disk or its mount.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Nanoseconds of Unix time.
fn unix_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}
