//! From one record to another: to memory when the file is of no use, and back.

use super::database::Database;

/// Rows read at once.
const BATCH: usize = 64;

/// What is copied from one record to another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Carry {
    /// All that there is.
    All,
    /// What goes on, and what some sink has not had.
    Needed,
}

/// Copies findings and every sink's place. Numbers go on after `last`.
pub(super) fn carry_over(from: &Database, to: &mut Database, what: Carry, last: i64) -> rusqlite::Result<()> {
    to.number_from(last)?;
    for row in from.open_ones()? {
        let met = from.has_met(row.seq)?;
        to.adopt(row, met)?;
    }
    let cursors = from.cursors()?;
    let mut seq = match what {
        Carry::All => 0,
        Carry::Needed => cursors.iter().map(|cursor| cursor.seq).min().unwrap_or(last),
    };
    loop {
        let rows = from.after(seq, BATCH)?;
        let all = rows.len() < BATCH;
        for row in rows {
            seq = row.seq;
            let met = from.has_met(seq)?;
            to.adopt(row, met)?;
        }
        if all {
            break;
        }
    }
    for cursor in cursors {
        to.set_cursor(&cursor.sink, cursor.seq)?;
        to.wait_for(&cursor.sink, cursor.waits)?;
    }
    Ok(())
}
