//! The processes that were found to serve a connection this host accepted, so that what they run is not taken for an
//! intruder's commands. Bounded; forgets the oldest.

use std::collections::{HashMap, VecDeque};

use crate::model::{Exec, ProcessId, Socket};

/// Most services remembered.
const SERVICES_MAX: usize = 4096;

/// Which process serves which sockets.
#[derive(Debug, Default)]
pub(super) struct Services {
    sockets: HashMap<ProcessId, [Option<u64>; 3]>,
    /// In the order in which they came; may name processes that are gone.
    order: VecDeque<ProcessId>,
}

impl Services {
    /// Remembers the process that `exec` started as one that serves its sockets.
    pub(super) fn insert(&mut self, exec: &Exec) {
        let sockets = exec
            .streams
            .each_ref()
            .map(|stream| stream.socket().map(|socket| socket.inode));
        if self.sockets.insert(exec.process, sockets).is_some() {
            return;
        }
        self.order.push_back(exec.process);
        // Twice the bound: the queue also names processes that ended since.
        while self.sockets.len() > SERVICES_MAX || self.order.len() > 2 * SERVICES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.sockets.remove(&oldest);
        }
    }

    /// Forgets a process: it ended, or executes something else now.
    pub(super) fn remove(&mut self, process: ProcessId) {
        self.sockets.remove(&process);
    }

    /// Whether this process serves a connection.
    pub(super) fn contains(&self, process: ProcessId) -> bool {
        self.sockets.contains_key(&process)
    }

    /// Whether one of the processes above `exec` serves this socket.
    pub(super) fn serve(&self, exec: &Exec, socket: &Socket) -> bool {
        exec.ancestors.iter().any(|ancestor| {
            self.sockets
                .get(&ancestor.process)
                .is_some_and(|sockets| sockets.contains(&Some(socket.inode)))
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sockets.len().max(self.order.len() / 2)
    }
}
