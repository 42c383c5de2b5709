//! The files in the state directory: who may use the directory, who writes, and where a damaged file goes.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use tracing::warn;

use super::{FILE, database::Database, error::StoreError};

/// Most damaged files that are kept for whoever wants to look at them.
const ASIDE_MAX: usize = 3;

/// The directory, and the right to write in it.
pub(super) struct Disk {
    pub(super) path: PathBuf,
    /// Device and inode of the file that is written to.
    file: Option<(u64, u64)>,
    _lock: File,
}

impl Disk {
    /// Makes the directory if need be, and takes the right to write in it.
    pub(super) fn lock(directory: &Path, foreign: Foreign) -> Result<Self, StoreError> {
        // Without a slash at the end, which would make the kernel follow a symlink.
        let directory: PathBuf = directory.components().collect();
        let explain = |source| StoreError::io(&directory, source);
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(explain)?;
        let directory = trusted(&directory, foreign)?;
        let path = directory.join(FILE);
        let lock = private(&directory.join("lock")).map_err(explain)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StoreError::InUse { path }),
            Err(error) => return Err(explain(error.into())),
        }
        Ok(Self {
            path,
            file: None,
            _lock: lock,
        })
    }

    /// Opens the file. Moves a damaged one aside and begins a new one.
    pub(super) fn open(&mut self) -> Result<Database, StoreError> {
        match self.open_as_it_is() {
            Err(error) if error.is_damage() => {
                self.move_aside()?;
                self.open_as_it_is()
            }
            other => other,
        }
    }

    fn open_as_it_is(&mut self) -> Result<Database, StoreError> {
        // From here on the file is known to be writable, so that SQLite's "read-only" can only be the header's claim.
        let file = private(&self.path).and_then(|file| file.metadata());
        let metadata = file.map_err(|source| StoreError::io(&self.path, source))?;
        self.file = Some((metadata.dev(), metadata.ino()));
        Database::open(&self.path)
    }

    /// Returns false if the file that was opened is not at its path any more.
    pub(super) fn is_in_place(&self) -> bool {
        let there = fs::symlink_metadata(&self.path).ok();
        there.map(|there| (there.dev(), there.ino())) == self.file
    }

    /// Moves a damaged file and its log aside, and says where to.
    pub(super) fn move_aside(&self) -> Result<(), StoreError> {
        let aside = |number| with(&self.path, &format!(".corrupt-{number}"));
        let free = (1..ASIDE_MAX).find(|&number| !aside(number).exists());
        let aside = aside(free.unwrap_or(ASIDE_MAX));
        // The file goes last: as long as it is there, SQLite does not take its log for the new file's.
        for suffix in ["-wal", "-shm", ""] {
            match fs::rename(with(&self.path, suffix), with(&aside, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io(&self.path, error));
                }
                _ => {}
            }
        }
        warn!(
            "the findings at {} are damaged: the file was moved to {}, and a new one begins",
            self.path.display(),
            aside.display()
        );
        Ok(())
    }
}

/// The directory itself, if no other user could exchange it. With `DynamicUser=`, systemd makes the state directory a symbolic
/// link. A link is followed only if root owns it and nobody but root can replace it.
fn trusted(directory: &Path, foreign: Foreign) -> Result<PathBuf, StoreError> {
    let explain = |source| StoreError::io(directory, source);
    let link = fs::symlink_metadata(directory).map_err(explain)?;
    let mut place = directory.to_owned();
    if link.is_symlink() && link.uid() == 0 {
        let absolute = std::path::absolute(directory).map_err(explain)?;
        let parent = absolute.parent().unwrap_or(Path::new("/"));
        let parent = fs::metadata(parent).map_err(explain)?;
        if parent.uid() == 0 && parent.mode() & 0o022 == 0 {
            place = fs::canonicalize(directory).map_err(explain)?;
        }
    }
    check(&place, foreign)?;
    Ok(place)
}

/// What to do with a directory that belongs to another user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// The sensor refuses it.
    Refuse,
    /// Root may use it if nobody but root could have put it there. So root can close findings of a service that has a user of its own.
    IfGivenByRoot,
}

/// Refuses a directory whose content another user could exchange.
fn check(directory: &Path, foreign: Foreign) -> Result<(), StoreError> {
    let metadata = fs::symlink_metadata(directory).map_err(|source| StoreError::io(directory, source))?;
    let owner = metadata.uid();
    let why = if metadata.is_symlink() {
        "it is a symbolic link that others than root could replace".to_owned()
    } else if !metadata.is_dir() {
        "it is no directory".to_owned()
    } else if owner != 0
        && owner != rustix::process::geteuid().as_raw()
        && !(foreign == Foreign::IfGivenByRoot && is_given_by_root(directory))
    {
        format!("it belongs to the user {owner}")
    } else if metadata.mode() & 0o1002 == 0o002 {
        "everybody may write to it".to_owned()
    } else {
        return Ok(());
    };
    let path = directory.to_owned();
    Err(StoreError::Untrusted { path, why })
}

/// Whether this process is root's, and nobody but root could have put the directory where it is.
fn is_given_by_root(directory: &Path) -> bool {
    let parent = std::path::absolute(directory)
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned));
    let parent = parent.and_then(|parent| fs::metadata(parent).ok());
    rustix::process::geteuid().is_root() && parent.is_some_and(|parent| parent.uid() == 0 && parent.mode() & 0o022 == 0)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a file, or makes it for its owner alone: SQLite would make it readable for all.
fn private(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.custom_flags(libc::O_NOFOLLOW).open(path)
}
