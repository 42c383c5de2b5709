//! The engine's part for programs that hold a connection and run commands: is a command what the connection has just delivered?

use crate::model::{Exec, Flow, Socket, Stream};

use super::{
    Delivery, Engine, Inspector, Severity, Snapshot, Technique,
    incident::Ties,
    index::Key,
    judgement::{Judgement, Proof},
    loops::LoopId,
    wire,
};

impl Engine {
    /// A command whose parent holds connections: is it what one of them has just delivered?
    pub(super) fn popped(&mut self, exec: &Exec, session: Option<Key>, world: &dyn Inspector) -> Option<Judgement> {
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
                self.flows.unwatch(flow, &mut self.requests);
            } else if !watched && !hopeless {
                known.watched = self.flows.watch(flow, &mut self.requests);
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
    pub(super) fn open_loop(&mut self, exec: Exec, judgement: Judgement, out: &mut Vec<Snapshot>) {
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
        let known = known.filter(|key| self.index.get(*key).is_some());
        // The connection may have an incident that its holder is not known to have a part in.
        if let Some(key) = known.or_else(|| self.index.of_sockets(&ties.sockets)) {
            return self.join_tied(key, exec, Some(judgement), &ties, out);
        }
        let key = self.open(exec, judgement, &socket, &ties, out);
        self.loops.touch(flow, self.now).key = Some(key);
    }

    /// Lets go of the loops that have run nothing for long.
    pub(super) fn forget_idle_loops(&mut self) {
        while let Some(id) = self.loops.idle(self.now) {
            if let Some(gone) = self.loops.remove(id) {
                self.forget_loop(id, gone.watched);
            }
        }
    }

    fn forget_loop(&mut self, flow: LoopId, watched: bool) {
        if watched {
            self.flows.unwatch(flow, &mut self.requests);
        }
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
