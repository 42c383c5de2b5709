//! Why the record of findings can't be used, in words for whoever runs the sensor.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

/// Why the record can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no record.
    #[error(
        "there are no findings at {}: no sensor has kept any there; if its state directory is another, name it with \
         --state-directory", path.display()
    )]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// Whoever asks may not read or write the record.
    #[error(
        "permission denied for the findings at {}: run this as root, or as the user that the sensor runs as",
        path.display()
    )]
    Denied {
        /// Where.
        path: PathBuf,
    },
    /// Another version of the sensor wrote it.
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
    /// Somebody else could change what is in the directory.
    #[error("findings are not kept in {}: {why}; name a directory that belongs to the sensor's user", path.display())]
    Untrusted {
        /// Where.
        path: PathBuf,
        /// What is wrong with the directory.
        why: String,
    },
    /// The file system refuses.
    #[error("the findings at {} can't be kept or read: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database refuses.
    #[error("the findings at {} can't be kept or read: {source}", path.display())]
    Sqlite {
        /// Where.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl StoreError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied { path },
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Io { path, source },
        }
    }

    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path },
            _ => Self::Sqlite { path, source },
        }
    }

    /// Returns true if the file is at fault. Only for a file that could be opened for writing.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            // A damaged header can call the file read-only, or be of an "unsupported file format".
            Self::Sqlite { source, .. } => source.sqlite_error().is_some_and(|error| {
                error.code == ErrorCode::ReadOnly || error.extended_code == rusqlite::ffi::SQLITE_ERROR
            }),
            _ => false,
        }
    }
}
