//! The engine's part for execs without a socket among their streams: shells that others relay for, commands of sessions
//! that are followed, commands that a program runs which holds a connection.

use crate::model::{BootTime, Exec, Flow, ProcessId, Socket, Stream};

use super::{
    Delivery, Engine, Incident, Severity, Technique, Wish, World, argv,
    books::Key,
    engine::LOOK_EVERY,
    loops::LoopId,
    relay::{self, Relay, Worth},
    suspects::Suspect,
    trace::{Way, trace},
    tracked::{Judgement, Proof, Ties, Tracked},
    wire,
};

/// After this time a connection on which nobody has spoken is one that waits for its peer, in nanoseconds.
const PATIENCE: u64 = 900_000_000;
/// Suspects that are looked at again when somebody connects.
const LOOKED_AGAIN_MAX: usize = 32;

impl Engine {
    /// Takes an exec without a network socket among its streams.
    pub(super) fn piped(&mut self, exec: Exec, world: &dyn World, out: &mut Vec<Incident>) {
        self.drop_suspect(exec.process);
        let parent = exec.parent().map(|parent| parent.process);
        let mut session = parent.and_then(|parent| self.books.of_process(parent));
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
                    self.wishes.push(Wish::Session(exec.process, false));
                    // What its parent holds is no reason to hear of it, so its session is, and that is over.
                    let session = parent.filter(|_| exec.held.is_empty());
                    self.wishes.extend(session.map(|parent| Wish::Session(parent, false)));
                }
            }
        }
    }

    /// A shell that reads commands from somebody: looks for the socket behind it.
    pub(super) fn piped_shell(&mut self, exec: Exec, session: Option<Key>, world: &dyn World, out: &mut Vec<Incident>) {
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
            self.wishes.push(Wish::Session(process, false));
        }
    }

    /// Looks for a way from a suspect to a socket. `first` tells that it has just started.
    pub(super) fn look_at_suspect(
        &mut self,
        process: ProcessId,
        first: bool,
        world: &dyn World,
        out: &mut Vec<Incident>,
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
            self.wishes.extend(met.map(Wish::Neighbour));
            return self.look_again(process, out);
        };
        let relay = Relay {
            input: route,
            output: output.route,
            proof: None,
        };
        let sockets: Vec<Socket> = relay.sockets().cloned().collect();
        let worth = relay.worth(&exec, first);
        if let Some(key) = self.books.of_sockets(&sockets) {
            self.meet(key, exec, joined, worth, relay, out);
            return;
        }
        if self.is_excepted(&exec, &relay.input.hops, &sockets, worth.direction) {
            self.drop_suspect(process);
            return;
        }
        if worth.needs_proof {
            let flow = Flow::of(&relay.input.socket).filter(|flow| self.flows.watch(*flow, &mut self.wishes));
            self.wishes.push(Wish::Session(process, true));
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
    fn meet(&mut self, key: Key, exec: Exec, joined: Option<Key>, worth: Worth, relay: Relay, out: &mut Vec<Incident>) {
        let ties = Ties {
            process: exec.process,
            holder: None,
            sockets: relay.sockets().cloned().collect(),
        };
        self.books.tie(key, &ties);
        let judgement = (!worth.needs_proof).then(|| judgement(worth, relay));
        if joined != Some(key) {
            self.join(key, exec.clone(), judgement, out);
        } else if let Some(judgement) = judgement
            && let Some(incident) = self.books.get_mut(key)
        {
            let rose = incident.promote(exec.clone(), judgement);
            if rose {
                self.say_if_severe(key, true, out);
            }
        }
        self.wishes.push(Wish::Session(exec.process, true));
        self.answered_or_again(&exec, worth, key, out);
    }

    /// A shell whose output goes to nobody yet may get its answer's relay a moment later; any other is judged for good.
    fn answered_or_again(&mut self, exec: &Exec, worth: Worth, key: Key, out: &mut Vec<Incident>) {
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
    fn look_again(&mut self, process: ProcessId, out: &mut Vec<Incident>) {
        if !self.suspects.schedule(process, self.now) {
            self.give_up(process, out);
        }
    }

    /// Nothing more can be proved of a suspect by what its flow delivers. Who asks for the lowest findings hears of it as it is.
    fn give_up(&mut self, process: ProcessId, out: &mut Vec<Incident>) {
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
            || self.books.of_sockets(&sockets).is_some();
        let open = (!told).then(|| (suspect.exec.clone(), relay.clone()));
        if let Some(flow) = flow {
            self.flows.unwatch(flow, &mut self.wishes);
        }
        if let Some((exec, relay)) = open {
            let worth = relay.worth(&exec, false);
            let key = self.open_relayed(exec, worth, relay, out);
            if let Some(suspect) = self.suspects.get_mut(process) {
                suspect.joined = Some(key);
            }
        }
    }

    fn open_relayed(&mut self, exec: Exec, worth: Worth, relay: Relay, out: &mut Vec<Incident>) -> Key {
        let ties = Ties {
            process: exec.process,
            holder: None,
            sockets: relay.sockets().cloned().collect(),
        };
        let followed = worth.severity >= self.settings.min_severity;
        self.wishes.push(Wish::Session(exec.process, followed));
        let primary = relay.input.socket.clone();
        self.open(exec, judgement(worth, relay), &primary, &ties, out)
    }

    /// A command of a suspect whose way needs proof: was its text delivered? Then the suspect's incident is what the
    /// command belongs to.
    fn prove_by_command(
        &mut self,
        shell: ProcessId,
        command: &Exec,
        world: &dyn World,
        out: &mut Vec<Incident>,
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
    fn prove_by_text(&mut self, process: ProcessId, world: &dyn World, out: &mut Vec<Incident>) {
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
    fn prove_by_order(&mut self, process: ProcessId, world: &dyn World, out: &mut Vec<Incident>) {
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
        out: &mut Vec<Incident>,
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
                let key = match self.books.of_sockets(&ties.sockets) {
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
        let rose = self.books.get_mut(key)?.raise(severity, proof);
        if rose {
            self.say_if_severe(key, true, out);
        }
        Some(key)
    }

    /// A command whose parent holds connections: is it what one of them has just delivered?
    pub(super) fn popped(&mut self, exec: &Exec, session: Option<Key>, world: &dyn World) -> Option<Judgement> {
        let texts = wire::texts(exec);
        let mut found = None;
        for socket in held(exec) {
            let Some(flow) = Flow::of(socket) else { continue };
            let now = self.now;
            if let Some((id, gone)) = self.loops.make_room(flow) {
                self.forget_loop(id, gone.watched);
            }
            let known = self.loops.touch(flow, now);
            let delivery = if known.watched {
                world.delivered(flow, known.last, &texts)
            } else {
                Delivery::Unwatched
            };
            known.last = now;
            match delivery {
                Delivery::Command if !known.is_habit(&texts) => found = found.or(Some((socket, flow))),
                Delivery::Encrypted => known.hopeless = true,
                Delivery::Unwatched => {}
                _ => known.was_not_delivered(&texts),
            }
            let (watched, hopeless) = (known.watched, known.hopeless);
            if watched && hopeless {
                known.watched = false;
                self.flows.unwatch(flow, &mut self.wishes);
            } else if !watched && !hopeless {
                known.watched = self.flows.watch(flow, &mut self.wishes);
            }
        }
        let (socket, severity, proof) = match found {
            Some((socket, _)) => (socket, Severity::High, Proof::Delivered(Box::new(socket.clone()))),
            // What runs in a session belongs to it; below what is asked for, the loop itself remembers.
            None if session.is_some() || self.settings.min_severity > Severity::Low => return None,
            None => {
                let socket = held(exec).next()?;
                (socket, Severity::Low, Proof::Held(Box::new(socket.clone())))
            }
        };
        Some(Judgement {
            severity,
            technique: Technique::CommandLoop,
            direction: socket.direction,
            proof,
        })
    }

    /// A program that holds a connection runs what it delivers.
    pub(super) fn open_loop(&mut self, exec: Exec, judgement: Judgement, out: &mut Vec<Incident>) {
        let (Proof::Delivered(socket) | Proof::Held(socket)) = &judgement.proof else {
            return;
        };
        let socket = Socket::clone(socket);
        let Some((holder, flow)) = exec.parent().map(|parent| parent.process).zip(Flow::of(&socket)) else {
            return;
        };
        if self.is_excepted(&exec, &[], std::slice::from_ref(&socket), judgement.direction) {
            return;
        }
        let ties = Ties {
            process: exec.process,
            holder: Some(holder),
            sockets: vec![socket.clone()],
        };
        // A web shell has a new connection for each command: they are one takeover all the same.
        let known = self.loops.touch(flow, self.now);
        let known = known.key;
        let known = known.filter(|key| self.books.get(*key).is_some());
        // The connection may have an incident that its holder is not known to have a part in.
        if let Some(key) = known.or_else(|| self.books.of_sockets(&ties.sockets)) {
            return self.join_tied(key, exec, Some(judgement), &ties, out);
        }
        let key = self.open(exec, judgement, &socket, &ties, out);
        self.loops.touch(flow, self.now).key = Some(key);
    }

    /// Takes a command of an incident that is known by its parent.
    fn join(&mut self, key: Key, exec: Exec, judgement: Option<Judgement>, out: &mut Vec<Incident>) {
        let ties = Ties {
            process: exec.process,
            holder: None,
            sockets: Vec::new(),
        };
        self.join_tied(key, exec, judgement, &ties, out);
    }

    /// Somebody connects who may relay for a suspect.
    pub(super) fn connect(&mut self, world: &dyn World, out: &mut Vec<Incident>) {
        for process in self.suspects.open().into_iter().take(LOOKED_AGAIN_MAX) {
            self.look_at_suspect(process, false, world, out);
        }
    }

    /// Does what is due for suspects and loops.
    pub(super) fn tick_piped(&mut self, world: &dyn World, out: &mut Vec<Incident>) {
        while let Some(process) = self.suspects.due(self.now) {
            self.suspects.unschedule(process);
            self.look_at_suspect(process, false, world, out);
        }
        while let Some(id) = self.loops.idle(self.now) {
            if let Some(gone) = self.loops.remove(id) {
                self.forget_loop(id, gone.watched);
            }
        }
    }

    /// When that is due next.
    pub(super) fn next_piped(&self) -> Option<BootTime> {
        [self.suspects.next_timer(), self.loops.next_timer()]
            .into_iter()
            .flatten()
            .min()
    }

    fn forget_loop(&mut self, flow: LoopId, watched: bool) {
        if watched {
            self.flows.unwatch(flow, &mut self.wishes);
        }
    }

    /// Forgets a suspect: it ended, or executes something else now, or is excepted.
    pub(super) fn drop_suspect(&mut self, process: ProcessId) {
        if let Some(gone) = self.suspects.remove(process) {
            self.let_go(&gone);
            self.wishes.push(Wish::Session(process, false));
        }
    }

    /// Forgets a suspect whose session is followed further.
    fn drop_suspect_quietly(&mut self, process: ProcessId) {
        if let Some(gone) = self.suspects.remove(process) {
            self.let_go(&gone);
        }
    }

    fn let_go(&mut self, suspect: &Suspect) {
        if let Some((_, Some(flow))) = &suspect.unproven {
            self.flows.unwatch(*flow, &mut self.wishes);
        }
    }

    /// Opens an incident. The finding's id is derived from its primary socket.
    pub(super) fn open(
        &mut self,
        exec: Exec,
        judgement: Judgement,
        primary: &Socket,
        ties: &Ties,
        out: &mut Vec<Incident>,
    ) -> Key {
        self.make_room(out);
        let look_at = BootTime(self.now.0.saturating_add(LOOK_EVERY));
        let mut incident = Tracked::new(exec, judgement, look_at);
        incident.add_socket(primary);
        let key = self.books.insert(incident);
        self.books.tie(key, ties);
        self.say_if_severe(key, true, out);
        key
    }
}

fn judgement(worth: Worth, relay: Relay) -> Judgement {
    Judgement {
        severity: worth.severity,
        technique: worth.technique,
        direction: worth.direction,
        proof: Proof::Relay(Box::new(relay)),
    }
}

/// The connections that the parent has open: those that were looked for, and what it shares with the command.
fn held(exec: &Exec) -> impl Iterator<Item = &Socket> {
    let shared = exec.streams.iter().filter_map(Stream::socket);
    let shared = shared.filter(|socket| socket.has_peer() && socket.parent_fd.is_some());
    let mut seen = Vec::new();
    exec.held.iter().chain(shared).filter(move |socket| {
        let new = !seen.contains(&socket.inode);
        seen.push(socket.inode);
        new
    })
}

/// Whether none of the streams is a network socket.
pub(super) fn is_piped(exec: &Exec) -> bool {
    !exec.streams.iter().any(|stream| matches!(stream, Stream::Socket(_)))
}

/// Whether this is a shell that reads its commands from where another process can be.
pub(super) fn reads_from_somebody(exec: &Exec) -> bool {
    exec.streams[0].is_piped() && argv::reads_commands(exec)
}
