//! Reads what a sensor has kept, while it runs or when it does not.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use tracing::warn;

use super::{
    error::StoreError,
    filter::Filter,
    rows::{self, OutputState, Rows, Stored},
    schema,
};

/// Reads the record and never writes it.
pub struct Reader {
    connection: Connection,
    path: PathBuf,
    /// It was said that some states can't be read.
    told: Cell<bool>,
}

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// The file is not there, may not be read, is damaged or of another version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            connection: schema::open_for_reading(path)?,
            path: path.to_owned(),
            told: Cell::new(false),
        })
    }

    /// The newest state of each finding that is asked for, by the time of its last change, the newest last.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn findings(&self, filter: &Filter) -> Result<Vec<Stored>, StoreError> {
        self.readable(rows::latest(&self.connection, filter))
    }

    /// The number of the last state that was kept; 0 if there is none.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn last(&self) -> Result<i64, StoreError> {
        self.explain(rows::last(&self.connection))
    }

    /// At most `limit` states after a number, in order. The second value is the number to go on from.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn after(&self, seq: i64, limit: usize) -> Result<(Vec<Stored>, i64), StoreError> {
        let rows = self.explain(rows::after(&self.connection, seq, limit))?;
        let numbers = rows.stored.iter().map(|stored| &stored.seq).chain(&rows.unreadable);
        let last = numbers.copied().max().unwrap_or(seq);
        Ok((self.readable(Ok(rows))?, last))
    }

    /// How each output is doing, by name.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn outputs(&self) -> Result<Vec<OutputState>, StoreError> {
        self.explain(rows::outputs(&self.connection))
    }

    /// The newest state of each finding whose id begins with `prefix`.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn by_prefix(&self, prefix: &str) -> Result<Vec<Stored>, StoreError> {
        self.readable(rows::by_prefix(&self.connection, prefix))
    }

    /// Says once how many states can't be read.
    fn readable(&self, rows: rusqlite::Result<Rows>) -> Result<Vec<Stored>, StoreError> {
        let Rows { stored, unreadable } = self.explain(rows)?;
        if !unreadable.is_empty() && !self.told.replace(true) {
            warn!(
                "{} states of findings in {} can't be read by this version of the sensor and are left out",
                unreadable.len(),
                self.path.display()
            );
        }
        Ok(stored)
    }

    fn explain<T>(&self, result: rusqlite::Result<T>) -> Result<T, StoreError> {
        result.map_err(|source| StoreError::sqlite(&self.path, source))
    }
}
