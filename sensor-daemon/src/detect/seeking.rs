//! Shells that read commands from a pipe, FIFO, terminal or UNIX socket: seeks the way from their streams to a connection.
//!
//! The problem: `nc peer 4444 < out | sh > out` has no connection on the shell's streams. `nc` holds it, and may start
//! after the shell, connect after the shell has started, or never be a relay at all (`cat list | sh`).
//!
//! The design: such a shell is a *suspect*. Its input and output are followed when it starts, 5 ms, 30 ms, 200 ms, 1 s and
//! 5 s after, and whenever a process connects that was met on the way. Each look has one of four results:
//!
//! - No way: the source is asked to report connects of those met, and the next look is scheduled.
//! - A way through dedicated carriers: an incident opens, and the suspect is one no longer.
//! - A way through a general program: [`super::proof`] takes over.
//! - A way to a connection of a known incident: the shell joins that incident.
//!
//! Example: `sh` starts at 1.000 s on the pipe that `nc` writes to; `nc` has no connection yet. The source reports at
//! 1.120 s that `nc` begins to connect. A look at once finds a connection without a port, which can't be named; one 2 ms
//! later finds `203.0.113.7:4444`: CRITICAL.

use crate::model::{Exec, ProcessId, Socket, Stream};

use super::{
    argv,
    incident::Ties,
    incidents::Incidents,
    index::Key,
    inspector::Inspector,
    judgement::Judgement,
    proof::Prover,
    relay::{self, Moment, Relay, Worth},
    requests::Request,
    snapshot::{Severity, Technique},
    trace::{Toward, trace},
};

/// Most suspects that one rescan looks at, the newest first.
const RESCANNED_MAX: usize = 32;
/// When a connection that has just begun has a port of its own, in nanoseconds.
const CONNECTS_IN: u64 = 2_000_000;

/// Seeks ways from suspects to connections.
#[derive(Debug, Default)]
pub(super) struct Seeker {
    pub(super) prover: Prover,
}

impl Seeker {
    /// A shell that reads commands from another process has started. `session` is the incident that it is a command of.
    pub(super) fn start(
        &mut self,
        exec: Exec,
        session: Option<Key>,
        inspector: &dyn Inspector,
        incidents: &mut Incidents,
    ) {
        let process = exec.process;
        if let Some(key) = session {
            incidents.join(key, exec.clone(), None);
        }
        self.prover.insert(exec, session, incidents);
        self.look(process, Moment::Start, inspector, incidents);
        let suspect = self.prover.suspects.get(process);
        if suspect.is_some_and(|suspect| suspect.pending.is_none() && suspect.joined.is_none()) {
            // No way is known: its commands say nothing.
            incidents.requests.push(Request::Unfollow(process));
        }
    }

    /// Looks for a way from a suspect to a connection.
    fn look(&mut self, process: ProcessId, moment: Moment, inspector: &dyn Inspector, incidents: &mut Incidents) {
        let Some(suspect) = self.prover.suspects.get(process) else {
            return;
        };
        if suspect.pending.is_some() {
            return self.prover.look(process, inspector, incidents);
        }
        let (exec, joined) = (suspect.exec.clone(), suspect.joined);
        let input = trace(process, &exec.streams[0], Toward::Shell, inspector);
        let output = relay::answering(&exec.streams)
            .map(|number| trace(process, &exec.streams[number], Toward::Peer, inspector))
            .unwrap_or_default();
        // Nobody who feeds the shell has a connection: whoever of them connects later may complete the way.
        let Some(route) = input.route else {
            for met in input.met.into_iter().chain(output.met) {
                incidents.requests.push(Request::ReportConnects(met));
            }
            return self.prover.look_again(process, incidents);
        };
        let relay = Relay {
            output: output.route,
            ..Relay::of_input(route)
        };
        let sockets: Vec<Socket> = relay.sockets().cloned().collect();
        let worth = relay.worth(&exec, moment);
        // The connection has an incident.
        if let Some(key) = incidents.of_sockets(&sockets) {
            return self.meet(key, exec, joined, worth, relay, incidents);
        }
        // The takeover is meant to be.
        if incidents.is_excepted(&exec, &relay.input.hops, &sockets, worth.direction) {
            return self.drop_suspect(process, incidents);
        }
        // A general program holds shell and connection.
        if worth.needs_proof {
            self.prover.begin(process, relay.clone(), incidents);
            if worth.severity >= Severity::Medium {
                let key = incidents.open_relayed(exec, worth, relay);
                if let Some(suspect) = self.prover.suspects.get_mut(process) {
                    suspect.joined = Some(key);
                }
            }
            return;
        }
        // The carriers exist for these bytes: the chain is closed.
        let streams = exec.streams.clone();
        let key = incidents.open_relayed(exec, worth, relay);
        self.settle(process, &streams, worth, key, incidents);
    }

    /// A suspect's way leads to a connection of the incident `key`.
    fn meet(
        &mut self,
        key: Key,
        exec: Exec,
        joined: Option<Key>,
        worth: Worth,
        relay: Relay,
        incidents: &mut Incidents,
    ) {
        let (process, streams) = (exec.process, exec.streams.clone());
        incidents.tie(key, &Ties::of_relay(process, &relay));
        let judgement = (!worth.needs_proof).then(|| Judgement::of_relay(worth, relay));
        if joined != Some(key) {
            incidents.join(key, exec, judgement);
        } else if let Some(judgement) = judgement {
            incidents.promote(key, exec, judgement);
        }
        incidents.requests.push(Request::Follow(process));
        self.settle(process, &streams, worth, key, incidents);
    }

    /// A suspect has its incident. A shell whose output goes nowhere yet may get its answer's relay a moment later, so it
    /// is looked at further; any other is judged for good.
    fn settle(&mut self, process: ProcessId, streams: &[Stream; 3], worth: Worth, key: Key, incidents: &mut Incidents) {
        if worth.technique == Technique::InputOnlyShell && streams[1].has_other_end() {
            if let Some(suspect) = self.prover.suspects.get_mut(process) {
                suspect.joined = Some(key);
            }
            self.prover.look_again(process, incidents);
        } else {
            self.prover.suspects.remove(process);
        }
    }

    /// A process connects that may relay for a suspect.
    pub(super) fn connect(&mut self, inspector: &dyn Inspector, incidents: &mut Incidents) {
        self.rescan(inspector, incidents);
        // It is reported when it begins to connect, and may not have come far.
        let soon = incidents.now().after(CONNECTS_IN);
        for process in self.prover.suspects.seeking().into_iter().take(RESCANNED_MAX) {
            self.prover.suspects.look_besides(process, soon);
        }
    }

    /// Looks again for a way from each suspect to a connection.
    pub(super) fn rescan(&mut self, inspector: &dyn Inspector, incidents: &mut Incidents) {
        for process in self.prover.suspects.seeking().into_iter().take(RESCANNED_MAX) {
            self.look(process, Moment::Later, inspector, incidents);
        }
    }

    /// Takes the looks that are due.
    pub(super) fn tick(&mut self, inspector: &dyn Inspector, incidents: &mut Incidents) {
        while let Some(process) = self.prover.suspects.take_due(incidents.now()) {
            self.look(process, Moment::Later, inspector, incidents);
        }
    }

    /// The source does not report connects: suspects without a way are looked at by the clock instead.
    pub(super) fn connects_denied(&mut self, incidents: &mut Incidents) {
        for process in self.prover.suspects.seeking() {
            if let Some(suspect) = self.prover.suspects.get_mut(process) {
                suspect.connects_denied = true;
            }
            self.prover.look_again(process, incidents);
        }
    }

    /// Removes a suspect: it ended, executes something else now, or is excepted.
    pub(super) fn drop_suspect(&mut self, process: ProcessId, incidents: &mut Incidents) {
        if self.prover.remove(process, incidents) {
            incidents.requests.push(Request::Unfollow(process));
        }
    }
}

/// Whether this is a shell that reads its commands from where another process can be.
pub(super) fn reads_from_process(exec: &Exec) -> bool {
    exec.streams[0].has_other_end() && argv::reads_commands(exec)
}
