//! Rows of the database as states of findings.

use rusqlite::{Connection, Statement, params};

use super::filter::Filter;
use crate::finding::Report;

/// A state of a finding and its number. A later state has a higher number.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The number.
    pub seq: i64,
    /// The state.
    pub report: Report,
}

/// What a query found.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) stored: Vec<Stored>,
    /// Numbers of rows whose report this version of the sensor can't read.
    pub(super) unreadable: Vec<i64>,
}

/// How an output is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputState {
    /// As `--output` names it.
    pub name: String,
    /// States that it has not had.
    pub waiting: u64,
    /// Nobody reads it any more. It is tried again when the sensor starts anew.
    pub closed: bool,
    /// Why it takes nothing.
    pub failing: Option<String>,
    /// Since when, in nanoseconds of Unix time.
    pub failing_since: Option<i64>,
}

/// The number of the last state that was ever kept.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<i64> {
    let query = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'reports'";
    connection.query_row(query, [], |row| row.get(0))
}

/// At most `limit` states after a number, in order.
pub(super) fn after(connection: &Connection, seq: i64, limit: usize) -> rusqlite::Result<Rows> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = "SELECT seq, report FROM reports WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = connection.prepare_cached(query)?;
    read(&mut statement, params![seq, limit], &Filter::default())
}

/// The newest state of each finding that the filter lets through, the oldest first.
pub(super) fn latest(connection: &Connection, filter: &Filter) -> rusqlite::Result<Rows> {
    let query = "SELECT seq, report FROM reports WHERE latest = 1
        AND (?1 IS NULL OR updated >= ?1) AND (?2 IS NULL OR updated <= ?2) ORDER BY updated DESC, seq DESC";
    let mut rows = read(
        &mut connection.prepare(query)?,
        params![filter.since, filter.until],
        filter,
    )?;
    rows.stored.reverse();
    Ok(rows)
}

/// The newest state of each finding whose id begins with `prefix`.
pub(super) fn by_prefix(connection: &Connection, prefix: &str) -> rusqlite::Result<Rows> {
    let query = "SELECT seq, report FROM reports WHERE latest = 1 AND substr(id, 1, length(?1)) = ?1 ORDER BY id";
    read(&mut connection.prepare(query)?, params![prefix], &Filter::default())
}

/// How each sink is doing, by name.
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

/// Reads `seq, report` of each row that the filter lets through.
pub(super) fn read(
    statement: &mut Statement<'_>,
    parameters: impl rusqlite::Params,
    filter: &Filter,
) -> rusqlite::Result<Rows> {
    let mut found = Rows::default();
    let mut rows = statement.query(parameters)?;
    while filter.limit.is_none_or(|limit| found.stored.len() < limit)
        && let Some(row) = rows.next()?
    {
        let seq = row.get(0)?;
        let json = row.get_ref(1)?.as_bytes().unwrap_or_default();
        match serde_json::from_slice::<Report>(json) {
            Ok(report) if filter.lets_through(&report) => found.stored.push(Stored { seq, report }),
            Ok(_) => {}
            Err(_) => found.unreadable.push(seq),
        }
    }
    Ok(found)
}
