//! The tables, and what is written to them. One row a state of a finding; the newest of each is marked. Sinks follow the
//! rows by number, each with a cursor of its own.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Retention, StoreError, Stored,
    columns::{container, of_rank, peers, rank, state_name, unix},
    queries::{self, stored},
};
use crate::{finding::Report, model::BootTime};

/// Of the tables; in the file's `user_version`.
pub(super) const SCHEMA_VERSION: i64 = 1;
/// Superseded states that wait for a sink at most; beyond that only each finding's newest state is kept.
const SUPERSEDED_MAX: i64 = 256;
/// Part of the findings that goes when there is no room: one in so many.
const SHED: i64 = 20;
/// A number that no start of the sensor has.
const NO_RUN: i64 = 0;
/// KiB of pages kept in memory.
const CACHE_KIB: i64 = 256;

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
    CREATE TABLE cursors (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE runs (run INTEGER PRIMARY KEY AUTOINCREMENT);
";

/// An open database.
pub(super) struct Database {
    connection: Connection,
    /// Which start of the sensor this is.
    run: i64,
}

impl Database {
    /// Opens the file for writing, and makes it if need be.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(|source| StoreError::of(path, source))?;
        Self::prepare(connection, true).map_err(|error| error.at(path))
    }

    /// One that is in memory.
    pub(super) fn in_memory() -> Result<Self, StoreError> {
        let connection =
            Connection::open_in_memory().map_err(|source| StoreError::of(Path::new(":memory:"), source))?;
        Self::prepare(connection, false).map_err(|error| error.at(Path::new(":memory:")))
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
        }
        match version(&connection)? {
            0 => {
                let made = connection.unchecked_transaction()?;
                made.execute_batch(SCHEMA)?;
                made.pragma_update(None, "user_version", SCHEMA_VERSION)?;
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

    /// Forgets superseded states that no sink waits for; and the others, if there are many. How many of the latter.
    pub(super) fn forget_superseded(&mut self) -> rusqlite::Result<usize> {
        self.connection
            .prepare_cached(
                "DELETE FROM reports WHERE latest = 0 AND seq <= (SELECT coalesce(min(seq), 0) FROM cursors)",
            )?
            .execute([])?;
        let waiting: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM reports WHERE latest = 0")?
            .query_row([], |row| row.get(0))?;
        if waiting <= SUPERSEDED_MAX {
            return Ok(0);
        }
        self.connection.execute("DELETE FROM reports WHERE latest = 0", [])
    }

    /// Takes over a row as it is. `met` says whether this start of the sensor has met the finding.
    pub(super) fn adopt(&mut self, stored: &Stored, met: bool) -> rusqlite::Result<()> {
        let run = if met { self.run } else { NO_RUN };
        let transaction = self.connection.transaction()?;
        let known: Option<i64> = transaction
            .query_row("SELECT seq FROM reports WHERE seq = ?1", [stored.seq], |row| row.get(0))
            .optional()?;
        if known.is_none() {
            write(&transaction, Some(stored.seq), &stored.report, run)?;
            transaction.execute(
                "UPDATE reports SET latest = 0
                    WHERE id = ?1 AND seq < (SELECT max(seq) FROM reports WHERE id = ?1)",
                [&stored.report.id],
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

    /// Every sink's place.
    pub(super) fn cursors(&self) -> rusqlite::Result<Vec<(String, i64)>> {
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

    /// Forgets sinks that are not used any more, so that nothing waits for them.
    pub(super) fn keep_cursors(&mut self, sinks: &[String]) -> rusqlite::Result<()> {
        for (sink, _) in self.cursors()? {
            if !sinks.contains(&sink) {
                self.connection.execute("DELETE FROM cursors WHERE sink = ?1", [sink])?;
            }
        }
        Ok(())
    }

    /// Forgets findings that ended before `now` by more than the greatest age, and the oldest that ended while the file is too
    /// large.
    pub(super) fn keep_within(&mut self, retention: &Retention, now: i64) -> rusqlite::Result<()> {
        if let Some(age) = retention.max_age {
            let oldest = now.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
            self.connection.execute(
                "DELETE FROM reports WHERE latest = 1 AND state = 'INACTIVE' AND updated < ?1",
                [oldest],
            )?;
        }
        while self.size()? > retention.max_bytes && self.shed()? {}
        Ok(())
    }

    /// Forgets some of the findings that ended, the oldest first; whether there were any.
    pub(super) fn shed(&mut self) -> rusqlite::Result<bool> {
        let shed = self.connection.execute(
            "DELETE FROM reports WHERE seq IN (
                SELECT seq FROM reports WHERE latest = 1 AND state = 'INACTIVE' ORDER BY updated
                LIMIT (SELECT 1 + count(*) / ?1 FROM reports WHERE latest = 1)
            )",
            [SHED],
        )?;
        // Each row of the answer stands for one page that was given back.
        let mut vacuum = self.connection.prepare_cached("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        Ok(shed > 0)
    }

    /// Refuses to grow by more than `pages`, as a full disk does.
    #[cfg(test)]
    pub(super) fn refuse_to_grow(&self, pages: i64) -> rusqlite::Result<()> {
        let count: i64 = self
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))?;
        let limit = format!("PRAGMA max_page_count = {}", count + pages);
        self.connection.query_row(&limit, [], |_| Ok(()))
    }

    /// Bytes of pages in use.
    fn size(&self) -> rusqlite::Result<u64> {
        let pragma =
            |name: &str| -> rusqlite::Result<i64> { self.connection.pragma_query_value(None, name, |row| row.get(0)) };
        let used = pragma("page_count")? - pragma("freelist_count")?;
        Ok((used.max(0) * pragma("page_size")?).unsigned_abs())
    }
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Keeps a new state. If an earlier start of the sensor knew the finding, it goes on where that one was.
fn insert(connection: &Connection, report: &mut Report, run: i64) -> rusqlite::Result<i64> {
    let before: Option<(i64, i64, i64, i64)> = connection
        .prepare_cached("SELECT seq, number, severity, opened FROM reports WHERE id = ?1 ORDER BY seq DESC LIMIT 1")?
        .query_row([&report.id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    if let Some((seq, number, severity, opened)) = before {
        let incident = &mut report.incident;
        incident.update = incident.update.max(number.unsigned_abs() + 1);
        incident.severity = incident.severity.max(of_rank(severity));
        // Ids are of one boot, so are these.
        incident.opened = incident.opened.min(BootTime(opened.unsigned_abs()));
        connection
            .prepare_cached("UPDATE reports SET latest = 0 WHERE seq = ?1")?
            .execute([seq])?;
    }
    write(connection, None, report, run)
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
        }
    }
}
