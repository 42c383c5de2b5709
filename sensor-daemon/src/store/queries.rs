//! What is read of the record, by the sensor itself and by others.

use std::{collections::BTreeSet, path::Path};

use rusqlite::{Connection, OpenFlags, Row, params};

use super::{
    Filter, OutputState, StoreError, Stored,
    columns::{rank, state_name},
    database::{Failure, SCHEMA_VERSION, version},
};

/// Opens the file for reading, whatever is in it.
pub(super) fn open_in_any_form(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    Ok(connection)
}

/// Opens the file for reading.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let open = || -> Result<Connection, Failure> {
        let connection = open_in_any_form(path)?;
        match version(&connection)? {
            SCHEMA_VERSION => Ok(connection),
            // A sensor has begun and not come far.
            0 => Err(Failure::Empty),
            other => Err(Failure::Version(other)),
        }
    };
    open().map_err(|error| error.at(path))
}

/// The number of the last row.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(seq), 0) FROM reports", [], |row| row.get(0))
}

/// How far a sink has come.
pub(super) struct Cursor {
    pub(super) sink: String,
    /// The number of the last state that it has had.
    pub(super) seq: i64,
    /// States are kept until it has had them.
    pub(super) waits: bool,
}

/// Every sink's place.
pub(super) fn cursors(connection: &Connection) -> rusqlite::Result<Vec<Cursor>> {
    let mut statement = connection.prepare("SELECT sink, seq, waits FROM cursors")?;
    let rows = statement.query_map([], |row| {
        Ok(Cursor {
            sink: row.get(0)?,
            seq: row.get(1)?,
            waits: row.get(2)?,
        })
    })?;
    rows.collect()
}

/// How every sink is doing.
pub(super) fn outputs(connection: &Connection) -> rusqlite::Result<Vec<OutputState>> {
    let mut statement = connection.prepare(
        "SELECT sink, (SELECT count(*) FROM reports WHERE reports.seq > cursors.seq), waits, failing, failing_since
            FROM cursors ORDER BY sink",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(OutputState {
            name: row.get(0)?,
            waiting: row.get::<_, i64>(1)?.unsigned_abs(),
            closed: !row.get::<_, bool>(2)?,
            failing: row.get(3)?,
            failing_since: row.get(4)?,
        })
    })?;
    rows.collect()
}

/// Rows after a number, in order: fewer than `limit` only if there are no more. What can't be understood is passed over.
pub(super) fn after(connection: &Connection, seq: i64, limit: usize) -> rusqlite::Result<Vec<Stored>> {
    let mut statement = connection.prepare_cached("SELECT seq, report FROM reports WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = statement.query([seq])?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        found.extend(stored(row)?);
    }
    Ok(found)
}

/// Numbers of rows that can be read, or maybe so, in order. Every way to the rows is tried as far as it goes: a damaged page ends
/// each at another place.
pub(super) fn readable(damaged: &Connection) -> BTreeSet<i64> {
    let mut numbers = BTreeSet::new();
    for order in [
        "INDEXED BY reports_of_finding",
        "NOT INDEXED ORDER BY seq",
        "NOT INDEXED ORDER BY seq DESC",
    ] {
        if let Ok(mut statement) = damaged.prepare(&format!("SELECT seq FROM reports {order}"))
            && let Ok(rows) = statement.query_map([], |row| row.get::<_, i64>(0))
        {
            numbers.extend(rows.map_while(Result::ok));
        }
    }
    numbers
}

/// The newest state of each finding that the filter lets through, the oldest first.
pub(super) fn latest(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Stored>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, report FROM (
            SELECT seq, report, updated FROM reports WHERE latest = 1
                AND (?1 IS NULL OR updated >= ?1) AND (?2 IS NULL OR updated <= ?2)
                AND (?3 IS NULL OR severity >= ?3) AND (?4 IS NULL OR state = ?4)
                AND (?5 IS NULL OR instr(container, ?5) > 0) AND (?6 IS NULL OR instr(peers, ?6) > 0)
            ORDER BY updated DESC, seq DESC LIMIT ?7
        ) ORDER BY updated, seq",
    )?;
    let rows = statement.query_map(
        params![
            filter.since,
            filter.until,
            filter.min_severity.map(rank),
            filter.state.map(state_name),
            filter.container,
            filter.peer.as_ref().map(|peer| format!(" {peer} ")),
            filter.limit.map_or(-1, |limit| limit as i64),
        ],
        stored,
    )?;
    Ok(rows
        .collect::<rusqlite::Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// The newest state of each finding whose id begins so.
pub(super) fn by_prefix(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<Stored>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, report FROM reports WHERE latest = 1 AND substr(id, 1, length(?1)) = ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([prefix], stored)?;
    Ok(rows
        .collect::<rusqlite::Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// None for a report that this version can't understand.
pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<Option<Stored>> {
    let seq = row.get(0)?;
    let json = row.get_ref(1)?.as_bytes().ok();
    let report = json.and_then(|json| serde_json::from_slice(json).ok());
    Ok(report.map(|report| Stored { seq, report }))
}
