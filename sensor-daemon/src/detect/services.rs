//! The processes whose connection is meant to be theirs, so that what they run on it is no takeover.
//!
//! There are two kinds. A *server* has a connection that this host accepted on its streams, as a child of sshd or inetd
//! has: a command whose output goes to that connection is the server's answer, but a shell on it is still reported. An
//! *excepted* program matched an exception, which covers all that runs on its connection.
//!
//! Bounded. Dead processes are evicted first: most ends are reported, but a flood can hide them.

use std::collections::{HashMap, VecDeque};

use crate::model::{Exec, ProcessId, Socket, Stream};

use super::inspector::Inspector;

/// Most services remembered.
pub(super) const SERVICES_MAX: usize = 4096;
/// Most processes asked about in one eviction; each question may cost a look into `/proc`.
const ASKED_MAX: usize = 16;

/// Why a process may have its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It serves a connection that this host accepted.
    Serves,
    /// An exception holds for it.
    Excepted,
}

#[derive(Debug)]
struct Service {
    reason: Reason,
    /// Inode numbers of the sockets on its standard streams.
    sockets: [Option<u64>; 3],
}

/// Which process has which sockets, and why.
#[derive(Debug, Default)]
pub(super) struct Services {
    known: HashMap<ProcessId, Service>,
    /// In the order in which they came; may name processes that are gone.
    order: VecDeque<ProcessId>,
    evicted: u64,
}

impl Services {
    /// Remembers the process that `exec` started.
    pub(super) fn insert(&mut self, exec: &Exec, reason: Reason, inspector: &dyn Inspector) {
        let sockets = exec
            .streams
            .each_ref()
            .map(|stream| stream.socket().map(|socket| socket.inode));
        if self.known.insert(exec.process, Service { reason, sockets }).is_some() {
            return;
        }
        self.order.push_back(exec.process);
        // Twice the bound: the queue also names processes that ended since.
        while self.known.len() > SERVICES_MAX || self.order.len() > 2 * SERVICES_MAX {
            self.evict(inspector);
        }
    }

    /// Evicts a process that has ended, else the oldest of those asked about.
    fn evict(&mut self, inspector: &dyn Inspector) {
        for asked in 0..=ASKED_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            if !self.known.contains_key(&oldest) {
                return;
            }
            let lives = inspector.is_alive(oldest);
            if lives && asked < ASKED_MAX {
                self.order.push_back(oldest);
                continue;
            }
            self.known.remove(&oldest);
            self.evicted += u64::from(lives);
            return;
        }
    }

    /// Invalidates what is known of a process: it ended, or executes something else now.
    pub(super) fn remove(&mut self, process: ProcessId) {
        self.known.remove(&process);
    }

    /// Whether something is known of this process.
    pub(super) fn contains(&self, process: ProcessId) -> bool {
        self.known.contains_key(&process)
    }

    /// Whether one of the processes above `exec` has this socket for a service.
    pub(super) fn serve(&self, exec: &Exec, socket: &Socket) -> bool {
        self.above(exec, socket.inode, |_| true)
    }

    /// Whether an exception that holds for a process above `exec` covers all of its sockets.
    pub(super) fn cover(&self, exec: &Exec) -> bool {
        let mut sockets = exec.streams.iter().filter_map(Stream::socket).peekable();
        sockets.peek().is_some()
            && sockets.all(|socket| self.above(exec, socket.inode, |reason| reason == Reason::Excepted))
    }

    fn above(&self, exec: &Exec, inode: u64, is_wanted: impl Fn(Reason) -> bool) -> bool {
        exec.ancestors.iter().any(|ancestor| {
            self.known
                .get(&ancestor.process)
                .is_some_and(|service| is_wanted(service.reason) && service.sockets.contains(&Some(inode)))
        })
    }

    /// How many living services were evicted because there were too many.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len().max(self.order.len() / 2)
    }
}
