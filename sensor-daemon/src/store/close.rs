//! Closes a finding from outside of the sensor.
//!
//! Only the process that holds the directory's lock gives out numbers of states. So a request is written to the file, and the
//! sensor that runs carries it out, so that its sinks get the closed state. If no sensor runs, this carries it out itself.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension as _};

use super::{
    FILE,
    database::Database,
    disk::{Disk, Foreign},
    error::StoreError,
    schema,
};
use crate::finding::Closed;

/// Pause before it is looked whether the sensor has carried a request out.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Closes the finding with this id. Returns false if a sensor runs and has not carried the request out within `patience`; it
/// does so when it can write again.
///
/// # Errors
/// The record can't be written.
pub fn close(directory: &Path, id: &str, closed: &Closed, patience: Duration) -> Result<bool, StoreError> {
    let path = directory.join(FILE);
    let explain = |source| StoreError::sqlite(&path, source);
    let deadline = Instant::now() + patience;
    let mut asked: Option<Connection> = None;
    loop {
        match Disk::lock(directory, Foreign::IfGivenByRoot) {
            Ok(disk) => {
                let mut database = Database::open(&disk.path)?;
                if asked.is_none() {
                    Database::request(&database.connection, id, closed).map_err(explain)?;
                }
                database.close_requested(0).map_err(explain)?;
                return Ok(true);
            }
            Err(StoreError::InUse { .. }) => {}
            Err(error) => return Err(error),
        }
        let connection = match asked.take() {
            Some(connection) => connection,
            None => {
                let connection = schema::open(&path)?;
                Database::request(&connection, id, closed).map_err(explain)?;
                connection
            }
        };
        let is_there = connection
            .query_row("SELECT 1 FROM closings WHERE id = ?1", [id], |_| Ok(()))
            .optional();
        if is_there.map_err(explain)?.is_none() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        asked = Some(connection);
        std::thread::sleep(LOOK_AGAIN);
    }
}
