//! What is forgotten: superseded states, findings that are old, and the oldest that ended where there is no room for more. What a
//! sink has not had goes last, and is counted.

use rusqlite::params;

use super::{Retention, database::Database};

/// Superseded states that wait for a sink at most; beyond that only each finding's newest state is kept.
const SUPERSEDED_MAX: i64 = 256;
/// Findings forgotten at once. Few, since to forget takes room itself: SQLite's log has each changed page until it is copied
/// into the file.
const SHED: i64 = 32;
/// Pages given back to the disk at once, for the same reason.
const VACUUM: i64 = 256;
/// The number up to which every sink that is waited for has had everything.
pub(super) const DELIVERED: &str = "(SELECT coalesce(min(seq), 9223372036854775807) FROM cursors WHERE waits)";

/// Which findings may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those alone that every sink has had.
    Delivered,
    /// All, those first.
    All,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shed {
    pub(super) findings: usize,
    /// How many of them some sink had not had.
    pub(super) undelivered: usize,
}

impl Shed {
    pub(super) fn and(self, more: Self) -> Self {
        Self {
            findings: self.findings + more.findings,
            undelivered: self.undelivered + more.undelivered,
        }
    }
}

impl Database {
    /// Forgets superseded states that no sink waits for; and the others, if there are many. How many of the latter.
    pub(super) fn forget_superseded(&mut self) -> rusqlite::Result<usize> {
        self.connection
            .prepare_cached(&format!("DELETE FROM reports WHERE latest = 0 AND seq <= {DELIVERED}"))?
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

    /// Forgets findings that ended before `now` by more than the greatest age.
    pub(super) fn forget_old(&mut self, retention: &Retention, now: i64) -> rusqlite::Result<Shed> {
        let mut all = Shed::default();
        let Some(age) = retention.max_age else { return Ok(all) };
        let oldest = now.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
        loop {
            let shed = self.forget(oldest, i64::MAX)?;
            if shed.findings == 0 {
                return Ok(all);
            }
            all = all.and(shed);
        }
    }

    /// Forgets the oldest that ended while more than `max_bytes` are in use.
    pub(super) fn keep_within(&mut self, max_bytes: u64, which: Which) -> rusqlite::Result<Shed> {
        let mut all = Shed::default();
        while self.size()? > max_bytes {
            let shed = self.shed(which)?;
            if shed.findings == 0 {
                break;
            }
            all = all.and(shed);
        }
        Ok(all)
    }

    /// Forgets some of the findings that ended, the oldest first: such that every sink has had, and others only if there are
    /// none.
    pub(super) fn shed(&mut self, which: Which) -> rusqlite::Result<Shed> {
        let delivered = self
            .connection
            .query_row(&format!("SELECT {DELIVERED}"), [], |row| row.get(0))?;
        let shed = self.forget(i64::MAX, delivered)?;
        if shed.findings > 0 || which == Which::Delivered {
            return Ok(shed);
        }
        self.forget(i64::MAX, i64::MAX)
    }

    /// Forgets some of the findings that ended before `before` and whose last state is not newer than number `up_to`.
    fn forget(&mut self, before: i64, up_to: i64) -> rusqlite::Result<Shed> {
        let transaction = self.connection.transaction()?;
        let chosen: Vec<(String, bool)> = transaction
            .prepare_cached(&format!(
                "SELECT id, seq > {DELIVERED} FROM reports
                    WHERE latest = 1 AND state = 'INACTIVE' AND updated < ?1 AND seq <= ?2 ORDER BY updated LIMIT ?3"
            ))?
            .query_map(params![before, up_to, SHED], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut shed = Shed::default();
        for (id, undelivered) in chosen {
            transaction
                .prepare_cached("DELETE FROM reports WHERE id = ?1")?
                .execute([&id])?;
            shed.findings += 1;
            shed.undelivered += usize::from(undelivered);
        }
        transaction.commit()?;
        if shed.findings > 0 {
            // Each row of the answer stands for one page that was given back.
            let mut vacuum = self
                .connection
                .prepare(&format!("PRAGMA incremental_vacuum({VACUUM})"))?;
            let mut pages = vacuum.query([])?;
            while pages.next()?.is_some() {}
        }
        Ok(shed)
    }

    /// Copies the log into the file, and gives the log's room back unless somebody reads it.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Bytes of pages in use.
    pub(super) fn size(&self) -> rusqlite::Result<u64> {
        let pragma =
            |name: &str| -> rusqlite::Result<i64> { self.connection.pragma_query_value(None, name, |row| row.get(0)) };
        let used = pragma("page_count")? - pragma("freelist_count")?;
        Ok((used.max(0) * pragma("page_size")?).unsigned_abs())
    }
}
