//! From evidence to incidents: which one an exec belongs to, when one opens, rises and ends, and when it speaks.
//!
//! Everything that a watched process can repeat at will (execs, exits, ends and new beginnings on one socket) leads to
//! paced snapshots only.

use crate::model::{BootTime, Direction, Exec, Exit, Hop, Observation, ProcessId, Socket, SocketClosed, Text};

use super::{
    EndReason, Inspector, Request, Settings, Severity, Snapshot,
    commands::{COMMANDS_MAX, COMMANDS_MIN},
    exceptions::Subject,
    flows::Flows,
    incident::{Incident, Look, Ties},
    index::{Index, Key},
    judgement::Judgement,
    loops::Loops,
    pacing::INTERVAL_MIN,
    piped,
    rule::{self, Verdict},
    services::Services,
    suspects::Suspects,
};

/// How often the processes of an open incident are looked at, in nanoseconds: an end that was never reported must not
/// leave it open for good.
pub(super) const LOOK_EVERY: u64 = 30 * 1_000_000_000;
/// Commands kept of all incidents together, roughly; while more than 512 are open, each keeps fewer.
const COMMANDS_TOTAL: usize = 512 * COMMANDS_MAX;

/// Judges observations and keeps incidents. Feed it with [`Engine::observe`] in the order of time, and call
/// [`Engine::tick`] when [`Engine::next_deadline`] is reached.
#[derive(Debug)]
pub struct Engine {
    pub(super) settings: Settings,
    /// The latest time that was heard of: observations of different processors may overtake each other.
    pub(super) now: BootTime,
    pub(super) index: Index,
    services: Services,
    pub(super) suspects: Suspects,
    pub(super) loops: Loops,
    pub(super) flows: Flows,
    pub(super) requests: Vec<Request>,
    evicted: u64,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            now: BootTime::default(),
            index: Index::default(),
            services: Services::default(),
            suspects: Suspects::default(),
            loops: Loops::default(),
            flows: Flows::default(),
            requests: Vec::new(),
            evicted: 0,
        }
    }

    /// Takes an observation; returns the snapshots to give out now.
    pub fn observe(&mut self, observation: Observation, world: &dyn Inspector) -> Vec<Snapshot> {
        let mut out = Vec::new();
        match observation {
            Observation::Exec(exec) => {
                self.advance(exec.time, &mut out);
                if piped::is_piped(&exec) {
                    self.piped(*exec, world, &mut out);
                } else {
                    self.drop_suspect(exec.process);
                    self.exec(*exec, world, &mut out);
                }
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
            Observation::Connect(connect) => {
                self.advance(connect.time, &mut out);
                self.connect(world, &mut out);
            }
            Observation::Moved(moved) => self.advance(moved.time, &mut out),
            Observation::Rescan(time) => {
                self.advance(time, &mut out);
                self.look_at_suspects(world, &mut out);
            }
            Observation::RunsMissed(time) => {
                self.advance(time, &mut out);
                for key in self.index.keys() {
                    if self.index.get(key).is_some_and(Incident::is_active) {
                        self.look(key, world, &mut out);
                        self.index.set_timer(key);
                    }
                }
            }
        }
        out
    }

    /// What the source of the observations should do from now on; each is said once.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    /// Does what is due at `now`: paced snapshots, and a look at the processes of open incidents.
    pub fn tick(&mut self, now: BootTime, world: &dyn Inspector) -> Vec<Snapshot> {
        let mut out = Vec::new();
        self.advance(now, &mut out);
        self.tick_piped(world, &mut out);
        while let Some((at, key)) = self.index.next_timer()
            && at <= self.now
        {
            let look = |incident: &Incident| incident.is_active() && incident.look_at <= self.now;
            if self.index.get(key).is_some_and(look) {
                self.look(key, world, &mut out);
            }
            if self
                .index
                .get(key)
                .and_then(|incident| incident.pace.due())
                .is_some_and(|due| due <= self.now)
            {
                self.speak(key, &mut out);
            }
            self.index.set_timer(key);
        }
        out
    }

    /// When to call [`Engine::tick`] at the latest. `None` while nothing is open and nothing is left to say.
    #[must_use]
    pub fn next_deadline(&self) -> Option<BootTime> {
        let incidents = self.index.next_timer().map(|(at, _)| at);
        [incidents, self.next_piped()].into_iter().flatten().min()
    }

    /// The sensor stops: the last snapshot of every incident that was spoken of and is open, or has something left to
    /// say.
    pub fn finish(&mut self, now: BootTime) -> Vec<Snapshot> {
        let mut out = Vec::new();
        self.advance(now, &mut out);
        for key in self.index.keys() {
            if let Some(incident) = self.index.get_mut(key)
                && let Some(snapshot) = final_snapshot(incident)
            {
                incident.pace.spoke(self.now);
                out.push(snapshot);
            }
            self.index.set_timer(key);
        }
        out
    }

    /// Whether there are shells that read commands from somebody without a connection.
    #[must_use]
    pub fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Whether this process and its sockets were judged already, so that a look at a running process is nothing new.
    #[must_use]
    pub fn is_known(&self, exec: &Exec) -> bool {
        let ties = Ties::of(exec);
        self.services.contains(exec.process)
            || self.index.of_process(exec.process).is_some()
            || self.index.of_sockets(&ties.sockets).is_some()
    }

    /// How many incidents are open, those below the minimum severity included.
    #[must_use]
    pub fn open_incidents(&self) -> usize {
        self.index.open()
    }

    /// How many open incidents were let go because there were too many.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn advance(&mut self, time: BootTime, out: &mut Vec<Snapshot>) {
        self.now = self.now.max(time);
        while let Some(key) = self.index.outdated(self.now) {
            self.forget(key, out);
        }
    }

    fn exec(&mut self, exec: Exec, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        let ties = Ties::of(&exec);
        if let Some(key) = self.index.of_sockets(&ties.sockets) {
            return self.join_socket(key, exec, &ties, world, out);
        }
        let judgement = match rule::judge(&exec, |socket| self.services.serve(&exec, socket)) {
            Verdict::Takeover(takeover) => Some((Judgement::from(&takeover), takeover.primary.clone())),
            Verdict::Service => return self.services.insert(&exec),
            Verdict::Nothing => None,
        };
        self.services.remove(exec.process);
        // A program that runs what its connection delivers may have that connection for its own streams as well.
        let severity = judgement.as_ref().map(|(judgement, _)| judgement.severity);
        if severity.is_none_or(|severity| severity < Severity::Medium)
            && let Some(delivered) = self.delivered(&exec, world)
        {
            return self.open_loop(exec, delivered, out);
        }
        let Some((judgement, primary)) = judgement else {
            // Only its answer goes to a connection; what it executes somebody else may carry from one.
            if piped::reads_from_somebody(&exec) {
                self.piped_shell(exec, None, world, out);
            }
            return;
        };
        if self.is_excepted(&exec, &[], &ties.sockets, judgement.direction) {
            return self.services.insert(&exec);
        }
        self.open(exec, judgement, &primary, &ties, out);
    }

    /// Takes an exec on a socket of an incident that is known.
    fn join_socket(&mut self, key: Key, exec: Exec, ties: &Ties, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        let judgement = match rule::judge(&exec, |_| false) {
            Verdict::Takeover(takeover) => Some(Judgement::from(&takeover)),
            Verdict::Service | Verdict::Nothing => None,
        };
        let known = self.index.get(key).map(Incident::severity);
        let severity = known.max(judgement.as_ref().map(|judgement| judgement.severity));
        let delivered = if severity < Some(Severity::Medium) {
            self.delivered(&exec, world)
        } else {
            None
        };
        self.join_tied(key, exec, delivered.or(judgement), ties, out);
    }

    /// Whether an exec is what one of its parent's connections has just delivered.
    fn delivered(&mut self, exec: &Exec, world: &dyn Inspector) -> Option<Judgement> {
        self.popped(exec, None, world)
            .filter(|found| found.severity > Severity::Low)
    }

    /// Takes an exec that belongs to an incident that is known.
    pub(super) fn join_tied(
        &mut self,
        key: Key,
        exec: Exec,
        judgement: Option<Judgement>,
        ties: &Ties,
        out: &mut Vec<Snapshot>,
    ) {
        let again = self.index.get(key).is_some_and(|incident| !incident.is_active());
        if again {
            self.make_room(out);
            self.index.begin_again(key);
        }
        let keep = (COMMANDS_TOTAL / self.index.open().max(1)).clamp(COMMANDS_MIN, COMMANDS_MAX);
        let Some(incident) = self.index.get_mut(key) else {
            return;
        };
        if again {
            incident.look_at = BootTime(self.now.0.saturating_add(LOOK_EVERY));
        }
        let rose = incident.absorb(exec, judgement, keep);
        let at_once = rose || (again && incident.pace.rested(self.now));
        self.services.remove(ties.process);
        self.index.tie(key, ties);
        self.say_if_severe(key, at_once, out);
    }

    fn exit(&mut self, process: ProcessId, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        self.services.remove(process);
        self.drop_suspect(process);
        while let Some(key) = self.index.untie(process) {
            let Some(incident) = self.index.get_mut(key) else {
                continue;
            };
            if !incident.is_active() || incident.executed() > 0 {
                continue;
            }
            if incident.processes() == 0 {
                self.end(key, EndReason::ProcessesEnded, out);
                continue;
            }
            // The parent may hold the socket on, as a loop that runs one command after the other does; or it is about
            // to let go of it, having waited for its child. One look now and one soon, but not one for each command.
            let looked = incident.looked.filter(|&looked| self.now.since(looked) < INTERVAL_MIN);
            if looked.is_none() {
                self.look(key, world, out);
            }
            if let Some(incident) = self.index.get_mut(key) {
                let soon = looked.unwrap_or(self.now).0.saturating_add(INTERVAL_MIN);
                incident.look_at = incident.look_at.min(BootTime(soon));
            }
            self.index.set_timer(key);
        }
    }

    fn socket_closed(&mut self, inode: u64, out: &mut Vec<Snapshot>) {
        let Some(key) = self.index.of_socket(inode) else {
            return;
        };
        let Some(incident) = self.index.get_mut(key) else {
            return;
        };
        if !incident.close_socket(inode) && incident.is_active() {
            self.end(key, EndReason::SocketsClosed, out);
        }
    }

    /// Asks whether somebody still has a socket of the incident open, and ends it if not.
    fn look(&mut self, key: Key, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        let Some(incident) = self.index.get_mut(key) else {
            return;
        };
        let reason = if incident.executed() == 0 {
            EndReason::ProcessesEnded
        } else {
            EndReason::NoHolderFound
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
        self.index.forget_processes(key, gone);
        if look == Look::Free {
            self.end(key, reason, out);
        }
    }

    fn end(&mut self, key: Key, reason: EndReason, out: &mut Vec<Snapshot>) {
        self.index.end(key, self.now, reason);
        let Some(incident) = self.index.get_mut(key) else {
            return;
        };
        // A program can end and begin again as often as it likes; only the first end is told at once in any case.
        let at_once = !incident.ended_before || incident.pace.rested(self.now);
        incident.ended_before = true;
        if incident.pace.has_spoken() {
            self.say(key, at_once, out);
        } else {
            self.index.set_timer(key);
        }
    }

    pub(super) fn say_if_severe(&mut self, key: Key, at_once: bool, out: &mut Vec<Snapshot>) {
        match self.index.get(key) {
            Some(incident) if incident.severity() >= self.settings.min_severity => {
                let first = !incident.pace.has_spoken();
                self.say(key, at_once || first, out);
            }
            _ => self.index.set_timer(key),
        }
    }

    /// Gives a snapshot at once, or when the incident's pace allows it.
    fn say(&mut self, key: Key, at_once: bool, out: &mut Vec<Snapshot>) {
        if at_once {
            self.speak(key, out);
        } else if let Some(incident) = self.index.get_mut(key) {
            incident.pace.changed(self.now);
        }
        self.index.set_timer(key);
    }

    fn speak(&mut self, key: Key, out: &mut Vec<Snapshot>) {
        if let Some(incident) = self.index.get_mut(key) {
            out.push(incident.snapshot(false));
            incident.pace.spoke(self.now);
            if !incident.is_active() {
                incident.shrink();
            }
        }
    }

    /// Lets go of the incident that has been still for longest while there are too many.
    pub(super) fn make_room(&mut self, out: &mut Vec<Snapshot>) {
        while let Some(key) = self.index.surplus() {
            self.evicted += 1;
            self.forget(key, out);
        }
    }

    /// Drops an incident; what it has left to say is said.
    fn forget(&mut self, key: Key, out: &mut Vec<Snapshot>) {
        if let Some(mut incident) = self.index.remove(key) {
            out.extend(final_snapshot(&mut incident));
        }
    }

    /// Whether this takeover is meant to be. `relays` carry the stream that it is judged by.
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

    #[cfg(test)]
    pub(super) fn check(&self) {
        self.index.check();
        assert!(self.services.len() <= 4096);
        assert!(
            self.suspects.len() <= 1024
                && self.loops.len() <= super::loops::LOOPS_MAX
                && self.flows.len() <= super::flows::FLOWS_MAX
        );
    }
}

/// The snapshot that an incident owes when nobody will follow it any longer.
fn final_snapshot(incident: &mut Incident) -> Option<Snapshot> {
    let owes = incident.is_active() || incident.pace.due().is_some();
    let monitoring_ended = incident.is_active();
    (owes && incident.pace.has_spoken()).then(|| incident.snapshot(monitoring_ended))
}
