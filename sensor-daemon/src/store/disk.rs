//! The file in the state directory: who may write it, and what becomes of a damaged one.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use tracing::{debug, warn};

use super::{FILE, StoreError, database::Database, queries};

/// Numbers without a readable row that are passed over in a damaged file.
const UNREADABLE_MAX: usize = 100_000;

/// The file, and the right to write it.
pub(super) struct Disk {
    pub(super) path: PathBuf,
    _lock: File,
}

impl Disk {
    /// Opens the file in this directory; a damaged one is replaced.
    pub(super) fn open(directory: &Path) -> Result<(Database, Self), StoreError> {
        let path = directory.join(FILE);
        let io = |source: io::Error| StoreError::Io {
            path: path.clone(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io)?;
        let lock = private(&directory.join("lock")).map_err(io)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StoreError::InUse { path });
        }
        private(&path).map_err(io)?;
        let disk = Self { path, _lock: lock };
        let database = match Database::open(&disk.path) {
            Err(StoreError::Damaged { .. }) => disk.replace()?,
            other => other?,
        };
        Ok((database, disk))
    }

    /// Moves a damaged file aside, and begins a new one with what can be read of it.
    pub(super) fn replace(&self) -> Result<Database, StoreError> {
        let io = |source: io::Error| StoreError::Io {
            path: self.path.clone(),
            source,
        };
        let aside = (1..)
            .map(|number| PathBuf::from(format!("{}.corrupt-{number}", self.path.display())))
            .find(|path| !path.exists())
            .ok_or_else(|| io(io::ErrorKind::AlreadyExists.into()))?;
        fs::rename(&self.path, &aside).map_err(io)?;
        for suffix in ["-wal", "-shm"] {
            let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            // There is none after an orderly end.
            let _ = fs::rename(beside(&self.path), beside(&aside));
        }
        private(&self.path).map_err(io)?;
        let mut database = Database::open(&self.path)?;
        let saved = queries::open_for_reading(&aside)
            .map(|damaged| salvage(&damaged, &mut database))
            .unwrap_or_default();
        warn!(
            "the findings at {} are damaged: the file was moved to {}, {saved} states of findings go on in a new one",
            self.path.display(),
            aside.display()
        );
        Ok(database)
    }
}

/// Opens a file, or makes it for its owner alone: SQLite would make it readable for all.
fn private(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Takes over what can be read, and every sink's place; how many states that is.
fn salvage(damaged: &rusqlite::Connection, database: &mut Database) -> usize {
    let last = queries::last(damaged).unwrap_or(0);
    let (mut saved, mut seq, mut unreadable) = (0, 0, 0);
    // Row by row: one that can't be read ends a longer answer.
    while unreadable < UNREADABLE_MAX {
        match queries::after(damaged, seq, 1).as_deref() {
            Ok([row, ..]) => {
                seq = row.seq;
                // An earlier start of the sensor wrote it, as far as it is known.
                saved += usize::from(database.adopt(row, false).is_ok());
            }
            Ok([]) => break,
            Err(_) if seq < last => {
                seq += 1;
                unreadable += 1;
            }
            Err(_) => break,
        }
    }
    for (sink, seq) in queries::cursors(damaged).unwrap_or_default() {
        if let Err(error) = database.set_cursor(&sink, seq) {
            debug!("the place of {sink} can't be taken over: {error}");
        }
    }
    saved
}
