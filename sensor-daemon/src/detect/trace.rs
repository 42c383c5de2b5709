//! Follows a stream from process to process until a network socket is found. Asks [`Inspector`] who holds the other end; takes
//! nothing else from outside.
//!
//! Bounded: a machine's processes are connected with each other in many ways (a message bus with everybody), so a way of
//! more than a few hops, or through a process with many of them, is no evidence of anything.

use crate::model::{Descriptor, Holder, Hop, Onward, ProcessId, Route, Socket, Stream};

use super::Inspector;

/// Most processes in a row.
const HOPS_MAX: usize = 5;
/// Most processes looked at for one stream.
const LOOKED_MAX: usize = 64;
/// A process with more pipes, terminals and UNIX sockets than this is not followed through: it serves many.
const WAYS_MAX: usize = 24;

/// Which way bytes go through a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the shell.
    In,
    /// From the shell.
    Out,
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
pub(super) fn trace(process: ProcessId, stream: &Stream, way: Way, world: &dyn Inspector) -> Traced {
    let mut traced = Traced::default();
    if let Stream::Socket(socket) = stream {
        if socket.has_peer() {
            traced.route = Some(Route {
                hops: Vec::new(),
                socket: socket.clone(),
                fd: u32::from(way == Way::Out),
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
            for holder in world.opposite(&stream) {
                if seen.contains(&holder.process) || seen.len() > LOOKED_MAX {
                    continue;
                }
                let Some(arrival) = arrival(&holder, &stream, way) else {
                    continue;
                };
                seen.push(holder.process);
                traced.met.push(holder.process);
                let through = |fd, onward: &Stream| {
                    let mut hops = hops.clone();
                    hops.push(hop(&holder, arrival, fd, onward));
                    hops
                };
                if let Some((fd, socket, connections)) = connection(&holder, way) {
                    let hops = through(fd, &Stream::Socket(socket.clone()));
                    traced.route = Some(Route {
                        hops,
                        socket,
                        fd,
                        connections,
                    });
                    return traced;
                }
                next.extend(onward(&holder, arrival, way).map(|onward| {
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
fn arrival<'a>(holder: &'a Holder, stream: &Stream, way: Way) -> Option<&'a Descriptor> {
    holder.descriptors.iter().find(|descriptor| {
        let opposite = match (stream, &descriptor.stream) {
            (Stream::Pipe { inode }, Stream::Pipe { inode: other }) => inode == other,
            (Stream::Fifo { inode, fs }, Stream::Fifo { inode: other, fs: on }) => (inode, fs) == (other, on),
            (Stream::Unix { peer, .. }, Stream::Unix { inode, .. }) => *peer == Some(*inode),
            (Stream::Terminal { inode, fs, .. }, Stream::TerminalMaster { slave, fs: on }) => {
                (inode, fs) == (slave, on)
            }
            (Stream::TerminalMaster { slave, fs }, Stream::Terminal { inode, fs: on, .. }) => {
                (slave, fs) == (inode, on)
            }
            _ => false,
        };
        opposite && may_pass(descriptor, way)
    })
}

/// Whether bytes that go our way can go through this descriptor: who feeds a shell writes to its pipe.
fn may_pass(descriptor: &Descriptor, way: Way) -> bool {
    match way {
        Way::In => descriptor.write,
        Way::Out => descriptor.read,
    }
}

/// The network connection that `holder` would pass bytes on through: one of its standard streams, else one to another
/// machine, else the first. And how many it has.
fn connection(holder: &Holder, way: Way) -> Option<(u32, Socket, usize)> {
    let passes = |descriptor: &&Descriptor| match way {
        Way::In => descriptor.read,
        Way::Out => descriptor.write,
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
fn onward<'a>(holder: &'a Holder, arrival: &'a Descriptor, way: Way) -> impl Iterator<Item = &'a Descriptor> {
    let serves_many = holder.descriptors.len() > WAYS_MAX;
    holder
        .descriptors
        .iter()
        .filter(move |descriptor| !serves_many && descriptor.stream != arrival.stream)
        .filter(move |descriptor| match descriptor.stream {
            Stream::Pipe { .. } | Stream::Fifo { .. } | Stream::Unix { .. } => match way {
                Way::In => descriptor.read,
                Way::Out => descriptor.write,
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
