//! The engine's part for execs without a socket among their streams: commands of sessions that are followed, and shells that
//! others relay for. What such a relay has to prove is in [`super::proof`], what a program runs that holds a connection in
//! [`super::popped`].

use crate::model::{BootTime, Exec, Flow, ProcessId, Socket, Stream};

use super::{
    Engine, Inspector, Request, Severity, Snapshot, Technique, argv,
    engine::LOOK_EVERY,
    incident::{Incident, Ties},
    index::Key,
    judgement::{Judgement, Proof},
    relay::{self, Relay, Worth},
    suspects::Suspect,
    trace::{Way, trace},
};

/// Suspects that are looked at again when somebody connects.
const LOOKED_AGAIN_MAX: usize = 32;
/// When a connection that has just begun has all that it is told by, in nanoseconds.
const CONNECTS_IN: u64 = 2_000_000;

impl Engine {
    /// Takes an exec without a network socket among its streams.
    pub(super) fn piped(&mut self, exec: Exec, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        self.drop_suspect(exec.process);
        let parent = exec.parent().map(|parent| parent.process);
        let mut session = parent.and_then(|parent| self.index.of_process(parent));
        if let Some(parent) = parent
            && let Some(key) = self.prove_by_command(parent, &exec, world, out)
        {
            session = Some(key);
        }
        if reads_from_somebody(&exec) {
            return self.piped_shell(exec, session, world, out);
        }
        let delivered = self.popped(&exec, session, world);
        match (session, delivered) {
            (Some(key), judgement) => self.join(key, exec, judgement, out),
            (None, Some(judgement)) => self.open_loop(exec, judgement, out),
            (None, None) => {
                let followed = parent.is_some_and(|parent| self.suspects.get(parent).is_some());
                if !followed {
                    self.requests.push(Request::Unfollow(exec.process));
                    // What its parent holds is no reason to hear of it, so its session is, and that is over.
                    let session = parent.filter(|_| exec.held.is_empty());
                    self.requests.extend(session.map(|parent| Request::Unfollow(parent)));
                }
            }
        }
    }

    /// A shell that reads commands from somebody: looks for the socket behind it.
    pub(super) fn piped_shell(
        &mut self,
        exec: Exec,
        session: Option<Key>,
        world: &dyn Inspector,
        out: &mut Vec<Snapshot>,
    ) {
        let process = exec.process;
        if let Some(key) = session {
            self.join(key, exec.clone(), None, out);
        }
        if let Some(gone) = self.suspects.insert(exec, session) {
            self.let_go(&gone);
        }
        self.look_at_suspect(process, true, world, out);
        let unproven = self
            .suspects
            .get(process)
            .is_some_and(|suspect| suspect.unproven.is_none() && suspect.joined.is_none());
        if unproven {
            self.requests.push(Request::Unfollow(process));
        }
    }

    /// Looks for a way from a suspect to a socket. `first` tells that it has just started.
    pub(super) fn look_at_suspect(
        &mut self,
        process: ProcessId,
        first: bool,
        world: &dyn Inspector,
        out: &mut Vec<Snapshot>,
    ) {
        let Some(suspect) = self.suspects.get(process) else {
            return;
        };
        if suspect.unproven.is_some() {
            self.prove_by_text(process, world, out);
            return self.prove_by_order(process, world, out);
        }
        let (exec, joined) = (suspect.exec.clone(), suspect.joined);
        let input = trace(process, &exec.streams[0], Way::In, world);
        let output = relay::answering(&exec.streams)
            .map(|number| trace(process, &exec.streams[number], Way::Out, world))
            .unwrap_or_default();
        let Some(route) = input.route else {
            let met = input.met.into_iter().chain(output.met);
            self.requests.extend(met.map(Request::ReportConnects));
            return self.look_again(process, out);
        };
        let relay = Relay {
            input: route,
            output: output.route,
            proof: None,
        };
        let sockets: Vec<Socket> = relay.sockets().cloned().collect();
        let worth = relay.worth(&exec, first);
        if let Some(key) = self.index.of_sockets(&sockets) {
            self.meet(key, exec, joined, worth, relay, out);
            return;
        }
        if self.is_excepted(&exec, &relay.input.hops, &sockets, worth.direction) {
            self.drop_suspect(process);
            return;
        }
        if worth.needs_proof {
            let flow = Flow::of(&relay.input.socket).filter(|flow| self.flows.watch(*flow, &mut self.requests));
            self.requests.push(Request::Follow(process));
            let now = self.now;
            if let Some(suspect) = self.suspects.get_mut(process) {
                suspect.unproven = Some((relay.clone(), flow));
                suspect.since = now;
            }
            self.look_again(process, out);
            if worth.severity >= Severity::Medium {
                let key = self.open_relayed(exec, worth, relay, out);
                if let Some(suspect) = self.suspects.get_mut(process) {
                    suspect.joined = Some(key);
                }
            }
            return;
        }
        let key = self.open_relayed(exec.clone(), worth, relay, out);
        self.answered_or_again(&exec, worth, key, out);
    }

    /// A suspect's way leads to a socket of an incident that is known.
    fn meet(&mut self, key: Key, exec: Exec, joined: Option<Key>, worth: Worth, relay: Relay, out: &mut Vec<Snapshot>) {
        let ties = Ties {
            process: exec.process,
            holder: None,
            sockets: relay.sockets().cloned().collect(),
        };
        self.index.tie(key, &ties);
        let judgement = (!worth.needs_proof).then(|| judgement(worth, relay));
        if joined != Some(key) {
            self.join(key, exec.clone(), judgement, out);
        } else if let Some(judgement) = judgement
            && let Some(incident) = self.index.get_mut(key)
        {
            let rose = incident.promote(exec.clone(), judgement);
            if rose {
                self.say_if_severe(key, true, out);
            }
        }
        self.requests.push(Request::Follow(exec.process));
        self.answered_or_again(&exec, worth, key, out);
    }

    /// A shell whose output goes to nobody yet may get its answer's relay a moment later; any other is judged for good.
    fn answered_or_again(&mut self, exec: &Exec, worth: Worth, key: Key, out: &mut Vec<Snapshot>) {
        if worth.technique == Technique::InputOnlyShell && exec.streams[1].is_piped() {
            if let Some(suspect) = self.suspects.get_mut(exec.process) {
                suspect.joined = Some(key);
            }
            self.look_again(exec.process, out);
        } else {
            self.suspects.remove(exec.process);
        }
    }

    /// Looks at a suspect again in a while; after the last look nothing is watched for it any more.
    pub(super) fn look_again(&mut self, process: ProcessId, out: &mut Vec<Snapshot>) {
        if !self.suspects.schedule(process, self.now) {
            self.give_up(process, out);
        }
    }

    pub(super) fn open_relayed(&mut self, exec: Exec, worth: Worth, relay: Relay, out: &mut Vec<Snapshot>) -> Key {
        let ties = Ties {
            process: exec.process,
            holder: None,
            sockets: relay.sockets().cloned().collect(),
        };
        let followed = worth.severity >= self.settings.min_severity;
        self.requests.push(if followed {
            Request::Follow(exec.process)
        } else {
            Request::Unfollow(exec.process)
        });
        let primary = relay.input.socket.clone();
        self.open(exec, judgement(worth, relay), &primary, &ties, out)
    }

    /// Takes a command of an incident that is known by its parent.
    pub(super) fn join(&mut self, key: Key, exec: Exec, judgement: Option<Judgement>, out: &mut Vec<Snapshot>) {
        let ties = Ties {
            process: exec.process,
            holder: None,
            sockets: Vec::new(),
        };
        self.join_tied(key, exec, judgement, &ties, out);
    }

    /// Somebody connects who may relay for a suspect.
    pub(super) fn connect(&mut self, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        self.look_at_suspects(world, out);
        // It is told when it begins to connect, and may not have come far.
        let soon = BootTime(self.now.0.saturating_add(CONNECTS_IN));
        for process in self.suspects.open().into_iter().take(LOOKED_AGAIN_MAX) {
            self.suspects.look_besides(process, soon);
        }
    }

    /// Looks again for a way from each suspect to a socket.
    pub(super) fn look_at_suspects(&mut self, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        for process in self.suspects.open().into_iter().take(LOOKED_AGAIN_MAX) {
            self.look_at_suspect(process, false, world, out);
        }
    }

    /// Does what is due for suspects and loops.
    pub(super) fn tick_piped(&mut self, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        while let Some(process) = self.suspects.due(self.now) {
            self.suspects.unschedule(process);
            self.look_at_suspect(process, false, world, out);
        }
        self.forget_idle_loops();
    }

    /// When that is due next.
    pub(super) fn next_piped(&self) -> Option<BootTime> {
        [self.suspects.next_timer(), self.loops.next_timer()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Forgets a suspect: it ended, or executes something else now, or is excepted.
    pub(super) fn drop_suspect(&mut self, process: ProcessId) {
        if let Some(gone) = self.suspects.remove(process) {
            self.let_go(&gone);
            self.requests.push(Request::Unfollow(process));
        }
    }

    /// Forgets a suspect whose session is followed further.
    pub(super) fn drop_suspect_quietly(&mut self, process: ProcessId) {
        if let Some(gone) = self.suspects.remove(process) {
            self.let_go(&gone);
        }
    }

    fn let_go(&mut self, suspect: &Suspect) {
        if let Some((_, Some(flow))) = &suspect.unproven {
            self.flows.unwatch(*flow, &mut self.requests);
        }
    }

    /// Opens an incident. The finding's id is derived from its primary socket.
    pub(super) fn open(
        &mut self,
        exec: Exec,
        judgement: Judgement,
        primary: &Socket,
        ties: &Ties,
        out: &mut Vec<Snapshot>,
    ) -> Key {
        self.make_room(out);
        let look_at = BootTime(self.now.0.saturating_add(LOOK_EVERY));
        let mut incident = Incident::new(exec, judgement, look_at);
        incident.add_socket(primary);
        let key = self.index.insert(incident);
        self.index.tie(key, ties);
        self.say_if_severe(key, true, out);
        key
    }
}

pub(super) fn judgement(worth: Worth, relay: Relay) -> Judgement {
    Judgement {
        severity: worth.severity,
        technique: worth.technique,
        direction: worth.direction,
        proof: Proof::Relay(Box::new(relay)),
    }
}

/// Whether none of the streams is a network socket.
pub(super) fn is_piped(exec: &Exec) -> bool {
    !exec.streams.iter().any(|stream| matches!(stream, Stream::Socket(_)))
}

/// Whether this is a shell that reads its commands from where another process can be.
pub(super) fn reads_from_somebody(exec: &Exec) -> bool {
    exec.streams[0].is_piped() && argv::reads_commands(exec)
}
