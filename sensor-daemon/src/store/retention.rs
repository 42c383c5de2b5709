//! What is forgotten: superseded states, findings that are old, and the oldest that ended where there are too many. Findings that
//! go on are never forgotten.

use std::time::Duration;

use rusqlite::{Connection, params};

/// Superseded states that wait for a sink at most. Beyond that only each finding's newest state is kept.
pub(super) const SUPERSEDED_MAX: i64 = 256;
/// Findings forgotten in one transaction, so that the log stays short.
const BATCH: i64 = 32;

/// How long findings that ended are kept, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For how long; `None` for ever.
    pub max_age: Option<Duration>,
    /// Bytes of the file that are in use.
    pub max_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_age: Some(Duration::from_secs(30 * 86_400)),
            max_bytes: 64 << 20,
        }
    }
}

impl Retention {
    /// Findings that last changed before this moment are old, in nanoseconds of Unix time.
    ///
    /// One reading of the clock proves nothing: somebody may have set it far ahead. So the age counts up to what both the clock
    /// (`now`) and the newest finding when the file was opened, plus the time since then, agree on. If the newest finding is of
    /// Monday, and the sensor has run for two hours, then it is Monday plus two hours, even if the clock says 2036.
    pub(super) fn oldest(&self, now: i64, newest: i64, since: Duration) -> Option<i64> {
        let ns = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let now = now.min(newest.saturating_add(ns(since)));
        self.max_age.map(|age| now.saturating_sub(ns(age)))
    }
}

/// Forgets superseded states that every sink has had, and all of them if there are many. Returns how many of those some sink
/// has not had. `delivered` is the number up to which every sink has had everything.
pub(super) fn forget_superseded(connection: &Connection, delivered: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM reports WHERE latest = 0 AND seq <= ?1")?
        .execute([delivered])?;
    let waiting: i64 = connection
        .prepare_cached("SELECT count(*) FROM reports WHERE latest = 0")?
        .query_row([], |row| row.get(0))?;
    if waiting <= SUPERSEDED_MAX {
        return Ok(0);
    }
    connection.execute("DELETE FROM reports WHERE latest = 0", [])
}

/// Forgets findings that ended and last changed before `oldest`, if every sink has had them.
pub(super) fn forget_old(connection: &mut Connection, oldest: i64, delivered: i64) -> rusqlite::Result<()> {
    while forget(connection, oldest, delivered)? > 0 {}
    Ok(())
}

/// Forgets the oldest findings that ended while more than `max_bytes` are in use: first those that every sink has had. Returns
/// how many some sink has not had.
pub(super) fn keep_within(connection: &mut Connection, max_bytes: u64, delivered: i64) -> rusqlite::Result<usize> {
    let mut undelivered = 0;
    while size(connection)? > max_bytes {
        if forget(connection, i64::MAX, delivered)? > 0 {
            continue;
        }
        let forgotten = forget(connection, i64::MAX, i64::MAX)?;
        if forgotten == 0 {
            break;
        }
        undelivered += forgotten;
    }
    Ok(undelivered)
}

/// Forgets some of the findings that ended before `before` and whose last state has a number of at most `up_to`, the oldest first.
fn forget(connection: &mut Connection, before: i64, up_to: i64) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    let chosen: Vec<String> = transaction
        .prepare_cached(
            "SELECT id FROM reports WHERE latest = 1 AND state = 'INACTIVE' AND updated < ?1 AND seq <= ?2
                ORDER BY updated LIMIT ?3",
        )?
        .query_map(params![before, up_to, BATCH], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &chosen {
        transaction
            .prepare_cached("DELETE FROM reports WHERE id = ?1")?
            .execute([id])?;
    }
    transaction.commit()?;
    Ok(chosen.len())
}

/// Bytes of pages in use. The file itself does not shrink: its free pages are room for new findings, on a full disk as well.
pub(super) fn size(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let used = pragma("page_count")? - pragma("freelist_count")?;
    Ok((used.max(0) * pragma("page_size")?).unsigned_abs())
}
