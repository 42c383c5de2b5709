//! The engine: takes observations in the order of time and sends each to the part that it is for.
//!
//! Four parts keep state, each in a file of its own: `incidents` (the takeovers), `services` (connections that are meant to
//! be), `seeking` with `proof` (shells on pipes), `command_loops` (programs that run what a connection delivers). The parts
//! know nothing of each other but `incidents`; what one exec means to which is decided here:
//!
//! - It has a connection among its streams: the rule judges it, unless the connection is known or covered.
//! - It has none: it may be a command of a session, a shell on pipes, or what its parent's connection delivered.

use crate::model::{BootTime, Exec, Observation, ProcessId};

use super::{
    argv,
    command_loops::CommandLoops,
    incident::Ties,
    incidents::{Incidents, Settings},
    index::Key,
    inspector::Inspector,
    judgement::Judgement,
    requests::Request,
    rule::{self, Verdict},
    seeking::{Seeker, reads_from_process},
    services::{Reason, Services},
    snapshot::{Severity, Snapshot},
};

/// Judges observations and keeps incidents. Feed it with [`Engine::observe`] in the order of time, and call
/// [`Engine::tick`] when [`Engine::next_deadline`] is reached.
#[derive(Debug)]
pub struct Engine {
    incidents: Incidents,
    services: Services,
    seeker: Seeker,
    loops: CommandLoops,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            incidents: Incidents::new(settings),
            services: Services::default(),
            seeker: Seeker::default(),
            loops: CommandLoops::default(),
        }
    }

    /// Takes an observation; returns the snapshots to give out now.
    pub fn observe(&mut self, observation: Observation, inspector: &dyn Inspector) -> Vec<Snapshot> {
        self.incidents.advance(observation.time());
        match observation {
            Observation::Exec(exec) => {
                let process = exec.process;
                self.seeker.drop_suspect(process, &mut self.incidents);
                if exec.streams.iter().any(|stream| stream.socket().is_some()) {
                    self.exec_with_socket(*exec, inspector);
                } else {
                    self.exec_without_socket(*exec, inspector);
                }
                if self.incidents.of_process(process).is_some() {
                    self.services.remove(process);
                }
            }
            Observation::Exit(exit) => {
                self.services.remove(exit.process);
                self.seeker.drop_suspect(exit.process, &mut self.incidents);
                self.incidents.exit(exit.process, inspector);
            }
            Observation::SocketClosed(closed) => self.incidents.socket_closed(closed.inode),
            Observation::Connect(_) => self.seeker.connect(inspector, &mut self.incidents),
            // The source looks at the process and yields an exec of it.
            Observation::Moved(_) => {}
            Observation::Rescan(_) => self.seeker.rescan(inspector, &mut self.incidents),
            Observation::RunsMissed(_) => self.incidents.search_all(inspector),
        }
        self.incidents.take_snapshots()
    }

    /// Does what is due at `now`; returns the snapshots to give out.
    pub fn tick(&mut self, now: BootTime, inspector: &dyn Inspector) -> Vec<Snapshot> {
        self.incidents.advance(now);
        self.seeker.tick(inspector, &mut self.incidents);
        self.loops.tick(&mut self.incidents);
        self.incidents.tick(inspector);
        self.incidents.take_snapshots()
    }

    /// When to call [`Engine::tick`] at the latest. `None` while nothing is open and nothing is left to say.
    #[must_use]
    pub fn next_deadline(&self) -> Option<BootTime> {
        let suspects = self.seeker.prover.suspects.next_timer();
        [self.incidents.next_deadline(), suspects, self.loops.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The sensor stops: the final snapshot of every incident that was reported and is open, or has something left to say.
    pub fn finish(&mut self, now: BootTime) -> Vec<Snapshot> {
        self.incidents.advance(now);
        self.incidents.finish();
        self.incidents.take_snapshots()
    }

    /// What the source of the observations should do from now on; each request is handed out once.
    pub fn take_requests(&mut self) -> Vec<Request> {
        self.incidents.requests.take()
    }

    /// The source can't do what it was asked to. The parts that asked go on without: they look by the clock instead.
    pub fn denied(&mut self, now: BootTime, request: Request) -> Vec<Snapshot> {
        self.incidents.advance(now);
        match request {
            Request::Watch(flow) => {
                self.incidents.requests.watch_denied(flow);
                self.seeker.prover.watch_denied(flow);
                self.loops.watch_denied(flow);
            }
            Request::ReportConnects(_) => self.seeker.connects_denied(&mut self.incidents),
            // The session's commands stay unseen. What it has done already, and its end, do not depend on them.
            Request::Follow(_) | Request::Unfollow(_) | Request::Unwatch(_) => {}
        }
        self.incidents.take_snapshots()
    }

    /// Whether there are shells that read commands from somebody without a connection.
    #[must_use]
    pub fn has_suspects(&self) -> bool {
        !self.seeker.prover.suspects.is_empty()
    }

    /// Whether this process and its sockets were judged already, so that a look at a running process is nothing new.
    #[must_use]
    pub fn is_known(&self, exec: &Exec) -> bool {
        self.services.contains(exec.process)
            || self.incidents.of_process(exec.process).is_some()
            || self.incidents.of_sockets(&Ties::of(exec).sockets).is_some()
    }

    /// How many incidents are open, those below the minimum severity included.
    #[must_use]
    pub fn open_incidents(&self) -> usize {
        self.incidents.open_count()
    }

    /// How many open incidents and living services were evicted because there were too many.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.incidents.evicted() + self.services.evicted()
    }

    /// Takes an exec that has a network socket among its streams.
    fn exec_with_socket(&mut self, exec: Exec, inspector: &dyn Inspector) {
        let ties = Ties::of(&exec);
        if let Some(key) = self.incidents.of_sockets(&ties.sockets) {
            return self.join_socket(key, exec, &ties, inspector);
        }
        // A shell that reads its commands from the connection is nobody's ordinary work, so the exception does not vouch for it.
        if self.services.cover(&exec) && !argv::reads_commands(&exec) {
            return self.services.insert(&exec, Reason::Excepted, inspector);
        }
        let judgement = match rule::judge(&exec, |socket| self.services.serve(&exec, socket)) {
            Verdict::Takeover(takeover) => Some((Judgement::from(&takeover), takeover.primary.clone())),
            Verdict::Service => return self.services.insert(&exec, Reason::Serves, inspector),
            Verdict::Nothing => None,
        };
        self.services.remove(exec.process);
        // A program that runs what its connection delivers may have that connection for its own streams as well.
        let severity = judgement.as_ref().map(|(judgement, _)| judgement.severity);
        if severity.is_none_or(|severity| severity < Severity::Medium)
            && let Some(delivered) = self.delivered(&exec, inspector)
        {
            return self.loops.open(exec, delivered, &mut self.incidents);
        }
        let Some((judgement, primary)) = judgement else {
            // Only its answer goes to a connection; what it executes another process may carry from one.
            if reads_from_process(&exec) {
                self.seeker.start(exec, None, inspector, &mut self.incidents);
            }
            return;
        };
        if self
            .incidents
            .is_excepted(&exec, &[], &ties.sockets, judgement.direction)
        {
            return self.services.insert(&exec, Reason::Excepted, inspector);
        }
        self.incidents.open(exec, judgement, &primary, &ties);
    }

    /// Takes an exec on a socket of an incident that is known.
    fn join_socket(&mut self, key: Key, exec: Exec, ties: &Ties, inspector: &dyn Inspector) {
        let judgement = match rule::judge(&exec, |_| false) {
            Verdict::Takeover(takeover) => Some(Judgement::from(&takeover)),
            Verdict::Service | Verdict::Nothing => None,
        };
        let judged = judgement.as_ref().map(|judgement| judgement.severity);
        let delivered = if self.incidents.severity(key).max(judged) < Some(Severity::Medium) {
            self.delivered(&exec, inspector)
        } else {
            None
        };
        self.incidents.join_tied(key, exec, delivered.or(judgement), ties);
    }

    /// The judgement of an exec that is what one of its parent's connections has just delivered.
    fn delivered(&mut self, exec: &Exec, inspector: &dyn Inspector) -> Option<Judgement> {
        self.loops
            .judge(exec, None, inspector, &mut self.incidents)
            .filter(|found| found.severity > Severity::Low)
    }

    /// Takes an exec without a network socket among its streams.
    fn exec_without_socket(&mut self, exec: Exec, inspector: &dyn Inspector) {
        let parent = exec.parent().map(|parent| parent.process);
        let by_parent = parent.and_then(|parent| self.incidents.of_process(parent));
        let proved = parent.and_then(|parent| {
            self.seeker
                .prover
                .by_command(parent, &exec, inspector, &mut self.incidents)
        });
        let session = proved.or(by_parent);
        if reads_from_process(&exec) {
            return self.seeker.start(exec, session, inspector, &mut self.incidents);
        }
        let delivered = self.loops.judge(&exec, session, inspector, &mut self.incidents);
        match (session, delivered) {
            (Some(key), judgement) => self.incidents.join(key, exec, judgement),
            (None, Some(judgement)) => self.loops.open(exec, judgement, &mut self.incidents),
            (None, None) => self.unfollow(&exec, parent),
        }
    }

    /// An exec belongs to nothing that is known: stops its being followed, unless its parent is a suspect.
    fn unfollow(&mut self, exec: &Exec, parent: Option<ProcessId>) {
        if parent.is_some_and(|parent| self.seeker.prover.suspects.get(parent).is_some()) {
            return;
        }
        self.incidents.requests.push(Request::Unfollow(exec.process));
        // It was not reported for what its parent holds, so its parent's session is followed, and that is over.
        if exec.held.is_empty() {
            self.incidents.requests.extend(parent.map(Request::Unfollow));
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        use super::{command_loops::LOOPS_MAX, services::SERVICES_MAX, suspects::SUSPECTS_MAX};

        self.incidents.check();
        assert!(self.services.len() <= SERVICES_MAX);
        assert!(self.loops.len() <= LOOPS_MAX);
        assert!(self.seeker.prover.suspects.len() <= SUSPECTS_MAX);
    }
}
