//! The file in the state directory: who may write it, what becomes of a damaged one, and the room that is kept for the day when
//! the disk is full.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use tracing::{debug, warn};

use super::{
    FILE, StoreError,
    database::Database,
    queries,
    room::{Shed, Which},
};

/// Damaged files that are kept for whoever wants to look at them.
const ASIDE_MAX: usize = 3;
/// Bytes kept free: to forget findings takes room itself, for the log of the change.
const RESERVE: u64 = 2 << 20;
/// How often something is forgotten before a disk counts as full for good: somebody else may be filling it.
const SHED_MAX: usize = 32;

/// The file, and the right to write it.
pub(super) struct Disk {
    pub(super) path: PathBuf,
    reserve: PathBuf,
    _lock: File,
}

impl Disk {
    /// Takes the right to write in this directory.
    pub(super) fn lock(directory: &Path) -> Result<Self, StoreError> {
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
        Ok(Self {
            path,
            reserve: directory.join("reserve"),
            _lock: lock,
        })
    }

    /// Opens the file; a damaged one is replaced.
    pub(super) fn open(&self) -> Result<Database, StoreError> {
        if self.beside("renewed").exists() {
            self.put_in_place()?;
        }
        // So the file may be written; if SQLite finds it may not, its header says so.
        private(&self.path).map_err(|source| self.io(source))?;
        let database = match Database::open(&self.path) {
            Err(error) if error.is_full() => {
                self.release();
                Database::open(&self.path)
            }
            other => other,
        };
        let mut database = match database {
            Err(error) if error.is_damage() => self.replace()?,
            other => other?,
        };
        if let Err(error) = self.reserve() {
            debug!("no room can be kept free beside {}: {error}", self.path.display());
            if error.kind() == io::ErrorKind::StorageFull {
                self.make_room(&mut database);
            }
        }
        Ok(database)
    }

    /// Forgets findings that ended until there is some room again; what was forgotten.
    pub(super) fn make_room(&self, database: &mut Database) -> Shed {
        self.release();
        let mut all = Shed::default();
        for _ in 0..SHED_MAX {
            let shed = database.shed(Which::All).and_then(|shed| {
                database.checkpoint()?;
                Ok(shed)
            });
            match shed {
                Ok(shed) if shed.findings > 0 => all = all.and(shed),
                Ok(_) => break,
                Err(error) => {
                    debug!("no room can be made in {}: {error}", self.path.display());
                    break;
                }
            }
            if self.reserve().is_ok() {
                break;
            }
        }
        if all.findings > 0 {
            warn!(
                "the disk is full: the oldest findings that ended ({}) were forgotten to keep new ones in {}",
                all.findings,
                self.path.display()
            );
        }
        all
    }

    fn reserve(&self) -> io::Result<()> {
        let file = private(&self.reserve)?;
        let made = fallocate(&file, FallocateFlags::empty(), 0, RESERVE);
        if made.is_err() {
            self.release();
        }
        Ok(made?)
    }

    fn release(&self) {
        if let Err(error) = fs::remove_file(&self.reserve)
            && error.kind() != io::ErrorKind::NotFound
        {
            debug!("{} can't be removed: {error}", self.reserve.display());
        }
    }

    /// Begins a new file with what can be read of a damaged one, and moves that aside. Killed at any moment, the next start goes on
    /// where this one was: the damaged file stays in its place until the new one is complete.
    pub(super) fn replace(&self) -> Result<Database, StoreError> {
        let unfinished = self.beside("unfinished");
        for suffix in ["", "-wal", "-shm"] {
            // There is none but after a kill.
            let _ = fs::remove_file(with(&unfinished, suffix));
        }
        private(&unfinished).map_err(|source| self.io(source))?;
        let mut database = Database::open(&unfinished)?;
        let saved = queries::open_in_any_form(&self.path)
            .map(|damaged| salvage(&damaged, &mut database))
            .unwrap_or_default();
        database.close().map_err(|source| StoreError::of(&unfinished, source))?;
        fs::rename(&unfinished, self.beside("renewed")).map_err(|source| self.io(source))?;
        let aside = self.put_in_place()?;
        warn!(
            "the findings at {} are damaged: the file was moved to {}, {saved} states of findings go on in a new one",
            self.path.display(),
            aside.display()
        );
        Database::open(&self.path)
    }

    /// Puts the complete new file, which has no log, into the place of the damaged one; where that is now.
    fn put_in_place(&self) -> Result<PathBuf, StoreError> {
        let aside = |number| self.beside(&format!("corrupt-{number}"));
        let free = (1..ASIDE_MAX).find(|&number| !aside(number).exists());
        let aside = aside(free.unwrap_or(ASIDE_MAX));
        // The file last: as long as it is there, its log is not taken for the new one's.
        for suffix in ["-wal", "-shm", ""] {
            match fs::rename(with(&self.path, suffix), with(&aside, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.io(error)),
                // There is no log after an orderly end, and nothing after a kill in between.
                _ => {}
            }
        }
        fs::rename(self.beside("renewed"), &self.path).map_err(|source| self.io(source))?;
        Ok(aside)
    }

    fn beside(&self, what: &str) -> PathBuf {
        with(&self.path, &format!(".{what}"))
    }

    fn io(&self, source: io::Error) -> StoreError {
        StoreError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a file, or makes it for its owner alone: SQLite would make it readable for all.
fn private(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Takes over what can be read, and every sink's place; how many states that is.
fn salvage(damaged: &rusqlite::Connection, database: &mut Database) -> usize {
    let mut saved = 0;
    for seq in queries::readable(damaged) {
        if let Ok(rows) = queries::after(damaged, seq - 1, 1)
            && let Some(row) = rows.into_iter().find(|row| row.seq == seq)
        {
            // An earlier start of the sensor wrote it, as far as it is known.
            saved += usize::from(database.adopt(row, false).is_ok());
        }
    }
    for cursor in queries::cursors(damaged).unwrap_or_default() {
        if let Err(error) = database.set_cursor(&cursor.sink, cursor.seq) {
            debug!("the place of {} can't be taken over: {error}", cursor.sink);
        }
    }
    saved
}
