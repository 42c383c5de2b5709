//! The life of incidents: opened by evidence, raised by stronger evidence, ended with their sockets or processes; and when
//! each emits a snapshot.
//!
//! Owns the index of incidents, the requests to the source, and the snapshots that wait to be handed out. What is
//! evidence of what is decided elsewhere (`rule`, `relay`, `command_loops`).
//!
//! A watched process can repeat execs, exits, ends and new beginnings on one socket at will. All of these lead to paced
//! snapshots only. Example: a shell runs 10,000 commands in a minute. Its opening is emitted at once; the commands are
//! emitted after 1, 2, 4, 8, … seconds, six snapshots in that minute, each with the first and the newest commands and the
//! count of all.

use crate::model::{BootTime, Direction, Exec, Hop, ProcessId, Socket, Text};

use super::{
    commands::{COMMANDS_MAX, COMMANDS_MIN},
    exceptions::{Exceptions, Subject},
    incident::{HolderSearch, Incident, Ties},
    index::{Index, Key},
    inspector::Inspector,
    judgement::Judgement,
    pacing::INTERVAL_MIN,
    relay::{Relay, Worth},
    requests::{Request, Requests},
    snapshot::{EndReason, Severity, Snapshot},
};

/// How often the holders of an open incident's sockets are searched for, in nanoseconds: an end that was never reported
/// must not leave the incident open for good.
const HOLDER_SEARCH_EVERY: u64 = 30 * 1_000_000_000;
/// Commands kept of all incidents together, roughly; while more than 512 are open, each keeps fewer.
const COMMANDS_TOTAL: usize = 512 * COMMANDS_MAX;

/// What the engine can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Incidents below this severity emit nothing. They are followed in case they rise.
    pub min_severity: Severity,
    /// Takeovers that are meant to be.
    pub exceptions: Exceptions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_severity: Severity::Medium,
            exceptions: Exceptions::default(),
        }
    }
}

/// When a change is emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Now,
    /// When the incident's pace allows it.
    Paced,
}

/// All incidents.
#[derive(Debug)]
pub(super) struct Incidents {
    settings: Settings,
    /// The latest time that was heard of: observations of different processors may overtake each other.
    now: BootTime,
    index: Index,
    pub(super) requests: Requests,
    snapshots: Vec<Snapshot>,
    evicted: u64,
}

impl Incidents {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            now: BootTime::default(),
            index: Index::default(),
            requests: Requests::default(),
            snapshots: Vec::new(),
            evicted: 0,
        }
    }

    /// Takes note that it is `time`, and evicts incidents that ended long ago.
    pub(super) fn advance(&mut self, time: BootTime) {
        self.now = self.now.max(time);
        while let Some(key) = self.index.outdated(self.now) {
            self.evict(key);
        }
    }

    pub(super) fn now(&self) -> BootTime {
        self.now
    }

    /// The snapshots to hand out now.
    pub(super) fn take_snapshots(&mut self) -> Vec<Snapshot> {
        std::mem::take(&mut self.snapshots)
    }

    /// Whether evidence of this severity is reported.
    pub(super) fn reports(&self, severity: Severity) -> bool {
        severity >= self.settings.min_severity
    }

    pub(super) fn of_process(&self, process: ProcessId) -> Option<Key> {
        self.index.of_process(process)
    }

    pub(super) fn of_sockets(&self, sockets: &[Socket]) -> Option<Key> {
        self.index.of_sockets(sockets)
    }

    /// The severity of an incident, if it is still known.
    pub(super) fn severity(&self, key: Key) -> Option<Severity> {
        self.index.get(key).map(Incident::severity)
    }

    pub(super) fn open_count(&self) -> usize {
        self.index.open()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Whether an exception holds for this takeover. `relays` carry the stream that it is judged by.
    pub(super) fn is_excepted(&self, exec: &Exec, relays: &[Hop], sockets: &[Socket], direction: Direction) -> bool {
        // A path that only the process itself sees there says nothing.
        let trusted = relays.iter().filter(|hop| hop.host_path);
        let relays: Vec<Text> = trusted.filter_map(|hop| hop.path.clone()).collect();
        let subject = Subject {
            exec,
            relays: &relays,
            sockets,
            direction,
            container: exec.container.as_ref(),
        };
        self.settings.exceptions.matching(&subject).is_some()
    }

    /// Opens an incident. The finding's id is derived from its primary socket.
    pub(super) fn open(&mut self, exec: Exec, judgement: Judgement, primary: &Socket, ties: &Ties) -> Key {
        self.make_room();
        let mut incident = Incident::new(exec, judgement, self.now.after(HOLDER_SEARCH_EVERY));
        incident.add_socket(primary);
        let key = self.index.insert(incident);
        self.index.tie(key, ties);
        self.emit_if_severe(key, When::Now);
        key
    }

    /// Opens an incident of a shell whose streams others carry. Its session is followed if it is reported.
    pub(super) fn open_relayed(&mut self, exec: Exec, worth: Worth, relay: Relay) -> Key {
        let ties = Ties::of_relay(exec.process, &relay);
        self.requests.push(if self.reports(worth.severity) {
            Request::Follow(exec.process)
        } else {
            Request::Unfollow(exec.process)
        });
        let primary = relay.input.socket.clone();
        self.open(exec, Judgement::of_relay(worth, relay), &primary, &ties)
    }

    /// Adds an exec to an incident that is known by the exec's parent.
    pub(super) fn join(&mut self, key: Key, exec: Exec, judgement: Option<Judgement>) {
        let ties = Ties::of_process(exec.process);
        self.join_tied(key, exec, judgement, &ties);
    }

    /// Adds an exec to an incident, which may have ended: then the incident begins again.
    pub(super) fn join_tied(&mut self, key: Key, exec: Exec, judgement: Option<Judgement>, ties: &Ties) {
        let again = self.index.get(key).is_some_and(|incident| !incident.is_active());
        if again {
            self.make_room();
            self.index.begin_again(key);
        }
        let keep = (COMMANDS_TOTAL / self.index.open().max(1)).clamp(COMMANDS_MIN, COMMANDS_MAX);
        let Some(incident) = self.index.get_mut(key) else {
            return;
        };
        if again {
            incident.search_at = self.now.after(HOLDER_SEARCH_EVERY);
        }
        let rose = incident.absorb(exec, judgement, keep);
        let now = rose || (again && incident.pace.rested(self.now));
        self.index.tie(key, ties);
        self.emit_if_severe(key, if now { When::Now } else { When::Paced });
    }

    /// Ties further sockets and processes to an incident.
    pub(super) fn tie(&mut self, key: Key, ties: &Ties) {
        self.index.tie(key, ties);
    }

    /// A command of the incident turns out to be its shell.
    pub(super) fn promote(&mut self, key: Key, exec: Exec, judgement: Judgement) {
        let incident = self.index.get_mut(key);
        if incident.is_some_and(|incident| incident.promote(exec, judgement)) {
            self.emit_if_severe(key, When::Now);
        }
    }

    /// There is further proof for the shell of an incident.
    pub(super) fn raise(&mut self, key: Key, severity: Severity, proof: &'static str) {
        let incident = self.index.get_mut(key);
        if incident.is_some_and(|incident| incident.raise(severity, proof)) {
            self.emit_if_severe(key, When::Now);
        }
    }

    /// A process ended. Its incidents end with the last of their processes.
    pub(super) fn exit(&mut self, process: ProcessId, inspector: &dyn Inspector) {
        while let Some(key) = self.index.untie(process) {
            let Some(incident) = self.index.get_mut(key) else {
                continue;
            };
            if !incident.is_active() || incident.executed() > 0 {
                continue;
            }
            if incident.processes() == 0 {
                self.end(key, EndReason::ProcessesEnded);
                continue;
            }
            // The parent may hold the socket on, as a loop that runs one command after the other does; or it is about
            // to let go of it, having waited for its child. It is asked now and soon, but not for each command.
            let searched = incident
                .searched
                .filter(|&searched| self.now.since(searched) < INTERVAL_MIN);
            if searched.is_none() {
                self.search_holders(key, inspector);
            }
            if let Some(incident) = self.index.get_mut(key) {
                let soon = searched.unwrap_or(self.now).after(INTERVAL_MIN);
                incident.search_at = incident.search_at.min(soon);
            }
            self.index.set_timer(key);
        }
    }

    /// A socket closed. Its incident ends with the last of its sockets.
    pub(super) fn socket_closed(&mut self, inode: u64) {
        let Some(key) = self.index.of_socket(inode) else {
            return;
        };
        let Some(incident) = self.index.get_mut(key) else {
            return;
        };
        if !incident.close_socket(inode) && incident.is_active() {
            self.end(key, EndReason::SocketsClosed);
        }
    }

    /// An end may have gone unreported: searches the holders of every open incident.
    pub(super) fn search_all(&mut self, inspector: &dyn Inspector) {
        for key in self.index.keys() {
            if self.index.get(key).is_some_and(Incident::is_active) {
                self.search_holders(key, inspector);
                self.index.set_timer(key);
            }
        }
    }

    /// Does what is due: paced snapshots, and the search for holders.
    pub(super) fn tick(&mut self, inspector: &dyn Inspector) {
        while let Some((at, key)) = self.index.next_timer()
            && at <= self.now
        {
            let search = |incident: &Incident| incident.is_active() && incident.search_at <= self.now;
            if self.index.get(key).is_some_and(search) {
                self.search_holders(key, inspector);
            }
            let due = self.index.get(key).and_then(|incident| incident.pace.due());
            if due.is_some_and(|due| due <= self.now) {
                self.emit_now(key);
            }
            self.index.set_timer(key);
        }
    }

    /// When [`Incidents::tick`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<BootTime> {
        self.index.next_timer().map(|(at, _)| at)
    }

    /// The sensor stops: emits the final snapshot of each incident that owes one.
    pub(super) fn finish(&mut self) {
        for key in self.index.keys() {
            if let Some(incident) = self.index.get_mut(key)
                && let Some(snapshot) = incident.final_snapshot()
            {
                incident.pace.emitted(self.now);
                self.snapshots.push(snapshot);
            }
            self.index.set_timer(key);
        }
    }

    /// Asks whether a process still has a socket of the incident open, and ends the incident if none has.
    fn search_holders(&mut self, key: Key, inspector: &dyn Inspector) {
        let Some(incident) = self.index.get_mut(key) else {
            return;
        };
        let reason = if incident.executed() == 0 {
            EndReason::ProcessesEnded
        } else {
            EndReason::NoHolderFound
        };
        let mut gone = Vec::new();
        let found = incident.search_holders(inspector, &mut gone);
        let wait = if found == HolderSearch::Unfinished {
            INTERVAL_MIN
        } else {
            HOLDER_SEARCH_EVERY
        };
        incident.searched = Some(self.now);
        incident.search_at = self.now.after(wait);
        self.index.untie_processes(key, gone);
        if found == HolderSearch::NoHolder {
            self.end(key, reason);
        }
    }

    fn end(&mut self, key: Key, reason: EndReason) {
        self.index.end(key, self.now, reason);
        let Some(incident) = self.index.get_mut(key) else {
            return;
        };
        // A program can end and begin again as often as it likes; only the first end is emitted at once in any case.
        let now = !incident.ended_before || incident.pace.rested(self.now);
        incident.ended_before = true;
        if incident.pace.has_emitted() {
            self.emit(key, if now { When::Now } else { When::Paced });
        } else {
            self.index.set_timer(key);
        }
    }

    /// Emits a change if the incident is reported. Its first snapshot is emitted at once.
    fn emit_if_severe(&mut self, key: Key, when: When) {
        match self.index.get(key) {
            Some(incident) if self.reports(incident.severity()) => {
                let first = !incident.pace.has_emitted();
                self.emit(key, if first { When::Now } else { when });
            }
            _ => self.index.set_timer(key),
        }
    }

    fn emit(&mut self, key: Key, when: When) {
        if when == When::Now {
            self.emit_now(key);
        } else if let Some(incident) = self.index.get_mut(key) {
            incident.pace.changed(self.now);
        }
        self.index.set_timer(key);
    }

    fn emit_now(&mut self, key: Key) {
        if let Some(incident) = self.index.get_mut(key) {
            self.snapshots.push(incident.snapshot());
            incident.pace.emitted(self.now);
            if !incident.is_active() {
                incident.shrink();
            }
        }
    }

    /// Evicts the incident that was still for longest while there are too many.
    fn make_room(&mut self) {
        while let Some(key) = self.index.surplus() {
            self.evicted += 1;
            self.evict(key);
        }
    }

    /// Drops an incident and emits the final snapshot that it owes.
    fn evict(&mut self, key: Key) {
        if let Some(mut incident) = self.index.remove(key) {
            self.snapshots.extend(incident.final_snapshot());
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        self.index.check();
        assert!(self.requests.flows() <= super::requests::FLOWS_MAX);
    }
}
