//! Follows a stream from process to process until a network socket is found. Asks [`Inspector`] who holds the other end; takes
//! nothing else from outside.
//!
//! Example: `sh` reads pipe 5. `tee` can write into pipe 5 and reads pipe 6. `nc` can write into pipe 6 and holds a connection:
//! the route to the shell's input is tee, nc, connection.
//!
//! Bounded: a message bus connects every process with every other, so a route of more than a few hops, or through a process
//! with many streams, is no evidence.

use crate::model::{Descriptor, Holder, Hop, Onward, ProcessId, Route, Socket, Stream};

use super::inspector::Inspector;

/// Most processes in a row.
const HOPS_MAX: usize = 5;
/// Most processes looked at for one stream.
const LOOKED_MAX: usize = 64;
/// A process with more pipes, terminals and UNIX sockets than this is not followed through: it serves many.
const WAYS_MAX: usize = 24;

/// Where the bytes of a stream go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Toward {
    /// From the peer to the shell.
    Shell,
    /// From the shell to the peer.
    Peer,
}

/// What following a stream came upon.
#[derive(Debug, Default)]
pub(super) struct Traced {
    /// The shortest way to a network socket.
    pub(super) route: Option<Route>,
    /// Who was met on the way: whoever of them connects later may complete it.
    pub(super) met: Vec<ProcessId>,
}

/// Follows `stream` of `process`.
pub(super) fn trace(process: ProcessId, stream: &Stream, toward: Toward, inspector: &dyn Inspector) -> Traced {
    let mut traced = Traced::default();
    if let Stream::Socket(socket) = stream {
        if socket.has_peer() {
            traced.route = Some(Route {
                hops: Vec::new(),
                socket: socket.clone(),
                fd: u32::from(toward == Toward::Peer),
                connections: 1,
            });
        }
        return traced;
    }
    // Breadth first, so that the shortest way is found.
    let mut front: Vec<(Stream, Vec<Hop>)> = vec![(stream.clone(), Vec::new())];
    let mut seen = vec![process];
    for _ in 0..HOPS_MAX {
        let mut next = Vec::new();
        for (stream, hops) in front {
            for holder in inspector.opposite(&stream) {
                if seen.contains(&holder.process) || seen.len() > LOOKED_MAX {
                    continue;
                }
                let Some(arrival) = arrival(&holder, &stream, toward) else {
                    continue;
                };
                seen.push(holder.process);
                traced.met.push(holder.process);
                let through = |fd, onward: &Stream| {
                    let mut hops = hops.clone();
                    hops.push(hop(&holder, arrival, fd, onward));
                    hops
                };
                if let Some((fd, socket, connections)) = connection(&holder, toward) {
                    let hops = through(fd, &Stream::Socket(socket.clone()));
                    traced.route = Some(Route {
                        hops,
                        socket,
                        fd,
                        connections,
                    });
                    return traced;
                }
                next.extend(onward(&holder, arrival, toward).map(|onward| {
                    let hops = through(onward.fd, &onward.stream);
                    (onward.stream.clone(), hops)
                }));
            }
        }
        front = next;
    }
    traced
}

/// The descriptor at which `holder` has the other end of `stream`, open in the right direction.
fn arrival<'a>(holder: &'a Holder, stream: &Stream, toward: Toward) -> Option<&'a Descriptor> {
    let mut descriptors = holder.descriptors.iter();
    descriptors.find(|descriptor| descriptor.stream.is_opposite_of(stream) && may_pass(descriptor, toward))
}

/// Whether bytes that go our way can go through this descriptor: who feeds a shell writes to its pipe.
fn may_pass(descriptor: &Descriptor, toward: Toward) -> bool {
    match toward {
        Toward::Shell => descriptor.write,
        Toward::Peer => descriptor.read,
    }
}

/// The network connection that `holder` would pass bytes on through: one of its standard streams, else one to another
/// machine, else the first. And how many it has.
fn connection(holder: &Holder, toward: Toward) -> Option<(u32, Socket, usize)> {
    let passes = |descriptor: &&Descriptor| match toward {
        Toward::Shell => descriptor.read,
        Toward::Peer => descriptor.write,
    };
    let mut connections: Vec<(u32, &Socket)> = Vec::new();
    for descriptor in holder.descriptors.iter().filter(passes) {
        if let Stream::Socket(socket) = &descriptor.stream
            && socket.has_peer()
            && connections.iter().all(|(_, other)| other.inode != socket.inode)
        {
            connections.push((descriptor.fd, socket));
        }
    }
    connections
        .iter()
        .min_by_key(|(fd, socket)| (*fd > 2, socket.remote.is_loopback(), *fd))
        .map(|&(fd, socket)| (fd, socket.clone(), connections.len()))
}

/// Where bytes that `holder` passes on come from, or go to.
fn onward<'a>(holder: &'a Holder, arrival: &'a Descriptor, toward: Toward) -> impl Iterator<Item = &'a Descriptor> {
    let serves_many = holder.descriptors.len() > WAYS_MAX;
    holder
        .descriptors
        .iter()
        .filter(move |descriptor| !serves_many && descriptor.stream != arrival.stream)
        .filter(move |descriptor| match descriptor.stream {
            Stream::Pipe { .. } | Stream::Fifo { .. } | Stream::Unix { .. } => match toward {
                Toward::Shell => descriptor.read,
                Toward::Peer => descriptor.write,
            },
            // A program reads its terminal by its standard streams.
            Stream::Terminal { .. } => descriptor.fd <= 2,
            _ => false,
        })
}

/// `holder` as it passes bytes between `arrival` and `onward`, which it has as descriptor `fd`.
fn hop(holder: &Holder, arrival: &Descriptor, fd: u32, onward: &Stream) -> Hop {
    Hop {
        process: holder.process,
        comm: holder.comm.clone(),
        path: holder.path.clone(),
        host_path: holder.host_path,
        program: holder.program.clone(),
        parent: holder.parent,
        fd: arrival.fd,
        kind: arrival.stream.kind().to_owned(),
        inode: arrival.stream.inode().unwrap_or_default(),
        onward: Onward {
            fd,
            kind: onward.kind().to_owned(),
            inode: onward.inode().unwrap_or_default(),
        },
    }
}
