//! The tables, and what is written to them. One row a state of a finding; the newest of each is marked. Sinks follow the
//! rows by number, each with a cursor of its own.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    StoreError, Stored,
    columns::{container, of_rank, peers, rank, state_name, unix},
    queries::{self, Cursor, stored},
    room::DELIVERED,
};
use crate::{finding::Report, model::BootTime};

/// Of the tables; in the file's `user_version`.
pub(super) const SCHEMA_VERSION: i64 = 1;
/// "RSSF": in the file's `application_id`, the form added. A header in which the two disagree is a damaged one.
const APPLICATION: i64 = 0x5253_5346;
/// A number that no start of the sensor has.
const NO_RUN: i64 = 0;
/// KiB of pages kept in memory.
const CACHE_KIB: i64 = 256;
/// Pages of the log after which it is copied into the file. Few, so that a full disk holds little that is not.
const LOG_PAGES: i64 = 128;

const SCHEMA: &str = "
    CREATE TABLE reports (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        latest INTEGER NOT NULL,
        run INTEGER NOT NULL,
        number INTEGER NOT NULL,
        opened INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        state TEXT NOT NULL,
        severity INTEGER NOT NULL,
        container TEXT,
        peers TEXT NOT NULL,
        report TEXT NOT NULL
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
    CREATE TABLE runs (run INTEGER PRIMARY KEY AUTOINCREMENT);
";

/// An open database.
pub(super) struct Database {
    pub(super) connection: Connection,
    /// Which start of the sensor this is.
    run: i64,
}

impl Database {
    /// Opens the file for writing, and makes it if need be.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(|source| StoreError::of(path, source))?;
        Self::prepare(connection, true).map_err(|error| error.at(path))
    }

    /// One that is in memory, whose rows get higher numbers than `last`.
    pub(super) fn in_memory(last: i64) -> Result<Self, StoreError> {
        let open = || -> Result<Self, Failure> {
            let mut memory = Self::prepare(Connection::open_in_memory()?, false)?;
            memory.number_from(last)?;
            Ok(memory)
        };
        open().map_err(|error| error.at(Path::new(":memory:")))
    }

    /// Closes it, so that the file holds everything and no log is left.
    pub(super) fn close(self) -> rusqlite::Result<()> {
        self.connection.close().map_err(|(_, error)| error)
    }

    fn prepare(connection: Connection, file: bool) -> Result<Self, Failure> {
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.busy_timeout(std::time::Duration::from_secs(2))?;
        if file {
            // Before the first table, else it takes no effect.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // A commit is in the kernel's hands, and survives the sensor's death; a power cut may take the last ones.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        }
        match version(&connection)? {
            0 => {
                let made = connection.unchecked_transaction()?;
                made.execute_batch(SCHEMA)?;
                made.pragma_update(None, "user_version", SCHEMA_VERSION)?;
                made.pragma_update(None, "application_id", APPLICATION + SCHEMA_VERSION)?;
                made.commit()?;
            }
            SCHEMA_VERSION => {}
            other => return Err(Failure::Version(other)),
        }
        if file {
            let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if verdict != "ok" {
                return Err(Failure::Damaged);
            }
        }
        connection.execute("INSERT INTO runs DEFAULT VALUES", [])?;
        let run = connection.last_insert_rowid();
        connection.execute("DELETE FROM runs WHERE run < ?1", [run])?;
        Ok(Self { connection, run })
    }

    /// Keeps new states; the number of the last one.
    pub(super) fn put(&mut self, reports: &mut [Report]) -> rusqlite::Result<i64> {
        let run = self.run;
        let transaction = self.connection.transaction()?;
        let mut last = 0;
        for report in reports.iter_mut() {
            last = insert(&transaction, report, run)?;
        }
        transaction.commit()?;
        Ok(last)
    }

    /// Takes over a row of another record under its number. `met` says whether this start of the sensor has met the finding.
    pub(super) fn adopt(&mut self, stored: Stored, met: bool) -> rusqlite::Result<()> {
        let Stored { seq, mut report } = stored;
        let run = if met { self.run } else { NO_RUN };
        let transaction = self.connection.transaction()?;
        let known: Option<i64> = transaction
            .query_row("SELECT seq FROM reports WHERE seq = ?1", [seq], |row| row.get(0))
            .optional()?;
        if known.is_none() {
            go_on(&transaction, &mut report, seq)?;
            write(&transaction, Some(seq), &report, run)?;
            transaction.execute(
                "UPDATE reports SET latest = 0
                    WHERE id = ?1 AND seq < (SELECT max(seq) FROM reports WHERE id = ?1)",
                [&report.id],
            )?;
        }
        transaction.commit()
    }

    /// New rows get higher numbers than this one.
    pub(super) fn number_from(&mut self, last: i64) -> rusqlite::Result<()> {
        self.connection.execute(
            "DELETE FROM sqlite_sequence WHERE name = 'reports' AND seq < ?1",
            [last],
        )?;
        self.connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'reports', ?1
                WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'reports')",
            [last],
        )?;
        Ok(())
    }

    /// Findings that are open by what an earlier start of the sensor said, and that this one has not met.
    pub(super) fn abandoned(&self) -> rusqlite::Result<Vec<Report>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT seq, report FROM reports WHERE latest = 1 AND state = 'ACTIVE' AND run != ?1")?;
        let rows = statement.query_map([self.run], stored)?;
        Ok(rows.flatten().flatten().map(|stored| stored.report).collect())
    }

    /// The last states of findings that ended, if a sink that is waited for has not had them.
    pub(super) fn undelivered(&self) -> rusqlite::Result<Vec<Report>> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT seq, report FROM reports WHERE latest = 1 AND state = 'INACTIVE' AND seq > {DELIVERED} ORDER BY seq"
        ))?;
        let rows = statement.query_map([], stored)?;
        Ok(rows.flatten().flatten().map(|stored| stored.report).collect())
    }

    /// Findings that are open.
    pub(super) fn open_ones(&self) -> rusqlite::Result<Vec<Stored>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT seq, report FROM reports WHERE latest = 1 AND state = 'ACTIVE' ORDER BY seq")?;
        let rows = statement.query_map([], stored)?;
        Ok(rows
            .collect::<rusqlite::Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Whether this start of the sensor wrote the row.
    pub(super) fn has_met(&self, seq: i64) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT run = ?2 FROM reports WHERE seq = ?1")?
            .query_row([seq, self.run], |row| row.get(0))
    }

    /// Rows after a number, in order.
    pub(super) fn after(&self, seq: i64, limit: usize) -> rusqlite::Result<Vec<Stored>> {
        queries::after(&self.connection, seq, limit)
    }

    /// The number of the last row.
    pub(super) fn last(&self) -> rusqlite::Result<i64> {
        queries::last(&self.connection)
    }

    /// How far a sink has come; one that is new begins here.
    pub(super) fn cursor(&mut self, sink: &str) -> rusqlite::Result<i64> {
        let known: Option<i64> = self
            .connection
            .query_row("SELECT seq FROM cursors WHERE sink = ?1", [sink], |row| row.get(0))
            .optional()?;
        match known {
            // A place beyond the end would hide what comes.
            Some(seq) => Ok(seq.min(self.last()?)),
            None => {
                let last = self.last()?;
                self.set_cursor(sink, last)?;
                Ok(last)
            }
        }
    }

    /// Whether states are kept until a sink has had them.
    pub(super) fn wait_for(&mut self, sink: &str, waits: bool) -> rusqlite::Result<()> {
        self.connection
            .execute("UPDATE cursors SET waits = ?2 WHERE sink = ?1", params![sink, waits])?;
        Ok(())
    }

    /// Notes why a sink takes nothing, since when; or that it does again.
    pub(super) fn set_failing(&mut self, sink: &str, why: Option<&str>, now: i64) -> rusqlite::Result<()> {
        self.connection.execute(
            "UPDATE cursors SET failing = ?2, failing_since = CASE WHEN ?2 IS NULL THEN NULL ELSE coalesce(failing_since, ?3) END
                WHERE sink = ?1",
            params![sink, why, now],
        )?;
        Ok(())
    }

    /// Every sink's place.
    pub(super) fn cursors(&self) -> rusqlite::Result<Vec<Cursor>> {
        queries::cursors(&self.connection)
    }

    /// Notes how far a sink has come.
    pub(super) fn set_cursor(&mut self, sink: &str, seq: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO cursors (sink, seq) VALUES (?1, ?2) ON CONFLICT (sink) DO UPDATE SET seq = ?2",
            )?
            .execute(params![sink, seq])?;
        Ok(())
    }

    /// Gives every sink its place, and forgets those that are not used any more, so that nothing waits for them.
    pub(super) fn begin_cursors(&mut self, sinks: &[String]) -> rusqlite::Result<()> {
        for Cursor { sink, .. } in self.cursors()? {
            if !sinks.contains(&sink) {
                self.connection.execute("DELETE FROM cursors WHERE sink = ?1", [sink])?;
            }
        }
        for sink in sinks {
            self.cursor(sink)?;
            self.wait_for(sink, true)?;
            self.set_failing(sink, None, 0)?;
        }
        Ok(())
    }
}

/// In which form the file is; 0 if nothing was ever kept in it.
pub(super) fn version(connection: &Connection) -> Result<i64, Failure> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (version, application) = (number("user_version")?, number("application_id")?);
    match version {
        0 if application == 0 => Ok(0),
        _ if application == APPLICATION + version => Ok(version),
        _ => Err(Failure::Damaged),
    }
}

/// Keeps a new state.
fn insert(connection: &Connection, report: &mut Report, run: i64) -> rusqlite::Result<i64> {
    if let Some(seq) = go_on(connection, report, i64::MAX)? {
        connection
            .prepare_cached("UPDATE reports SET latest = 0 WHERE seq = ?1")?
            .execute([seq])?;
    }
    write(connection, None, report, run)
}

/// If the finding is known from before `seq`, maybe to an earlier start of the sensor, it goes on where that one was; the number
/// of the state before.
fn go_on(connection: &Connection, report: &mut Report, seq: i64) -> rusqlite::Result<Option<i64>> {
    let before: Option<(i64, i64, i64, i64)> = connection
        .prepare_cached(
            "SELECT seq, number, severity, opened FROM reports WHERE id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(params![report.id, seq], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((seq, number, severity, opened)) = before else {
        return Ok(None);
    };
    let incident = &mut report.incident;
    incident.update = incident.update.max(number.unsigned_abs() + 1);
    incident.severity = incident.severity.max(of_rank(severity));
    // Ids are of one boot, so are these.
    incident.opened = incident.opened.min(BootTime(opened.unsigned_abs()));
    Ok(Some(seq))
}

fn write(connection: &Connection, seq: Option<i64>, report: &Report, run: i64) -> rusqlite::Result<i64> {
    let incident = &report.incident;
    let json =
        serde_json::to_string(report).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let (peers, container) = (peers(report), container(report));
    connection
        .prepare_cached(
            "INSERT INTO reports (seq, id, latest, run, number, opened, updated, state, severity, container, peers, report)
                VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            seq,
            report.id,
            run,
            incident.update.cast_signed(),
            incident.opened.0.cast_signed(),
            unix(report),
            state_name(incident.state),
            rank(incident.severity),
            container,
            peers,
            json
        ])?;
    Ok(connection.last_insert_rowid())
}

/// Why a database is of no use.
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Version(i64),
    Damaged,
    Empty,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Sqlite(source) => StoreError::of(path, source),
            Self::Version(version) => StoreError::Version {
                path: path.to_owned(),
                version,
            },
            Self::Damaged => StoreError::Damaged { path: path.to_owned() },
            Self::Empty => StoreError::Missing { path: path.to_owned() },
        }
    }
}
