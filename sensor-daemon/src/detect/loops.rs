//! Programs that hold a connection and run commands: what each ran of its own accord, and which incident it has. Bounded;
//! forgets the one that was still for longest.

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use crate::model::{BootTime, Flow, Text};

use super::index::Key;

/// A loop is told by its flow: who runs the command may be a new process each time, a subshell or a worker of a server.
pub(super) type LoopId = Flow;

/// How long a loop that runs nothing is remembered, and its flow watched, in nanoseconds.
pub(super) const IDLE: u64 = 120 * 1_000_000_000;
/// Texts remembered as a program's own habit.
const HABITS_MAX: usize = 64;
/// Commands that were not delivered after which a flow is watched no more, until the loop has been idle.
const PATIENCE: u32 = 50;
/// Most loops remembered.
pub(super) const LOOPS_MAX: usize = 512;

/// What is known of one.
#[derive(Debug, Default)]
pub(super) struct Loop {
    /// Its incident, open or ended.
    pub(super) key: Option<Key>,
    /// Its flow is watched for it.
    pub(super) watched: bool,
    /// It is of no use to watch it.
    pub(super) hopeless: bool,
    /// When its last command ran.
    pub(super) last: BootTime,
    undelivered: u32,
    habits: VecDeque<u64>,
    until: BootTime,
}

impl Loop {
    /// Whether the program ran one of these before without its having been delivered.
    pub(super) fn is_habit(&self, texts: &[Text]) -> bool {
        texts.iter().any(|text| self.habits.contains(&hash(text)))
    }

    /// A command ran that nobody delivered.
    pub(super) fn was_not_delivered(&mut self, texts: &[Text]) {
        self.undelivered += 1;
        self.hopeless |= self.undelivered >= PATIENCE;
        for hash in texts.iter().map(hash) {
            if !self.habits.contains(&hash) {
                self.habits.push_back(hash);
            }
        }
        while self.habits.len() > HABITS_MAX {
            self.habits.pop_front();
        }
    }
}

/// Never leaves memory, so it need not be the same in another process.
fn hash(text: &Text) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.as_bytes().hash(&mut hasher);
    hasher.finish()
}

#[derive(Debug, Default)]
pub(super) struct Loops {
    known: HashMap<LoopId, Loop>,
    timers: BTreeSet<(BootTime, LoopId)>,
}

impl Loops {
    /// Forgets one, if there is no room for `id` otherwise.
    pub(super) fn make_room(&mut self, id: LoopId) -> Option<(LoopId, Loop)> {
        if self.known.len() < LOOPS_MAX || self.known.contains_key(&id) {
            return None;
        }
        let &(_, oldest) = self.timers.first()?;
        self.remove(oldest).map(|known| (oldest, known))
    }

    /// The loop, new if need be, that runs something at `now`.
    pub(super) fn touch(&mut self, id: LoopId, now: BootTime) -> &mut Loop {
        let known = self.known.entry(id).or_default();
        self.timers.remove(&(known.until, id));
        known.until = BootTime(now.0.saturating_add(IDLE));
        self.timers.insert((known.until, id));
        known
    }

    pub(super) fn remove(&mut self, id: LoopId) -> Option<Loop> {
        let known = self.known.remove(&id)?;
        self.timers.remove(&(known.until, id));
        Some(known)
    }

    /// One that has been idle for long.
    pub(super) fn idle(&self, now: BootTime) -> Option<LoopId> {
        self.timers.first().filter(|(at, _)| *at <= now).map(|&(_, id)| id)
    }

    pub(super) fn next_timer(&self) -> Option<BootTime> {
        self.timers.first().map(|&(at, _)| at)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.known.len(), self.timers.len());
        self.known.len()
    }
}
