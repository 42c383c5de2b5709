//! The engine's part for shells whose streams a general program carries: what shows that it does so for the peer of its
//! connection, and what becomes of those of which nothing does.

use crate::model::{Exec, ProcessId, Socket};

use super::{
    Delivery, Engine, Inspector, Severity, Snapshot,
    incident::Ties,
    index::Key,
    piped::judgement,
    relay::{Relay, Worth},
    suspects::Suspect,
    trace::{Way, trace},
    wire,
};

/// After this time a connection on which nobody has spoken is one that waits for its peer, in nanoseconds.
const PATIENCE: u64 = 900_000_000;

impl Engine {
    /// A command of a suspect whose way needs proof: was its text delivered? Then the suspect's incident is what the
    /// command belongs to.
    pub(super) fn prove_by_command(
        &mut self,
        shell: ProcessId,
        command: &Exec,
        world: &dyn Inspector,
        out: &mut Vec<Snapshot>,
    ) -> Option<Key> {
        let suspect = self.suspects.get(shell)?;
        let (_, flow) = suspect.unproven.as_ref()?;
        let Some(flow) = *flow else { return suspect.joined };
        let delivery = world.delivered(flow, suspect.since, &wire::texts(command));
        let now = self.now;
        if let Some(suspect) = self.suspects.get_mut(shell) {
            suspect.since = now;
        }
        match delivery {
            Delivery::Command => self.proved(
                shell,
                Severity::High,
                "A command's text is what that connection had just delivered.",
                out,
            ),
            Delivery::ShellText => self.proved(
                shell,
                Severity::Medium,
                "The connection delivers what a shell takes for commands.",
                out,
            ),
            _ => self.suspects.get(shell)?.joined,
        }
    }

    /// The same without a command: what a shell runs by itself is seen by nobody.
    pub(super) fn prove_by_text(&mut self, process: ProcessId, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        let Some(Suspect {
            unproven: Some((_, Some(flow))),
            since,
            ..
        }) = self.suspects.get(process)
        else {
            return;
        };
        match world.delivered(*flow, *since, &[]) {
            Delivery::ShellText => {
                self.proved(
                    process,
                    Severity::Medium,
                    "The connection delivers what a shell takes for commands.",
                    out,
                );
                self.look_again(process, out);
            }
            Delivery::Encrypted => self.give_up(process, out),
            _ => self.look_again(process, out),
        }
    }

    /// The same by who speaks first on the connection.
    pub(super) fn prove_by_order(&mut self, process: ProcessId, world: &dyn Inspector, out: &mut Vec<Snapshot>) {
        let Some(suspect) = self.suspects.get(process) else {
            return;
        };
        if suspect.joined.is_some() || suspect.unproven.is_none() {
            return;
        }
        let patient = self.now.since(suspect.since) >= PATIENCE;
        let stream = suspect.exec.streams[0].clone();
        let Some(input) = trace(process, &stream, Way::In, world).route else {
            return;
        };
        let relay = Relay {
            input,
            output: None,
            proof: None,
        };
        if relay.peer_leads(patient) {
            let proof = "On that connection the peer was the first to speak, or nobody has spoken yet.";
            self.proved(process, Severity::Medium, proof, out);
        }
    }

    /// A suspect is a takeover: opens its incident, or raises it.
    fn proved(
        &mut self,
        process: ProcessId,
        severity: Severity,
        proof: &'static str,
        out: &mut Vec<Snapshot>,
    ) -> Option<Key> {
        let suspect = self.suspects.get(process)?;
        let (exec, joined) = (suspect.exec.clone(), suspect.joined);
        let (mut relay, _) = suspect.unproven.clone()?;
        let key = match joined {
            Some(key) => key,
            None => {
                let worth = Worth {
                    severity,
                    ..relay.worth(&exec, false)
                };
                relay.proof = Some(proof);
                let ties = Ties {
                    process,
                    holder: None,
                    sockets: relay.sockets().cloned().collect(),
                };
                // Another shell of the same carrier may have been proved first.
                let key = match self.index.of_sockets(&ties.sockets) {
                    Some(key) => {
                        self.join_tied(key, exec, Some(judgement(worth, relay)), &ties, out);
                        key
                    }
                    None => self.open_relayed(exec, worth, relay, out),
                };
                self.suspects.get_mut(process)?.joined = Some(key);
                key
            }
        };
        if severity == Severity::High {
            // There is nothing more to prove.
            self.drop_suspect_quietly(process);
        }
        let rose = self.index.get_mut(key)?.raise(severity, proof);
        if rose {
            self.say_if_severe(key, true, out);
        }
        Some(key)
    }

    /// Nothing more can be proved of a suspect by what its flow delivers. Who asks for the lowest findings hears of it as it is.
    pub(super) fn give_up(&mut self, process: ProcessId, out: &mut Vec<Snapshot>) {
        let Some(suspect) = self.suspects.get_mut(process) else {
            return;
        };
        let Some((relay, flow)) = &mut suspect.unproven else {
            return;
        };
        let flow = flow.take();
        let sockets: Vec<Socket> = relay.sockets().cloned().collect();
        let told = suspect.joined.is_some()
            || self.settings.min_severity > Severity::Low
            || self.index.of_sockets(&sockets).is_some();
        let open = (!told).then(|| (suspect.exec.clone(), relay.clone()));
        if let Some(flow) = flow {
            self.flows.unwatch(flow, &mut self.requests);
        }
        if let Some((exec, relay)) = open {
            let worth = relay.worth(&exec, false);
            let key = self.open_relayed(exec, worth, relay, out);
            if let Some(suspect) = self.suspects.get_mut(process) {
                suspect.joined = Some(key);
            }
        }
    }
}
