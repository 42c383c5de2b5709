//! The form of the database file: its tables, its version, and how an older form becomes this one.
//!
//! One row of `reports` is one state of a finding; `latest` marks the newest of each finding. `cursors` has the place of each
//! sink. `closings` has the requests of `sensor-daemon close` until the sensor carries them out.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::error::StoreError;

/// The version of the tables, in the file's `user_version`.
const VERSION: i64 = 2;
/// Version 1 has everything that readers need.
const OLDEST: i64 = 1;
/// "RSSF": in the file's `application_id`, the version added. A header in which the two disagree is damaged.
const APPLICATION: i64 = 0x5253_5346;
/// KiB of pages kept in memory.
const CACHE_KIB: i64 = 256;
/// Pages of the log after which SQLite copies it into the file.
const LOG_PAGES: i64 = 128;
/// How long to wait for another process that is just writing.
const BUSY: Duration = Duration::from_secs(2);

const SCHEMA: &str = "
    CREATE TABLE reports (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        latest INTEGER NOT NULL,
        number INTEGER NOT NULL,
        opened INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        state TEXT NOT NULL,
        severity INTEGER NOT NULL,
        report TEXT NOT NULL,
        closed TEXT
    );
    CREATE INDEX reports_of_finding ON reports (id, seq);
    CREATE INDEX reports_by_time ON reports (updated) WHERE latest = 1;
    CREATE INDEX reports_superseded ON reports (seq) WHERE latest = 0;
    CREATE TABLE cursors (
        sink TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        waits INTEGER NOT NULL DEFAULT 1,
        failing TEXT,
        failing_since INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE closings (id TEXT PRIMARY KEY, closed TEXT NOT NULL);
";
const FROM_1: &str = "
    ALTER TABLE reports DROP COLUMN container;
    ALTER TABLE reports DROP COLUMN peers;
    ALTER TABLE reports DROP COLUMN run;
    ALTER TABLE reports ADD COLUMN closed TEXT;
    DROP TABLE runs;
    CREATE TABLE closings (id TEXT PRIMARY KEY, closed TEXT NOT NULL);
";

/// Opens the file for writing. Makes it or brings it into this form if need be.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let explain = |source| StoreError::sqlite(path, source);
    let connection = Connection::open(path).map_err(explain)?;
    let prepare = || {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A commit is with the kernel and survives the sensor's death. A power cut may take the last commits.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)
    };
    prepare().map_err(explain)?;
    match version(&connection, path)? {
        0 => change(&connection, SCHEMA).map_err(explain)?,
        1 => change(&connection, FROM_1).map_err(explain)?,
        _ => {}
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(explain)?;
    if verdict != "ok" {
        return Err(StoreError::Damaged { path: path.to_owned() });
    }
    Ok(connection)
}

/// Opens the file for reading.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    // SQLite's own error does not tell a file that is missing from one that may not be read.
    std::fs::File::open(path).map_err(|error| StoreError::io(path, error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    };
    let connection = open().map_err(|source| StoreError::sqlite(path, source))?;
    if version(&connection, path)? == 0 {
        // A sensor has begun the file and not come far.
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    Ok(connection)
}

/// The form of the file; 0 if nothing was ever kept in it.
///
/// # Errors
/// This version of the sensor does not know the form, or the header is damaged.
fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let read = || Ok((number("user_version")?, number("application_id")?));
    let path = path.to_owned();
    match read().map_err(|source| StoreError::sqlite(&path, source))? {
        (0, 0) => Ok(0),
        (version, application) if version == 0 || application != APPLICATION + version => {
            Err(StoreError::Damaged { path })
        }
        (version @ OLDEST..=VERSION, _) => Ok(version),
        (version, _) => Err(StoreError::Version { path, version }),
    }
}

fn change(connection: &Connection, statements: &str) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(statements)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.pragma_update(None, "application_id", APPLICATION + VERSION)?;
    transaction.commit()
}
