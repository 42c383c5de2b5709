//! The index of incidents: finds one by socket, process, deadline or the time of its end. Owns these indexes and keeps them
//! in step and within bounds; [`super::incidents`] decides what happens to an incident.
//!
//! Example: incident 3 has the sockets 77 and 78 and the processes 200 (its shell) and 100 (its parent, which holds 77).
//! Both inode numbers lead to 3, both processes are tied to it, and one timer is set: the earlier of its next search for
//! holders and its next snapshot. When it ends, processes and timer go; the sockets lead to it for ten minutes more, so
//! that a new program on socket 77 begins the incident again instead of opening another one.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::model::{BootTime, ProcessId, Socket};

use super::{
    incident::{Incident, Role, Ties},
    snapshot::EndReason,
};

/// Most incidents open at a time.
pub(super) const OPEN_MAX: usize = 4096;
/// Most ended incidents remembered, in case their socket shows life again.
pub(super) const ENDED_MAX: usize = 256;
/// How long an ended incident is remembered, in nanoseconds.
pub(super) const ENDED_KEPT: u64 = 600 * 1_000_000_000;

/// What an incident is called inside the engine. Rises with every new one.
pub(super) type Key = u64;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// Open ones and those that ended a short while ago.
    incidents: HashMap<Key, Incident>,
    next_key: Key,
    open: usize,
    /// Socket inode number to the incident that it belongs to, or belonged to last.
    by_socket: HashMap<u64, Key>,
    by_process: BTreeSet<(ProcessId, Key)>,
    timers: BTreeSet<(BootTime, Key)>,
    /// Ended incidents, the oldest end first. An entry whose incident began again since is void.
    ended: VecDeque<(BootTime, Key)>,
}

impl Index {
    pub(super) fn get(&self, key: Key) -> Option<&Incident> {
        self.incidents.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Incident> {
        self.incidents.get_mut(&key)
    }

    /// How many incidents are open.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Every incident, the oldest first.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.incidents.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn insert(&mut self, incident: Incident) -> Key {
        let key = self.next_key;
        self.next_key += 1;
        self.incidents.insert(key, incident);
        self.open += 1;
        key
    }

    /// The incident that one of these sockets belongs to: an open one, else one that ended and can begin again.
    pub(super) fn of_sockets(&self, sockets: &[Socket]) -> Option<Key> {
        let known = |socket: &Socket| {
            let key = *self.by_socket.get(&socket.inode)?;
            Some((key, self.incidents.get(&key)?))
        };
        let open = |socket| known(socket).filter(|(_, incident)| incident.is_active());
        // A connection that is over is no beginning, and an inode number may be given again to another socket.
        let again = |socket: &Socket| {
            known(socket).filter(|(_, incident)| socket.has_peer() && incident.is_same_connection(socket))
        };
        sockets
            .iter()
            .find_map(open)
            .or_else(|| sockets.iter().find_map(again))
            .map(|(key, _)| key)
    }

    /// The incident that a socket belongs to, or belonged to last.
    pub(super) fn of_socket(&self, inode: u64) -> Option<Key> {
        self.by_socket.get(&inode).copied()
    }

    /// The newest open incident that a process is tied to.
    pub(super) fn of_process(&self, process: ProcessId) -> Option<Key> {
        self.by_process
            .range((process, Key::MIN)..=(process, Key::MAX))
            .rev()
            .map(|&(_, key)| key)
            .find(|key| self.incidents.get(key).is_some_and(Incident::is_active))
    }

    /// An incident that a process is tied to; the tie is cut.
    pub(super) fn untie(&mut self, process: ProcessId) -> Option<Key> {
        let pair = *self
            .by_process
            .range((process, Key::MIN)..=(process, Key::MAX))
            .next()?;
        self.by_process.remove(&pair);
        if let Some(incident) = self.incidents.get_mut(&pair.1) {
            incident.remove_process(process);
        }
        Some(pair.1)
    }

    /// Unties processes that their incident has removed already.
    pub(super) fn untie_processes(&mut self, key: Key, processes: impl IntoIterator<Item = ProcessId>) {
        for process in processes {
            self.by_process.remove(&(process, key));
        }
    }

    /// Removes the sockets that lead to this incident.
    fn invalidate_sockets(&mut self, key: Key) {
        let Some(incident) = self.incidents.get(&key) else {
            return;
        };
        for inode in incident.inodes() {
            if self.by_socket.get(&inode) == Some(&key) {
                self.by_socket.remove(&inode);
            }
        }
    }

    /// Ties sockets and processes to an incident.
    pub(super) fn tie(&mut self, key: Key, ties: &Ties) {
        for socket in &ties.sockets {
            if let Some(&owner) = self.by_socket.get(&socket.inode)
                && owner != key
            {
                // Of two open incidents that meet in one exec, each keeps its own socket. An ended one loses it, and
                // with it the way to begin again: no socket may lead to two.
                if self.incidents.get(&owner).is_some_and(Incident::is_active) {
                    continue;
                }
                self.invalidate_sockets(owner);
            }
            if self
                .incidents
                .get_mut(&key)
                .is_some_and(|incident| incident.add_socket(socket))
            {
                self.by_socket.insert(socket.inode, key);
            }
        }
        let Some(incident) = self.incidents.get_mut(&key) else {
            return;
        };
        let holder = ties.holder.map(|holder| (holder, Role::Holder));
        for (process, role) in [Some((ties.process, Role::Executed)), holder].into_iter().flatten() {
            if incident.add_process(process, role) {
                self.by_process.insert((process, key));
            }
        }
    }

    /// An ended incident is open again.
    pub(super) fn begin_again(&mut self, key: Key) {
        if let Some(incident) = self.incidents.get_mut(&key)
            && incident.ended.take().is_some()
        {
            self.open += 1;
        }
    }

    /// An open incident is over; it is remembered for a while.
    pub(super) fn end(&mut self, key: Key, now: BootTime, reason: EndReason) {
        let Some(incident) = self.incidents.get_mut(&key).filter(|incident| incident.is_active()) else {
            return;
        };
        incident.ended = Some((now, reason));
        let processes = incident.take_processes();
        self.untie_processes(key, processes);
        self.open -= 1;
        self.ended.push_back((now, key));
    }

    /// An incident that is to be evicted: it ended more than ten minutes ago, or more than 256 have ended since.
    pub(super) fn outdated(&mut self, now: BootTime) -> Option<Key> {
        while let Some(&(at, key)) = self.ended.front()
            && (self.ended.len() > ENDED_MAX || now.since(at) > ENDED_KEPT)
        {
            self.ended.pop_front();
            if self
                .incidents
                .get(&key)
                .is_some_and(|incident| incident.ended.is_some_and(|(ended, _)| ended == at))
            {
                return Some(key);
            }
        }
        None
    }

    /// The open incident that was still for longest, if there is no room for another one.
    pub(super) fn surplus(&self) -> Option<Key> {
        if self.open < OPEN_MAX {
            return None;
        }
        let open = self.incidents.iter().filter(|(_, incident)| incident.is_active());
        open.min_by_key(|(key, incident)| (incident.updated, **key))
            .map(|(&key, _)| key)
    }

    /// Removes an incident.
    pub(super) fn remove(&mut self, key: Key) -> Option<Incident> {
        self.invalidate_sockets(key);
        let mut incident = self.incidents.remove(&key)?;
        if let Some(deadline) = incident.deadline {
            self.timers.remove(&(deadline, key));
        }
        let processes = incident.take_processes();
        self.untie_processes(key, processes);
        self.open -= usize::from(incident.is_active());
        Some(incident)
    }

    /// The earliest deadline.
    pub(super) fn next_timer(&self) -> Option<(BootTime, Key)> {
        self.timers.first().copied()
    }

    /// Queues an incident for when its holders are to be searched for, or a snapshot is due.
    pub(super) fn set_timer(&mut self, key: Key) {
        let Some(incident) = self.incidents.get_mut(&key) else {
            return;
        };
        let search = incident.is_active().then_some(incident.search_at);
        let deadline = match (search, incident.pace.due()) {
            (Some(search), Some(due)) => Some(search.min(due)),
            (search, due) => search.or(due),
        };
        if deadline != incident.deadline {
            if let Some(old) = incident.deadline {
                self.timers.remove(&(old, key));
            }
            if let Some(new) = deadline {
                self.timers.insert((new, key));
            }
            incident.deadline = deadline;
        }
    }

    /// Panics where the indexes are out of step or beyond their bounds.
    #[cfg(test)]
    pub(super) fn check(&self) {
        use super::{
            commands::COMMANDS_MAX,
            incident::{PROCESSES_MAX, SOCKETS_MAX},
        };

        let open: Vec<Key> = self
            .keys()
            .into_iter()
            .filter(|key| self.incidents[key].is_active())
            .collect();
        assert_eq!(open.len(), self.open);
        assert!(self.open <= OPEN_MAX && self.ended.len() <= ENDED_MAX + 1);
        assert!(self.incidents.len() <= self.open + self.ended.len());
        let (mut ties, mut timers) = (0, 0);
        for (key, incident) in &self.incidents {
            assert!(incident.commands() <= COMMANDS_MAX && incident.processes() <= PROCESSES_MAX);
            let inodes: Vec<u64> = incident.inodes().collect();
            assert!((1..=SOCKETS_MAX).contains(&inodes.len()));
            if incident.is_active() {
                assert!(
                    inodes.iter().all(|inode| self.by_socket.get(inode) == Some(key)),
                    "a socket has two incidents"
                );
            }
            timers += usize::from(incident.deadline.is_some());
            assert!(
                incident
                    .deadline
                    .is_none_or(|deadline| self.timers.contains(&(deadline, *key)))
            );
            assert_eq!(
                incident.deadline.is_some(),
                incident.is_active() || incident.pace.due().is_some()
            );
            ties += incident.processes();
        }
        assert_eq!(ties, self.by_process.len());
        assert_eq!(timers, self.timers.len());
        assert!(self.by_socket.values().all(|key| self.incidents.contains_key(key)));
    }
}
