//! From evidence to incidents: which incident an exec belongs to, when one opens, rises and ends, and when it speaks.
//!
//! All books are bounded, and everything a watched process can repeat at will (execs, exits, ends and new beginnings on
//! one socket) leads to paced snapshots only.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::model::{BootTime, Exec, Exit, Observation, ProcessId, Socket, SocketClosed};

use super::{
    EndReason, Incident, Settings, World,
    pacing::INTERVAL_MIN,
    rule::{self, Verdict},
    services::Services,
    tracked::{COMMANDS_MAX, Judgement, Look, Role, Ties, Tracked},
};

/// Most incidents open at a time; beyond, the one that has been still for longest is let go.
pub(super) const OPEN_MAX: usize = 4096;
/// Most ended incidents remembered, in case their socket shows life again.
pub(super) const ENDED_MAX: usize = 256;
/// How long an ended incident is remembered, in nanoseconds.
pub(super) const ENDED_KEPT: u64 = 600 * 1_000_000_000;
/// How often the processes of an open incident are looked at, in nanoseconds: an end that was never reported must not
/// leave it open for good.
pub(super) const LOOK_EVERY: u64 = 30 * 1_000_000_000;
/// Commands kept of all incidents together, roughly; while more than 512 are open, each keeps fewer.
const COMMANDS_TOTAL: usize = 512 * COMMANDS_MAX;

type Key = u64;

/// Judges observations and keeps incidents. Feed it with [`Engine::observe`] in the order of time, and call
/// [`Engine::tick`] when [`Engine::next_deadline`] is reached.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    /// The latest time that was heard of: observations of different processors may overtake each other.
    now: BootTime,
    /// Open ones and those that ended a short while ago.
    incidents: HashMap<Key, Tracked>,
    next_key: Key,
    open: usize,
    evicted: u64,
    /// Socket inode number to the incident that it belongs to, or belonged to last.
    by_socket: HashMap<u64, Key>,
    by_process: BTreeSet<(ProcessId, Key)>,
    timers: BTreeSet<(BootTime, Key)>,
    /// Ended incidents, the oldest end first. An entry whose incident began again since is void.
    ended: VecDeque<(BootTime, Key)>,
    services: Services,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            now: BootTime::default(),
            incidents: HashMap::new(),
            next_key: 0,
            open: 0,
            evicted: 0,
            by_socket: HashMap::new(),
            by_process: BTreeSet::new(),
            timers: BTreeSet::new(),
            ended: VecDeque::new(),
            services: Services::default(),
        }
    }

    /// Takes an observation; returns the snapshots to give out now.
    pub fn observe(&mut self, observation: Observation, world: &dyn World) -> Vec<Incident> {
        let mut out = Vec::new();
        match observation {
            Observation::Exec(exec) => {
                self.advance(exec.time, &mut out);
                self.exec(*exec, &mut out);
            }
            Observation::Exit(Exit {
                time,
                process,
                status: _,
            }) => {
                self.advance(time, &mut out);
                self.exit(process, world, &mut out);
            }
            Observation::SocketClosed(SocketClosed { time, inode }) => {
                self.advance(time, &mut out);
                self.socket_closed(inode, &mut out);
            }
        }
        out
    }

    /// Does what is due at `now`: paced snapshots, and a look at the processes of open incidents.
    pub fn tick(&mut self, now: BootTime, world: &dyn World) -> Vec<Incident> {
        let mut out = Vec::new();
        self.advance(now, &mut out);
        while let Some(&(at, key)) = self.timers.first()
            && at <= self.now
        {
            let Some(incident) = self.incidents.get(&key) else {
                self.timers.pop_first();
                continue;
            };
            if incident.is_active() && incident.look_at <= self.now {
                self.look(key, EndReason::NoHolderFound, world, &mut out);
            }
            if self
                .incidents
                .get(&key)
                .and_then(|incident| incident.pace.due())
                .is_some_and(|due| due <= self.now)
            {
                self.speak(key, &mut out);
            }
            self.set_timer(key);
        }
        out
    }

    /// When to call [`Engine::tick`] at the latest. `None` while nothing is open and nothing is left to say.
    #[must_use]
    pub fn next_deadline(&self) -> Option<BootTime> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// The sensor stops: the last snapshot of every incident that was spoken of and is open, or has something left to
    /// say.
    pub fn finish(&mut self, now: BootTime) -> Vec<Incident> {
        let mut out = Vec::new();
        self.advance(now, &mut out);
        let mut keys: Vec<Key> = self.incidents.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            if let Some(incident) = self.incidents.get_mut(&key)
                && incident.pace.has_spoken()
                && (incident.is_active() || incident.pace.due().is_some())
            {
                let monitoring_ended = incident.is_active();
                out.push(incident.snapshot(monitoring_ended));
                incident.pace.spoke(self.now);
            }
        }
        out
    }

    /// How many incidents are open, those below the minimum severity included.
    #[must_use]
    pub fn open_incidents(&self) -> usize {
        self.open
    }

    /// How many open incidents were let go because there were too many.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn advance(&mut self, time: BootTime, out: &mut Vec<Incident>) {
        self.now = self.now.max(time);
        while let Some(&(at, key)) = self.ended.front()
            && (self.ended.len() > ENDED_MAX || self.now.since(at) > ENDED_KEPT)
        {
            self.ended.pop_front();
            let still_ended = |incident: &Tracked| incident.ended.is_some_and(|(ended, _)| ended == at);
            if self.incidents.get(&key).is_some_and(still_ended) {
                self.forget(key, out);
            }
        }
    }

    fn exec(&mut self, exec: Exec, out: &mut Vec<Incident>) {
        let ties = Ties::of(&exec);
        if let Some(key) = self.incident_of(&ties.sockets) {
            return self.join(key, exec, &ties, out);
        }
        let judgement = match rule::judge(&exec, |socket| self.services.serve(&exec, socket)) {
            Verdict::Takeover(takeover) => {
                let inode = takeover.primary.inode;
                Some((Judgement::from(&takeover), inode))
            }
            Verdict::Service => {
                self.services.insert(&exec);
                return;
            }
            Verdict::Nothing => None,
        };
        self.services.remove(exec.process);
        if let Some((judgement, primary)) = judgement {
            self.open(exec, judgement, primary, &ties, out);
        }
    }

    /// The incident that a socket of an exec belongs to: an open one, else one that ended and begins again.
    fn incident_of(&self, sockets: &[Socket]) -> Option<Key> {
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

    fn open(&mut self, exec: Exec, judgement: Judgement, primary: u64, ties: &Ties, out: &mut Vec<Incident>) {
        self.make_room(out);
        let key = self.next_key;
        self.next_key += 1;
        let look_at = BootTime(self.now.0.saturating_add(LOOK_EVERY));
        let mut incident = Tracked::new(exec, judgement, look_at);
        // The primary socket comes first: the finding's id is derived from it.
        if let Some(socket) = ties.sockets.iter().find(|socket| socket.inode == primary) {
            incident.add_socket(socket);
        }
        self.incidents.insert(key, incident);
        self.open += 1;
        self.tie(key, ties);
        self.say_if_severe(key, true, out);
    }

    fn join(&mut self, key: Key, exec: Exec, ties: &Ties, out: &mut Vec<Incident>) {
        let again = self.incidents.get(&key).is_some_and(|incident| !incident.is_active());
        if again {
            self.make_room(out);
        }
        let keep = (COMMANDS_TOTAL / self.open.max(1)).clamp(4, COMMANDS_MAX);
        let Some(incident) = self.incidents.get_mut(&key) else {
            return;
        };
        if again {
            incident.ended = None;
            incident.look_at = BootTime(self.now.0.saturating_add(LOOK_EVERY));
            self.open += 1;
        }
        let judgement = if incident.is_strongest() {
            None
        } else {
            match rule::judge(&exec, |_| false) {
                Verdict::Takeover(takeover) => Some(Judgement::from(&takeover)),
                Verdict::Service | Verdict::Nothing => None,
            }
        };
        let rose = incident.absorb(exec, judgement, keep);
        let at_once = rose || (again && incident.pace.rested(self.now));
        self.services.remove(ties.process);
        self.tie(key, ties);
        self.say_if_severe(key, at_once, out);
    }

    /// Notes which sockets and processes belong to an incident.
    fn tie(&mut self, key: Key, ties: &Ties) {
        for socket in &ties.sockets {
            let owner = self
                .by_socket
                .get(&socket.inode)
                .and_then(|owner| Some((*owner, self.incidents.get(owner)?)));
            // Of two open incidents that meet in one exec, each keeps its own socket.
            if owner.is_some_and(|(owner, incident)| owner != key && incident.is_active()) {
                continue;
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

    fn exit(&mut self, process: ProcessId, world: &dyn World, out: &mut Vec<Incident>) {
        self.services.remove(process);
        while let Some(&(found, key)) = self.by_process.range((process, Key::MIN)..=(process, Key::MAX)).next() {
            self.by_process.remove(&(found, key));
            let Some(incident) = self.incidents.get_mut(&key) else {
                continue;
            };
            incident.remove_process(process);
            if !incident.is_active() || incident.executed() > 0 {
                continue;
            }
            if incident.processes() == 0 {
                self.end(key, EndReason::ProcessesEnded, out);
                continue;
            }
            // The parent may hold the socket on, as a loop that runs one command after the other does; or it is about
            // to let go of it, having waited for its child. One look now and one soon, but not one for each command.
            match incident.looked {
                Some(looked) if self.now.since(looked) < INTERVAL_MIN => {
                    incident.look_at = incident.look_at.min(BootTime(looked.0.saturating_add(INTERVAL_MIN)));
                }
                _ => {
                    self.look(key, EndReason::ProcessesEnded, world, out);
                    if let Some(incident) = self.incidents.get_mut(&key) {
                        incident.look_at = incident.look_at.min(BootTime(self.now.0.saturating_add(INTERVAL_MIN)));
                    }
                }
            }
            self.set_timer(key);
        }
    }

    fn socket_closed(&mut self, inode: u64, out: &mut Vec<Incident>) {
        let Some(&key) = self.by_socket.get(&inode) else {
            return;
        };
        let Some(incident) = self.incidents.get_mut(&key) else {
            return;
        };
        if !incident.close_socket(inode) && incident.is_active() {
            self.end(key, EndReason::SocketsClosed, out);
        }
    }

    /// Asks whether somebody still has a socket of the incident open, and ends it if not.
    fn look(&mut self, key: Key, reason: EndReason, world: &dyn World, out: &mut Vec<Incident>) {
        let Some(incident) = self.incidents.get_mut(&key) else {
            return;
        };
        let reason = if incident.executed() == 0 {
            EndReason::ProcessesEnded
        } else {
            reason
        };
        let mut gone = Vec::new();
        let look = incident.look(world, &mut gone);
        let wait = if look == Look::Unfinished {
            INTERVAL_MIN
        } else {
            LOOK_EVERY
        };
        incident.looked = Some(self.now);
        incident.look_at = BootTime(self.now.0.saturating_add(wait));
        for process in gone {
            self.by_process.remove(&(process, key));
        }
        if look == Look::Free {
            self.end(key, reason, out);
        }
    }

    fn end(&mut self, key: Key, reason: EndReason, out: &mut Vec<Incident>) {
        let Some(incident) = self.incidents.get_mut(&key) else {
            return;
        };
        incident.ended = Some((self.now, reason));
        for process in incident.take_processes() {
            self.by_process.remove(&(process, key));
        }
        self.open -= 1;
        self.ended.push_back((self.now, key));
        // A program can end and begin again as often as it likes; only the first end is told at once in any case.
        let at_once = !incident.ended_before || incident.pace.rested(self.now);
        incident.ended_before = true;
        if incident.pace.has_spoken() {
            self.say(key, at_once, out);
        } else {
            self.set_timer(key);
        }
    }

    fn say_if_severe(&mut self, key: Key, at_once: bool, out: &mut Vec<Incident>) {
        match self.incidents.get(&key) {
            Some(incident) if incident.severity() >= self.settings.min_severity => {
                let first = !incident.pace.has_spoken();
                self.say(key, at_once || first, out);
            }
            _ => self.set_timer(key),
        }
    }

    /// Gives a snapshot at once, or when the incident's pace allows it.
    fn say(&mut self, key: Key, at_once: bool, out: &mut Vec<Incident>) {
        if at_once {
            self.speak(key, out);
        } else if let Some(incident) = self.incidents.get_mut(&key) {
            incident.pace.changed(self.now);
        }
        self.set_timer(key);
    }

    fn speak(&mut self, key: Key, out: &mut Vec<Incident>) {
        if let Some(incident) = self.incidents.get_mut(&key) {
            out.push(incident.snapshot(false));
            incident.pace.spoke(self.now);
        }
    }

    fn set_timer(&mut self, key: Key) {
        let Some(incident) = self.incidents.get_mut(&key) else {
            return;
        };
        let look = incident.is_active().then_some(incident.look_at);
        let deadline = match (look, incident.pace.due()) {
            (Some(look), Some(due)) => Some(look.min(due)),
            (look, due) => look.or(due),
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

    /// Lets go of the incident that has been still for longest while there are too many.
    fn make_room(&mut self, out: &mut Vec<Incident>) {
        while self.open >= OPEN_MAX {
            let open = self.incidents.iter().filter(|(_, incident)| incident.is_active());
            let Some(key) = open
                .min_by_key(|(key, incident)| (incident.updated, **key))
                .map(|(&key, _)| key)
            else {
                return;
            };
            self.evicted += 1;
            self.forget(key, out);
        }
    }

    /// Drops an incident; what it has left to say is said.
    fn forget(&mut self, key: Key, out: &mut Vec<Incident>) {
        let Some(mut incident) = self.incidents.remove(&key) else {
            return;
        };
        let active = incident.is_active();
        if incident.pace.has_spoken() && (active || incident.pace.due().is_some()) {
            out.push(incident.snapshot(active));
        }
        if let Some(deadline) = incident.deadline {
            self.timers.remove(&(deadline, key));
        }
        for inode in incident.inodes() {
            if self.by_socket.get(&inode) == Some(&key) {
                self.by_socket.remove(&inode);
            }
        }
        for process in incident.take_processes() {
            self.by_process.remove(&(process, key));
        }
        self.open -= usize::from(active);
    }
}
