//! The table of suspects: shells that read commands from a pipe or terminal, while it is not known that a connection is at
//! the other end. Owns when each is looked at next. Bounded; evicts the oldest.

use std::collections::{BTreeSet, HashMap};

use crate::model::{BootTime, Exec, Flow, ProcessId};

use super::{index::Key, relay::Relay};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
/// When to look again after a shell has started. Most relays are started together with the shell; one that connects later is
/// reported when it does.
const LOOKS: [u64; 5] = [5 * MILLISECOND, 30 * MILLISECOND, 200 * MILLISECOND, SECOND, 5 * SECOND];
/// Wait between looks at a suspect that needs proof, after those of [`LOOKS`].
const PROOF_EVERY: u64 = 30 * SECOND;
/// Most such looks.
const PROOFS_MAX: usize = 20;
/// Most suspects remembered.
pub(super) const SUSPECTS_MAX: usize = 1024;

/// What a suspect needs proof of.
#[derive(Debug)]
pub(super) struct PendingProof {
    pub(super) relay: Relay,
    /// The flow that is watched for it.
    pub(super) flow: Option<Flow>,
}

/// A suspect.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) exec: Exec,
    /// Looks that were taken.
    looks: usize,
    due: Option<BootTime>,
    /// A way was found that needs proof.
    pub(super) pending: Option<PendingProof>,
    /// The source does not report who connects, so that only the clock leads to another look.
    pub(super) connects_denied: bool,
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
    /// Adds a suspect. Returns the one that was evicted or replaced.
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
                pending: None,
                connects_denied: false,
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

    /// Suspects without a known way, the newest first.
    pub(super) fn seeking(&self) -> Vec<ProcessId> {
        let processes = self.order.iter().rev().map(|&(_, process)| process);
        processes
            .filter(|process| self.known.get(process).is_some_and(|suspect| suspect.pending.is_none()))
            .collect()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Suspect> {
        self.known.values_mut()
    }

    /// Sets the time of the next look, unless it is set. Returns false after the last look.
    pub(super) fn schedule(&mut self, process: ProcessId, now: BootTime) -> bool {
        let Some(suspect) = self.known.get_mut(&process) else {
            return false;
        };
        if suspect.due.is_some() {
            return true;
        }
        let needs_clock = suspect.pending.is_some() || suspect.connects_denied;
        let wait = match LOOKS.get(suspect.looks) {
            Some(after) => suspect.exec.time.0.saturating_add(*after).saturating_sub(now.0),
            None if needs_clock && suspect.looks < LOOKS.len() + PROOFS_MAX => PROOF_EVERY,
            None => return false,
        };
        suspect.looks += 1;
        self.set_timer(process, now.after(wait.max(MILLISECOND)));
        true
    }

    /// Has a look taken at `due` besides those that are scheduled, unless one comes sooner.
    pub(super) fn look_besides(&mut self, process: ProcessId, due: BootTime) {
        let Some(suspect) = self.known.get_mut(&process) else {
            return;
        };
        match suspect.due {
            Some(scheduled) if scheduled <= due => return,
            // The scheduled look comes after this one.
            Some(_) => suspect.looks -= 1,
            None => {}
        }
        self.set_timer(process, due);
    }

    fn set_timer(&mut self, process: ProcessId, due: BootTime) {
        if let Some(suspect) = self.known.get_mut(&process) {
            if let Some(before) = suspect.due.replace(due) {
                self.timers.remove(&(before, process));
            }
            self.timers.insert((due, process));
        }
    }

    /// Takes a suspect whose next look is due.
    pub(super) fn take_due(&mut self, now: BootTime) -> Option<ProcessId> {
        let &(at, process) = self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        if let Some(suspect) = self.known.get_mut(&process) {
            suspect.due = None;
        }
        Some(process)
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
