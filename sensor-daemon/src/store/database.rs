//! What the sensor writes to the file, and what it reads of it. [`schema`] has the tables, [`retention`] what is forgotten.
//!
//! Only the process that holds the directory's lock writes `reports`, so it alone gives out numbers.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    error::StoreError,
    filter::{Filter, updated},
    rows::{self, Rows, Stored},
    schema,
};
use crate::{
    detect::{Severity, State},
    finding::{Closed, Report},
    model::BootTime,
};

/// A state that has its number and is to be written.
pub(super) struct Queued {
    pub(super) seq: i64,
    pub(super) report: Arc<Report>,
    /// The report as it is written.
    pub(super) json: String,
}

/// The place of a sink.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    pub(super) sink: String,
    /// The number of the last state that the sink has had.
    pub(super) seq: i64,
    /// States are kept until the sink has had them.
    pub(super) waits: bool,
    /// Why the sink takes nothing, and since when in nanoseconds of Unix time.
    pub(super) failing: Option<(String, i64)>,
}

/// An open file.
pub(super) struct Database {
    pub(super) connection: Connection,
}

impl Database {
    /// Opens the file for writing, and makes it if need be.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open(path)?;
        Ok(Self { connection })
    }

    /// The number of the last state that was ever kept.
    pub(super) fn last(&self) -> rusqlite::Result<i64> {
        rows::last(&self.connection)
    }

    /// When the newest finding changed, in nanoseconds of Unix time.
    pub(super) fn newest_change(&self) -> rusqlite::Result<Option<i64>> {
        let query = "SELECT max(updated) FROM reports WHERE latest = 1";
        self.connection.query_row(query, [], |row| row.get(0))
    }

    /// Writes new states.
    pub(super) fn put(&mut self, states: &[Queued]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for state in states {
            insert(&transaction, state)?;
        }
        transaction.commit()
    }

    /// What the newest state of a finding says that the next one goes on from.
    pub(super) fn previous(&self, id: &str) -> rusqlite::Result<Option<Previous>> {
        self.connection
            .prepare_cached(
                "SELECT number, opened, severity, closed FROM reports WHERE id = ?1 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([id], |row| {
                let closed: Option<String> = row.get(3)?;
                Ok(Previous {
                    update: row.get::<_, i64>(0)?.unsigned_abs(),
                    opened: BootTime(row.get::<_, i64>(1)?.unsigned_abs()),
                    severity: of_rank(row.get(2)?),
                    closed: closed.and_then(|json| serde_json::from_str(&json).ok()),
                })
            })
            .optional()
    }

    /// States after a number, in order.
    pub(super) fn after(&self, seq: i64, limit: usize) -> rusqlite::Result<Rows> {
        rows::after(&self.connection, seq, limit)
    }

    /// Findings whose newest state has a number of at most `up_to` and says that they go on. Those whose state can't be read
    /// are marked as ended, since nobody else will do it.
    pub(super) fn open_up_to(&self, up_to: i64) -> rusqlite::Result<Vec<Report>> {
        let found = self.read("latest = 1 AND state = 'ACTIVE' AND seq <= ?1", up_to)?;
        for seq in found.unreadable {
            self.connection
                .execute("UPDATE reports SET state = 'INACTIVE' WHERE seq = ?1", [seq])?;
        }
        Ok(found.stored.into_iter().map(|stored| stored.report).collect())
    }

    /// The last states of findings that ended, if some sink has not had them.
    pub(super) fn ended_after(&self, delivered: i64) -> rusqlite::Result<Vec<Report>> {
        let found = self.read("latest = 1 AND state = 'INACTIVE' AND seq > ?1", delivered)?;
        Ok(found.stored.into_iter().map(|stored| stored.report).collect())
    }

    /// The states that are still needed: of findings that go on, and what some sink has not had.
    pub(super) fn needed(&self, delivered: i64) -> rusqlite::Result<Vec<Stored>> {
        Ok(self
            .read("(latest = 1 AND state = 'ACTIVE') OR seq > ?1", delivered)?
            .stored)
    }

    fn read(&self, condition: &str, seq: i64) -> rusqlite::Result<Rows> {
        let query = format!("SELECT seq, report FROM reports WHERE {condition} ORDER BY seq");
        rows::read(&mut self.connection.prepare(&query)?, [seq], &Filter::default())
    }

    /// The place of every sink.
    pub(super) fn cursors(&self) -> rusqlite::Result<Vec<Cursor>> {
        let mut statement = self.connection.prepare("SELECT sink, seq FROM cursors")?;
        let rows = statement.query_map([], |row| {
            Ok(Cursor {
                sink: row.get(0)?,
                seq: row.get(1)?,
                ..Cursor::default()
            })
        })?;
        rows.collect()
    }

    /// Notes the place of a sink.
    pub(super) fn save(&self, cursor: &Cursor) -> rusqlite::Result<()> {
        let (why, since) = cursor.failing.as_ref().map(|(why, since)| (why, since)).unzip();
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO cursors (sink, seq, waits, failing, failing_since) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![cursor.sink, cursor.seq, cursor.waits, why, since])?;
        Ok(())
    }

    /// Forgets the place of a sink that is not used any more.
    pub(super) fn forget_sink(&self, sink: &str) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM cursors WHERE sink = ?1", [sink])?;
        Ok(())
    }

    /// Asks for a finding to be closed.
    pub(super) fn request(connection: &Connection, id: &str, closed: &Closed) -> rusqlite::Result<()> {
        let query = "INSERT OR REPLACE INTO closings (id, closed) VALUES (?1, ?2)";
        connection.execute(query, params![id, json(closed)?])?;
        Ok(())
    }

    /// Writes a new, closed state of each finding that somebody asked to close. The states' numbers go on after `last`, which may
    /// be beyond the file: a file that was made anew begins with the states that were in memory. Returns the last number.
    pub(super) fn close_requested(&mut self, mut last: i64) -> rusqlite::Result<i64> {
        let transaction = self.connection.transaction()?;
        let requests: Vec<(String, String)> = transaction
            .prepare_cached("SELECT id, closed FROM closings")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if requests.is_empty() {
            return Ok(last);
        }
        last = last.max(rows::last(&transaction)?);
        for (id, closed) in &requests {
            let mut newest =
                transaction.prepare_cached("SELECT seq, report FROM reports WHERE latest = 1 AND id = ?1")?;
            let newest = rows::read(&mut newest, [id], &Filter::default())?.stored.pop();
            if let (Some(newest), Ok(closed)) = (newest, serde_json::from_str::<Closed>(closed)) {
                let mut report = newest.report;
                let incident = &mut report.incident;
                incident.update += 1;
                incident.new_commands = 0;
                let since_boot = closed.unix_ns.saturating_sub(report.host.boot_unix_ns);
                incident.updated = incident.updated.max(BootTime(since_boot.max(0).unsigned_abs()));
                report.closed = Some(closed);
                last += 1;
                insert(&transaction, &Queued::new(last, report)?)?;
            }
        }
        transaction.execute("DELETE FROM closings", [])?;
        transaction.commit()?;
        Ok(last)
    }
}

impl Queued {
    pub(super) fn new(seq: i64, report: Report) -> rusqlite::Result<Self> {
        let json = json(&report)?;
        let report = Arc::new(report);
        Ok(Self { seq, report, json })
    }
}

/// What a state of a finding goes on from.
pub(super) struct Previous {
    update: u64,
    opened: BootTime,
    severity: Severity,
    closed: Option<Closed>,
}

impl From<&Report> for Previous {
    fn from(report: &Report) -> Self {
        Self {
            update: report.incident.update,
            opened: report.incident.opened,
            severity: report.incident.severity,
            closed: report.closed.clone(),
        }
    }
}

impl Previous {
    /// Makes a state follow this one, which an earlier start of the sensor may have written. A closed finding stays closed
    /// unless it has become more severe.
    pub(super) fn go_on(self, report: &mut Report) {
        let incident = &mut report.incident;
        if report.closed.is_none() && incident.severity <= self.severity {
            report.closed = self.closed;
        }
        incident.update = incident.update.max(self.update + 1);
        incident.severity = incident.severity.max(self.severity);
        // A finding's id is of one boot, and so are these times.
        incident.opened = incident.opened.min(self.opened);
    }
}

fn insert(connection: &Connection, state: &Queued) -> rusqlite::Result<()> {
    let Queued { seq, report, json } = state;
    let incident = &report.incident;
    connection
        .prepare_cached("UPDATE reports SET latest = 0 WHERE id = ?1 AND latest = 1")?
        .execute([&report.id])?;
    connection
        .prepare_cached(
            "INSERT INTO reports (seq, id, latest, number, opened, updated, state, severity, report, closed)
                VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            seq,
            report.id,
            incident.update.cast_signed(),
            incident.opened.0.cast_signed(),
            updated(report),
            match incident.state {
                State::Active => "ACTIVE",
                State::Inactive => "INACTIVE",
            },
            rank(incident.severity),
            json,
            report.closed.as_ref().map(self::json).transpose()?,
        ])?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

fn of_rank(rank: i64) -> Severity {
    match rank {
        4.. => Severity::Critical,
        3 => Severity::High,
        2 => Severity::Medium,
        _ => Severity::Low,
    }
}
