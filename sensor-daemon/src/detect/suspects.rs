//! Shells that read commands from a pipe or terminal, while it is not known that a socket is at the other end: nobody has
//! connected yet, or a general program holds both and what it receives has to tell. Bounded; forgets the oldest.

use std::collections::{BTreeSet, HashMap};

use crate::model::{BootTime, Exec, Flow, ProcessId};

use super::{index::Key, relay::Relay};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
/// When to look again after a shell has started. A relay is started in the same breath as a rule; one that connects later
/// is reported when it does.
const LOOKS: [u64; 5] = [5 * MILLISECOND, 30 * MILLISECOND, 200 * MILLISECOND, SECOND, 5 * SECOND];
/// How often what a general program received is looked at, and how many times.
const PROOF_EVERY: u64 = 30 * SECOND;
const PROOFS_MAX: usize = 20;
/// Most suspects remembered.
pub(super) const SUSPECTS_MAX: usize = 1024;

/// One of them.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) exec: Exec,
    /// Looks that were taken.
    looks: usize,
    due: Option<BootTime>,
    /// A way that needs proof, and the flow that is watched for it.
    pub(super) unproven: Option<(Relay, Option<Flow>)>,
    /// It counts as a command of this incident already.
    pub(super) joined: Option<Key>,
    /// Since when deliveries count.
    pub(super) since: BootTime,
}

#[derive(Debug, Default)]
pub(super) struct Suspects {
    known: HashMap<ProcessId, Suspect>,
    timers: BTreeSet<(BootTime, ProcessId)>,
    /// By age.
    order: BTreeSet<(BootTime, ProcessId)>,
}

impl Suspects {
    /// Takes a new one; what had to go for it.
    pub(super) fn insert(&mut self, exec: Exec, joined: Option<Key>) -> Option<Suspect> {
        let (process, time) = (exec.process, exec.time);
        let mut gone = self.remove(process);
        if self.known.len() >= SUSPECTS_MAX
            && let Some(&(_, oldest)) = self.order.first()
        {
            gone = self.remove(oldest);
        }
        self.known.insert(
            process,
            Suspect {
                exec,
                looks: 0,
                due: None,
                unproven: None,
                joined,
                since: time,
            },
        );
        self.order.insert((time, process));
        gone
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn get(&self, process: ProcessId) -> Option<&Suspect> {
        self.known.get(&process)
    }

    pub(super) fn get_mut(&mut self, process: ProcessId) -> Option<&mut Suspect> {
        self.known.get_mut(&process)
    }

    pub(super) fn remove(&mut self, process: ProcessId) -> Option<Suspect> {
        let suspect = self.known.remove(&process)?;
        self.order.remove(&(suspect.exec.time, process));
        if let Some(due) = suspect.due {
            self.timers.remove(&(due, process));
        }
        Some(suspect)
    }

    /// Everybody without a known way, the newest first.
    pub(super) fn open(&self) -> Vec<ProcessId> {
        let unproven = |process: &ProcessId| {
            self.known
                .get(process)
                .is_some_and(|suspect| suspect.unproven.is_some())
        };
        let processes = self.order.iter().rev().map(|&(_, process)| process);
        processes.filter(|process| !unproven(process)).collect()
    }

    /// Sets the time of the next look, unless one is set; there is none after the last, and then the answer is no.
    pub(super) fn schedule(&mut self, process: ProcessId, now: BootTime) -> bool {
        let Some(suspect) = self.known.get_mut(&process) else {
            return false;
        };
        if suspect.due.is_some() {
            return true;
        }
        let wait = match LOOKS.get(suspect.looks) {
            Some(after) => suspect.exec.time.0.saturating_add(*after).saturating_sub(now.0),
            None if suspect.unproven.is_some() && suspect.looks < LOOKS.len() + PROOFS_MAX => PROOF_EVERY,
            None => return false,
        };
        suspect.looks += 1;
        let due = BootTime(now.0.saturating_add(wait.max(MILLISECOND)));
        suspect.due = Some(due);
        self.timers.insert((due, process));
        true
    }

    /// Has a look taken at `due` besides those that are scheduled, unless one comes sooner.
    pub(super) fn look_besides(&mut self, process: ProcessId, due: BootTime) {
        let Some(suspect) = self.known.get_mut(&process) else {
            return;
        };
        match suspect.due {
            Some(scheduled) if scheduled <= due => return,
            Some(scheduled) => {
                self.timers.remove(&(scheduled, process));
                suspect.looks -= 1;
            }
            None => {}
        }
        suspect.due = Some(due);
        self.timers.insert((due, process));
    }

    /// There is no next look, unless another one is scheduled.
    pub(super) fn unschedule(&mut self, process: ProcessId) {
        if let Some(suspect) = self.known.get_mut(&process)
            && let Some(due) = suspect.due.take()
        {
            self.timers.remove(&(due, process));
        }
    }

    /// One whose next look is due.
    pub(super) fn due(&self, now: BootTime) -> Option<ProcessId> {
        self.timers
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|&(_, process)| process)
    }

    pub(super) fn next_timer(&self) -> Option<BootTime> {
        self.timers.first().map(|&(at, _)| at)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.known.len(), self.order.len());
        assert!(self.timers.len() <= self.known.len());
        self.known.len()
    }
}
