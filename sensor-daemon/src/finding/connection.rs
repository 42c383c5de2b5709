//! What every format says of a connection: its ends in the order in which it was opened, and its numbers and words.

use std::net::{IpAddr, SocketAddr};

use crate::{
    detect::Snapshot,
    model::{Direction, Endpoint, Socket, Transport},
};

/// The two ends of a connection, the one that opened it first.
pub(super) fn ends(socket: &Socket) -> (Endpoint, Endpoint) {
    match socket.direction {
        Direction::Inbound => (socket.remote, socket.local),
        Direction::Outbound | Direction::Unknown => (socket.local, socket.remote),
    }
}

/// Likewise of an IP connection; `None` for another kind.
pub(super) fn source_and_destination(socket: &Socket) -> Option<(SocketAddr, SocketAddr)> {
    match ends(socket) {
        (Endpoint::Ip(source), Endpoint::Ip(destination)) => Some((source, destination)),
        _ => None,
    }
}

/// The addresses of the peers, each once and with the direction of its first connection. An address that means this host itself on
/// every host is nothing to search for or to block, and is left out.
pub(super) fn peers(incident: &Snapshot) -> Vec<(IpAddr, Direction)> {
    let mut peers: Vec<(IpAddr, Direction)> = Vec::new();
    for socket in &incident.sockets {
        if let Endpoint::Ip(peer) = socket.remote
            && !peer.ip().is_loopback()
            && peers.iter().all(|(known, _)| *known != peer.ip())
        {
            peers.push((peer.ip(), socket.direction));
        }
    }
    peers
}

pub(crate) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Outbound => "outbound",
        Direction::Inbound => "inbound",
        Direction::Unknown => "unknown",
    }
}

/// 4 or 6.
pub(super) fn ip_version(socket: &Socket) -> Option<u8> {
    match socket.remote {
        Endpoint::Ip(address) => Some(if address.is_ipv4() { 4 } else { 6 }),
        Endpoint::Vsock { .. } => None,
    }
}

/// As the Internet's registry numbers it.
pub(super) fn protocol_number(transport: Transport) -> Option<u16> {
    match transport {
        Transport::Tcp => Some(6),
        Transport::Udp => Some(17),
        Transport::Dccp => Some(33),
        Transport::Sctp => Some(132),
        Transport::Other(number) => Some(number),
        Transport::Vsock => None,
    }
}
