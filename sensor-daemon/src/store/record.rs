//! The record in memory: states that are not in the file yet, and the place of each sink. The file comes and goes; numbers and
//! places go on.
//!
//! Every state gets the next number and enters the queue. [`Record::flush`] moves the queue into the file. If that fails, the
//! states stay in the queue, where sinks read them as well, until a later flush succeeds. So the file has the states with the
//! lower numbers and the queue those with the higher ones. Without any file everything is in the queue.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tracing::{debug, warn};

use super::{
    database::{Cursor, Database, Previous, Queued},
    retention,
    rows::Stored,
    settled::Settled,
};
use crate::{detect::State, finding::Report};

/// States written in one transaction.
const BATCH: usize = 64;
/// Most bytes of states in the queue.
const QUEUE_MAX: usize = 16 << 20;
/// Most superseded states in the queue, as in the file. Beyond that only each finding's newest state is kept.
const SUPERSEDED_MAX: usize = retention::SUPERSEDED_MAX.unsigned_abs() as usize;

#[derive(Default)]
pub(super) struct Record {
    pub(super) file: Option<Database>,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    cursors: Vec<Cursor>,
    /// A place of a sink has changed and could not be written.
    unsaved: bool,
    /// Number of the last state.
    pub(super) last: i64,
    /// States in the file up to this number were written by earlier starts of the sensor.
    earlier: i64,
    /// How far all numbers were moved when a file with higher ones was attached.
    pub(super) moved: i64,
    /// No state will follow.
    pub(super) ended: bool,
    /// It was said that some states can't be read.
    told: bool,
}

/// What a sink gets next.
pub(super) struct Batch {
    pub(super) states: Vec<(i64, Arc<Report>)>,
    /// States that can't be read and that this batch leaves behind.
    pub(super) unreadable: usize,
    /// There are no states up to this number; where to go on if the batch is empty.
    pub(super) up_to: i64,
}

impl Record {
    pub(super) fn new(sinks: &[String]) -> Self {
        let cursor = |sink: &String| Cursor {
            sink: sink.clone(),
            waits: true,
            ..Cursor::default()
        };
        Self {
            cursors: sinks.iter().map(cursor).collect(),
            ..Self::default()
        }
    }

    /// Gives a state its number. A finding that is known goes on from its state before.
    pub(super) fn append(&mut self, mut report: Report) {
        let queued = self.queue.iter().rev().find(|queued| queued.report.id == report.id);
        let in_file = || {
            self.file
                .as_ref()
                .and_then(|file| file.previous(&report.id).ok().flatten())
        };
        if let Some(previous) = queued.map(|queued| Previous::from(&*queued.report)).or_else(in_file) {
            previous.go_on(&mut report);
        }
        match Queued::new(self.last + 1, report) {
            Ok(queued) => {
                self.last += 1;
                self.queued_bytes += queued.json.len();
                self.queue.push_back(queued);
            }
            Err(error) => warn!("a finding can't be kept: {error}"),
        }
    }

    /// Writes the queue, and places that could not be written before.
    pub(super) fn flush(&mut self) -> rusqlite::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        while !self.queue.is_empty() {
            let count = self.queue.len().min(BATCH);
            file.put(&self.queue.make_contiguous()[..count])?;
            let written = self.queue.drain(..count).map(|queued| queued.json.len());
            self.queued_bytes -= written.sum::<usize>();
        }
        if self.unsaved {
            for cursor in &self.cursors {
                file.save(cursor)?;
            }
            self.unsaved = false;
        }
        Ok(())
    }

    /// Returns true if everything outlives the sensor.
    pub(super) fn is_durable(&self) -> bool {
        self.file.is_some() && self.queue.is_empty()
    }

    /// How many states are in memory alone.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Keeps the queue within its bound. If no file is planned, forgets what nobody needs any more. Returns how many states were
    /// given up.
    pub(super) fn bound(&mut self, is_file_planned: bool) -> u64 {
        let delivered = self.delivered();
        let mut given_up = 0;
        loop {
            let newest: HashMap<&str, i64> = self
                .queue
                .iter()
                .map(|queued| (queued.report.id.as_str(), queued.seq))
                .collect();
            let is_newest = |queued: &Queued| newest.get(queued.report.id.as_str()) == Some(&queued.seq);
            let is_open = |queued: &Queued| queued.report.incident.state == State::Active;
            let done = |queued: &Queued| queued.seq <= delivered && !(is_newest(queued) && is_open(queued));
            let at = if !is_file_planned && let Some(at) = self.queue.iter().position(done) {
                at
            } else if self.queue.iter().filter(|queued| !is_newest(queued)).count() > SUPERSEDED_MAX
                || self.queued_bytes > QUEUE_MAX
            {
                let superseded = self.queue.iter().position(|queued| !is_newest(queued));
                let ended = || self.queue.iter().position(|queued| !is_open(queued));
                superseded.or_else(ended).unwrap_or(0)
            } else {
                return given_up;
            };
            if let Some(gone) = self.queue.remove(at) {
                self.queued_bytes -= gone.json.len();
                given_up += u64::from(is_file_planned || gone.seq > delivered);
            }
        }
    }

    /// Goes on with this file. Its numbers stay as they are.
    pub(super) fn attach(&mut self, file: Database) -> rusqlite::Result<()> {
        let in_file = file.last()?;
        let known = file.cursors()?;
        let place = |sink: &str| known.iter().find(|cursor| cursor.sink == sink).map(|cursor| cursor.seq);
        let mut waiting = Vec::new();
        if self.last == 0 {
            // Each sink goes on where it was. A new one begins with what comes.
            for cursor in &mut self.cursors {
                cursor.seq = place(&cursor.sink).map_or(in_file, |seq| seq.min(in_file));
            }
            self.last = in_file;
        } else {
            // Sinks are in the queue already. What they missed in this file they get under new numbers.
            let delivered = self.cursors.iter().filter_map(|cursor| place(&cursor.sink)).min();
            waiting = file.ended_after(delivered.unwrap_or(in_file))?;
            let before_queue = self.queue.front().map_or(self.last, |queued| queued.seq - 1);
            let move_by = (in_file - before_queue).max(0);
            self.last += move_by;
            self.moved += move_by;
            self.queue.iter_mut().for_each(|queued| queued.seq += move_by);
            self.cursors.iter_mut().for_each(|cursor| cursor.seq += move_by);
        }
        for Cursor { sink, .. } in known {
            if self.cursors.iter().all(|cursor| cursor.sink != sink)
                && let Err(error) = file.forget_sink(&sink)
            {
                debug!("the place of {sink}, which is not used any more, can't be forgotten: {error}");
            }
        }
        self.unsaved = true;
        self.earlier = in_file;
        self.file = Some(file);
        waiting.into_iter().for_each(|report| self.append(report));
        Ok(())
    }

    /// Lets go of a file that was removed or is damaged, and takes along what is still needed, as far as it can be read.
    pub(super) fn detach(&mut self) {
        let Some(file) = self.file.take() else { return };
        let needed = file.needed(self.delivered()).unwrap_or_else(|error| {
            debug!("what goes on can't be read: {error}");
            Vec::new()
        });
        for Stored { seq, report } in needed.into_iter().rev() {
            if let Ok(queued) = Queued::new(seq, report) {
                self.queued_bytes += queued.json.len();
                self.queue.push_front(queued);
            }
        }
    }

    /// Findings that an earlier start of the sensor left open, that this one has not met, and whose end is certain.
    pub(super) fn abandoned(&self, certain: &Settled) -> rusqlite::Result<Vec<Report>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let mut open = file.open_up_to(self.earlier)?;
        open.retain(|report| match certain {
            Settled::All => true,
            Settled::OtherBoots(boot_id) => report.host.boot_id != *boot_id,
        });
        open.retain(|report| self.queue.iter().all(|queued| queued.report.id != report.id));
        Ok(open)
    }

    /// At most `limit` states after a number.
    pub(super) fn after(&mut self, seq: i64, limit: usize) -> rusqlite::Result<Batch> {
        let mut batch = Batch {
            states: Vec::new(),
            unreadable: 0,
            up_to: self.last,
        };
        if self.queue.front().is_none_or(|first| seq + 1 < first.seq)
            && let Some(file) = &self.file
        {
            let found = file.after(seq, limit)?;
            // What can't be read after the last good one is left behind by the next batch.
            let last = found.stored.last().map(|stored| stored.seq);
            let passed = |unreadable: &&i64| last.is_none_or(|last| **unreadable < last);
            batch.unreadable = found.unreadable.iter().filter(passed).count();
            if let (None, Some(last)) = (last, found.unreadable.last()) {
                batch.up_to = *last;
            }
            let stored = found.stored.into_iter();
            batch.states = stored.map(|stored| (stored.seq, Arc::new(stored.report))).collect();
        }
        if batch.states.is_empty() && batch.unreadable == 0 {
            let queued = self.queue.iter().filter(|queued| queued.seq > seq).take(limit);
            batch.states = queued.map(|queued| (queued.seq, Arc::clone(&queued.report))).collect();
        }
        if batch.unreadable > 0 && !std::mem::replace(&mut self.told, true) {
            warn!("some states of findings can't be read by this version of the sensor: no output gets them");
        }
        Ok(batch)
    }

    /// The number up to which every sink that is waited for has had everything.
    pub(super) fn delivered(&self) -> i64 {
        let waited_for = self.cursors.iter().filter(|cursor| cursor.waits);
        waited_for.map(|cursor| cursor.seq).min().unwrap_or(i64::MAX)
    }

    /// How far a sink has come.
    pub(super) fn place(&self, sink: &str) -> i64 {
        let cursor = self.cursors.iter().find(|cursor| cursor.sink == sink);
        cursor.map_or(self.last, |cursor| cursor.seq)
    }

    /// Notes something about a sink, in the file as well.
    pub(super) fn note(&mut self, sink: &str, change: impl FnOnce(&mut Cursor)) {
        let Some(cursor) = self.cursors.iter_mut().find(|cursor| cursor.sink == sink) else {
            return;
        };
        change(cursor);
        if let Some(file) = &self.file
            && let Err(error) = file.save(cursor)
        {
            debug!("the place of {sink} can't be written yet: {error}");
            self.unsaved = true;
        }
    }
}
