//! Command loops: programs that hold a connection and run what it delivers, such as a web shell or an agent.
//!
//! The problem: no shell is on the connection. A program reads it, runs a command, and sends back what that printed. A
//! monitoring agent also runs commands beside a connection, but they are its own.
//!
//! The design: the first command that is run beside a connection has the connection's flow watched. Each later command is
//! held against what the flow delivered since the command before it. A loop is known by its flow, since whoever runs the
//! command may be a new process each time: a subshell, or a worker of a server. Three rules keep matches by chance away:
//!
//! - What was delivered before the previous command counts no more.
//! - A text that ran without having been delivered is the program's habit, and never matches later.
//! - After 50 commands that were not delivered, or with ciphertext, the flow is watched no more until the loop was idle for
//!   two minutes.
//!
//! Example: an agent runs `df -h` at 1 s, and its flow is watched. At 60 s it runs `df -h` again, and nothing was
//! delivered: `df -h` is a habit. At 61 s the flow delivers `id`, at 61.01 s the agent runs `id`: HIGH. At 62 s the flow
//! delivers `df -h` and the agent runs it: no match.
//!
//! Bounded; evicts the loop that was idle for longest.

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use crate::model::{BootTime, Exec, Flow, Socket, Stream, Text};

use super::{
    incident::Ties,
    incidents::Incidents,
    index::Key,
    inspector::Inspector,
    judgement::{Judgement, Proof},
    snapshot::{Severity, Technique},
    wire::{self, Delivery},
};

/// How long a loop that runs nothing is remembered, and its flow watched, in nanoseconds.
pub(super) const IDLE: u64 = 120 * 1_000_000_000;
/// Texts remembered as a program's own habit.
const HABITS_MAX: usize = 64;
/// Commands that were not delivered after which a flow is watched no more.
const UNDELIVERED_MAX: u32 = 50;
/// Most loops remembered.
pub(super) const LOOPS_MAX: usize = 512;

/// What is known of a loop.
#[derive(Debug, Default)]
struct Loop {
    /// Its incident, open or ended.
    key: Option<Key>,
    /// Its flow is watched for it.
    watched: bool,
    /// It is of no use to watch it.
    hopeless: bool,
    /// When its last command ran.
    last: BootTime,
    undelivered: u32,
    habits: VecDeque<u64>,
    until: BootTime,
}

impl Loop {
    /// Whether the program ran one of these before without its having been delivered.
    fn is_habit(&self, texts: &[Text]) -> bool {
        texts.iter().any(|text| self.habits.contains(&hash(text)))
    }

    /// A command ran that nobody delivered.
    fn was_not_delivered(&mut self, texts: &[Text]) {
        self.undelivered += 1;
        self.hopeless |= self.undelivered >= UNDELIVERED_MAX;
        for hash in texts.iter().map(hash) {
            if !self.habits.contains(&hash) {
                self.habits.push_back(hash);
            }
        }
        while self.habits.len() > HABITS_MAX {
            self.habits.pop_front();
        }
    }
}

/// Hashes a text. The hash never leaves memory, so it may differ in another process.
fn hash(text: &Text) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.as_bytes().hash(&mut hasher);
    hasher.finish()
}

/// All loops, by their flow.
#[derive(Debug, Default)]
pub(super) struct CommandLoops {
    known: HashMap<Flow, Loop>,
    timers: BTreeSet<(BootTime, Flow)>,
}

impl CommandLoops {
    /// Judges a command whose parent holds connections: is it what one of them has just delivered? `session` is the
    /// incident that the command belongs to in any case.
    pub(super) fn judge(
        &mut self,
        exec: &Exec,
        session: Option<Key>,
        inspector: &dyn Inspector,
        incidents: &mut Incidents,
    ) -> Option<Judgement> {
        let texts = wire::texts(exec);
        let now = incidents.now();
        let mut delivered = None;
        for socket in held_by_parent(exec) {
            let Some(flow) = Flow::of(socket) else { continue };
            self.make_room(flow, incidents);
            let known = self.touch(flow, now);
            let delivery = if known.watched {
                inspector.delivered(flow, known.last, &texts)
            } else {
                Delivery::Unwatched
            };
            known.last = now;
            match delivery {
                Delivery::Command if !known.is_habit(&texts) => delivered = delivered.or(Some(socket)),
                Delivery::Encrypted => known.hopeless = true,
                Delivery::Unwatched => {}
                _ => known.was_not_delivered(&texts),
            }
            if known.watched && known.hopeless {
                known.watched = false;
                incidents.requests.unwatch(flow);
            } else if !known.watched && !known.hopeless {
                known.watched = incidents.requests.watch(flow);
            }
        }
        let (severity, socket, proof) = match delivered {
            Some(socket) => (Severity::High, socket, Proof::Delivered(Box::new(socket.clone()))),
            // What runs in a session belongs to it; below what is reported, the loop itself is memory enough.
            None if session.is_some() || !incidents.reports(Severity::Low) => return None,
            None => {
                let socket = held_by_parent(exec).next()?;
                (Severity::Low, socket, Proof::ParentHolds(Box::new(socket.clone())))
            }
        };
        Some(Judgement {
            severity,
            technique: Technique::CommandLoop,
            direction: socket.direction,
            proof,
        })
    }

    /// Opens the incident of a loop, or adds the command to it.
    pub(super) fn open(&mut self, exec: Exec, judgement: Judgement, incidents: &mut Incidents) {
        let (Proof::Delivered(socket) | Proof::ParentHolds(socket)) = &judgement.proof else {
            return;
        };
        let socket = Socket::clone(socket);
        let Some((holder, flow)) = exec.parent().map(|parent| parent.process).zip(Flow::of(&socket)) else {
            return;
        };
        if incidents.is_excepted(&exec, &[], std::slice::from_ref(&socket), judgement.direction) {
            return;
        }
        let ties = Ties {
            process: exec.process,
            holder: Some(holder),
            sockets: vec![socket.clone()],
        };
        let now = incidents.now();
        // A web shell has a new connection for each command: they are one takeover all the same.
        let known = self.touch(flow, now).key;
        let known = known.filter(|key| incidents.severity(*key).is_some());
        // The connection may have an incident that its holder is not known to have a part in.
        if let Some(key) = known.or_else(|| incidents.of_sockets(&ties.sockets)) {
            return incidents.join_tied(key, exec, Some(judgement), &ties);
        }
        let key = incidents.open(exec, judgement, &socket, &ties);
        self.touch(flow, now).key = Some(key);
    }

    /// Evicts the loops that have run nothing for long.
    pub(super) fn tick(&mut self, incidents: &mut Incidents) {
        while let Some(&(at, flow)) = self.timers.first()
            && at <= incidents.now()
        {
            self.evict(flow, incidents);
        }
    }

    /// When [`CommandLoops::tick`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<BootTime> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// The source does not watch this flow. It is not asked again until the loop was idle.
    pub(super) fn watch_denied(&mut self, flow: Flow) {
        if let Some(known) = self.known.get_mut(&flow) {
            known.watched = false;
            known.hopeless = true;
        }
    }

    /// The loop, new if need be, that runs something at `now`.
    fn touch(&mut self, flow: Flow, now: BootTime) -> &mut Loop {
        let known = self.known.entry(flow).or_default();
        self.timers.remove(&(known.until, flow));
        known.until = now.after(IDLE);
        self.timers.insert((known.until, flow));
        known
    }

    fn make_room(&mut self, flow: Flow, incidents: &mut Incidents) {
        if self.known.len() >= LOOPS_MAX
            && !self.known.contains_key(&flow)
            && let Some(&(_, oldest)) = self.timers.first()
        {
            self.evict(oldest, incidents);
        }
    }

    fn evict(&mut self, flow: Flow, incidents: &mut Incidents) {
        if let Some(known) = self.known.remove(&flow) {
            self.timers.remove(&(known.until, flow));
            if known.watched {
                incidents.requests.unwatch(flow);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.known.len(), self.timers.len());
        self.known.len()
    }
}

/// The connections that the parent has open: those that were looked for, and what it shares with the command.
fn held_by_parent(exec: &Exec) -> impl Iterator<Item = &Socket> {
    let shared = exec.streams.iter().filter_map(Stream::socket);
    let shared = shared.filter(|socket| socket.has_peer() && socket.parent_fd.is_some());
    let mut seen = Vec::new();
    exec.held.iter().chain(shared).filter(move |socket| {
        let new = !seen.contains(&socket.inode);
        seen.push(socket.inode);
        new
    })
}
