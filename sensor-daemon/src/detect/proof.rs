//! Suspects whose way to a connection leads through a general program: what proves that this program carries the
//! shell's streams, and what becomes of a suspect that nothing proves.
//!
//! The problem: an editor, an agent or a node service holds both ends of a shell's pipes and a connection. That is how a
//! reverse shell written in JavaScript looks, and also how a build step of a CI agent looks. Descriptors can't tell the
//! two apart; what the connection delivers can.
//!
//! The design: the connection's flow is watched, the shell's commands are reported, and three things prove the suspect.
//!
//! 1. A command (HIGH): the text of a command that the shell runs is what the flow has just delivered.
//! 2. Text (MEDIUM): the flow delivers a line that begins with a shell's builtin. A shell runs builtins without an exec,
//!    so that only looking at the flow from time to time shows them.
//! 3. Order (MEDIUM): the connection is unused, and the peer spoke first or nobody spoke for 0.9 seconds. A program that
//!    asks somebody something speaks first, and at once.
//!
//! Example: `node` starts `sh` at 1.000 s with pipes, and holds a connection on which 4 KiB were received. The flow is
//! watched from 1.000 s on. At 1.005 s it has delivered `HTTP/1.1 200 OK`, which proves nothing. At 2.000 s it delivers
//! `id`, at 2.001 s the shell runs `id`: HIGH. Had it delivered ciphertext, the watch would have ended, and the suspect
//! would be reported as LOW where that is asked for.
//!
//! Where no flow can be watched (512 are, the transport is not sampled, or the source denied the request), the suspect is
//! looked at as often: order may still prove it.

use crate::model::{Exec, Flow, ProcessId, Socket};

use super::{
    incident::Ties,
    incidents::Incidents,
    index::Key,
    inspector::Inspector,
    judgement::Judgement,
    relay::{Moment, Relay, Worth},
    requests::Request,
    snapshot::Severity,
    suspects::{PendingProof, Suspect, Suspects},
    trace::{Toward, trace},
    wire::{self, Delivery},
};

/// What is shown by [`Delivery::Command`].
const BY_COMMAND: &str = "A command's text is what that connection had just delivered.";
/// What is shown by [`Delivery::ShellText`].
const BY_TEXT: &str = "The connection delivers what a shell takes for commands.";
/// What is shown by [`Relay::peer_leads`].
const BY_ORDER: &str = "On that connection the peer was the first to speak, or nobody has spoken yet.";

/// All suspects, those that need proof among them.
#[derive(Debug, Default)]
pub(super) struct Prover {
    pub(super) suspects: Suspects,
}

impl Prover {
    /// A way to a connection was found that needs proof: watches the connection and the shell's commands.
    pub(super) fn begin(&mut self, process: ProcessId, relay: Relay, incidents: &mut Incidents) {
        let Some(suspect) = self.suspects.get_mut(process) else {
            return;
        };
        let flow = Flow::of(&relay.input.socket).filter(|flow| incidents.requests.watch(*flow));
        incidents.requests.push(Request::Follow(process));
        suspect.pending = Some(PendingProof { relay, flow });
        suspect.since = incidents.now();
        self.look_again(process, incidents);
    }

    /// A suspect runs a command. Returns the suspect's incident, to which the command belongs, if there is one by now.
    pub(super) fn by_command(
        &mut self,
        shell: ProcessId,
        command: &Exec,
        inspector: &dyn Inspector,
        incidents: &mut Incidents,
    ) -> Option<Key> {
        let suspect = self.suspects.get_mut(shell)?;
        let flow = suspect.pending.as_ref()?.flow;
        let Some(flow) = flow else { return suspect.joined };
        let delivery = inspector.delivered(flow, suspect.since, &wire::texts(command));
        // What was delivered before this command can't prove a later one.
        suspect.since = incidents.now();
        match delivery {
            Delivery::Command => self.proved(shell, Severity::High, BY_COMMAND, incidents),
            Delivery::ShellText => self.proved(shell, Severity::Medium, BY_TEXT, incidents),
            _ => suspect.joined,
        }
    }

    /// A suspect that needs proof is due for a look: what has its connection delivered, and who spoke first?
    pub(super) fn look(&mut self, process: ProcessId, inspector: &dyn Inspector, incidents: &mut Incidents) {
        let Some(suspect) = self.suspects.get(process) else {
            return;
        };
        let flow = suspect.pending.as_ref().and_then(|pending| pending.flow);
        let delivery = flow.map(|flow| inspector.delivered(flow, suspect.since, &[]));
        match delivery {
            // The connection is ciphertext from now on: neither commands nor text will prove anything.
            Some(Delivery::Encrypted) => self.give_up(process, incidents),
            Some(Delivery::ShellText) => {
                self.proved(process, Severity::Medium, BY_TEXT, incidents);
                self.look_again(process, incidents);
            }
            _ => self.look_again(process, incidents),
        }
        self.by_order(process, inspector, incidents);
    }

    fn by_order(&mut self, process: ProcessId, inspector: &dyn Inspector, incidents: &mut Incidents) {
        let Some(suspect) = self.suspects.get(process) else {
            return;
        };
        if suspect.joined.is_some() || suspect.pending.is_none() {
            return;
        }
        let waited = incidents.now().since(suspect.since);
        // The counters of the connection are those of now, so it is looked for anew.
        let traced = trace(process, &suspect.exec.streams[0], Toward::Shell, inspector);
        let relay = traced.route.map(Relay::of_input);
        if relay.is_some_and(|relay| relay.peer_leads(waited)) {
            self.proved(process, Severity::Medium, BY_ORDER, incidents);
        }
    }

    /// A suspect is a takeover: opens its incident, or raises it.
    fn proved(
        &mut self,
        process: ProcessId,
        severity: Severity,
        proof: &'static str,
        incidents: &mut Incidents,
    ) -> Option<Key> {
        let suspect = self.suspects.get_mut(process)?;
        let mut relay = suspect.pending.as_ref()?.relay.clone();
        let key = *suspect.joined.get_or_insert_with(|| {
            let exec = suspect.exec.clone();
            let worth = Worth {
                severity,
                ..relay.worth(&exec, Moment::Later)
            };
            relay.proof = Some(proof);
            let ties = Ties::of_relay(process, &relay);
            // Another shell of the same carrier may have been proved first.
            match incidents.of_sockets(&ties.sockets) {
                Some(key) => {
                    incidents.join_tied(key, exec, Some(Judgement::of_relay(worth, relay)), &ties);
                    key
                }
                None => incidents.open_relayed(exec, worth, relay),
            }
        });
        if severity == Severity::High {
            // Nothing proves more.
            self.remove(process, incidents);
        }
        incidents.raise(key, severity, proof);
        incidents.severity(key).map(|_| key)
    }

    /// Schedules the next look at a suspect. After the last look nothing is watched for it any more.
    pub(super) fn look_again(&mut self, process: ProcessId, incidents: &mut Incidents) {
        if !self.suspects.schedule(process, incidents.now()) {
            self.give_up(process, incidents);
        }
    }

    /// Nothing more can be proved of a suspect by what its flow delivers. It is reported as LOW where that is asked for.
    fn give_up(&mut self, process: ProcessId, incidents: &mut Incidents) {
        let Some(suspect) = self.suspects.get_mut(process) else {
            return;
        };
        let Some(PendingProof { relay, flow }) = &mut suspect.pending else {
            return;
        };
        if let Some(flow) = flow.take() {
            incidents.requests.unwatch(flow);
        }
        let sockets: Vec<Socket> = relay.sockets().cloned().collect();
        let is_reported = suspect.joined.is_some() || incidents.of_sockets(&sockets).is_some();
        if !is_reported && incidents.reports(Severity::Low) {
            let worth = relay.worth(&suspect.exec, Moment::Later);
            suspect.joined = Some(incidents.open_relayed(suspect.exec.clone(), worth, relay.clone()));
        }
    }

    /// The source does not watch this flow.
    pub(super) fn watch_denied(&mut self, flow: Flow) {
        for suspect in self.suspects.iter_mut() {
            if let Some(pending) = &mut suspect.pending
                && pending.flow == Some(flow)
            {
                pending.flow = None;
            }
        }
    }

    /// Removes a suspect; its session may be followed further. Returns whether there was one.
    pub(super) fn remove(&mut self, process: ProcessId, incidents: &mut Incidents) -> bool {
        let removed = self.suspects.remove(process);
        let found = removed.is_some();
        if let Some(suspect) = removed {
            stop_watching(&suspect, incidents);
        }
        found
    }

    /// Adds a suspect. The oldest one is evicted where there is no room.
    pub(super) fn insert(&mut self, exec: Exec, joined: Option<Key>, incidents: &mut Incidents) {
        if let Some(evicted) = self.suspects.insert(exec, joined) {
            stop_watching(&evicted, incidents);
        }
    }
}

fn stop_watching(suspect: &Suspect, incidents: &mut Incidents) {
    if let Some(PendingProof { flow: Some(flow), .. }) = &suspect.pending {
        incidents.requests.unwatch(*flow);
    }
}
