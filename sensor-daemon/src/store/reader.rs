//! Reads what a sensor has kept, while it runs or when it does not.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Filter, OutputState, StoreError, Stored, queries};

/// Reads; never writes.
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// It is not there, may not be read, or is damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Ok(Self {
            connection: queries::open_for_reading(path)?,
            path: path.to_owned(),
        })
    }

    /// The newest state of each finding that is asked for, by the time of its last change, the newest last.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn findings(&self, filter: &Filter) -> Result<Vec<Stored>, StoreError> {
        self.explain(queries::latest(&self.connection, filter))
    }

    /// The number of the last state that was kept; 0 if there is none.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn last(&self) -> Result<i64, StoreError> {
        self.explain(queries::last(&self.connection))
    }

    /// States after a number, in order: what has happened since.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn after(&self, seq: i64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        self.explain(queries::after(&self.connection, seq, limit))
    }

    /// How each output is doing, by name.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn outputs(&self) -> Result<Vec<OutputState>, StoreError> {
        self.explain(queries::outputs(&self.connection))
    }

    /// The newest state of each finding whose id begins with `prefix`.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn by_prefix(&self, prefix: &str) -> Result<Vec<Stored>, StoreError> {
        self.explain(queries::by_prefix(&self.connection, prefix))
    }

    fn explain<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|source| StoreError::of(&self.path, source))
    }
}
