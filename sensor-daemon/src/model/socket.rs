//! A socket with a network peer.

use std::{fmt, net::SocketAddr};

use sensor_common::tcp_state;
use serde::{Deserialize, Serialize};

/// A socket with a network peer, or one that could have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Socket {
    /// Inode number: what `/proc/PID/fd` shows, and what tells sockets apart while they live.
    pub inode: u64,
    /// The kernel's cookie of it (`SO_COOKIE`), where it has given one.
    pub cookie: Option<u64>,
    /// Network namespace (inode number).
    pub netns: u32,
    /// Transport protocol.
    pub transport: Transport,
    /// Connection state.
    pub state: SocketState,
    /// Who opened the connection.
    pub direction: Direction,
    /// This host's end. IPv4-mapped IPv6 addresses are given as IPv4.
    pub local: Endpoint,
    /// The peer.
    pub remote: Endpoint,
    /// Bytes received so far; `None` where the transport does not count them.
    pub bytes_received: Option<u64>,
    /// Bytes sent so far, likewise.
    pub bytes_sent: Option<u64>,
    /// The parent's descriptor that is the same open file, if it has one.
    pub parent_fd: Option<u32>,
}

impl Socket {
    /// Whether a peer can send or receive through it.
    ///
    /// For a moment a TCP socket asks a peer and has no port itself (`tcp_v4_connect` of net/ipv4/tcp_ipv4.c changes the state
    /// first): whoever sees that can't name the connection, and has to look again.
    #[must_use]
    pub fn has_peer(&self) -> bool {
        match self.state {
            SocketState::Connected => true,
            SocketState::Connecting => !matches!(self.local, Endpoint::Ip(local) if local.port() == 0),
            SocketState::Unconnected | SocketState::Listening => false,
        }
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// IPv4 or IPv6.
    Ip(SocketAddr),
    /// Virtual machine socket: context id and port.
    Vsock {
        /// Context id (2 is the hypervisor's host).
        cid: u32,
        /// Port.
        port: u32,
    },
}

impl Endpoint {
    /// Whether it is on this host's loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(addr) => addr.ip().is_loopback(),
            Self::Vsock { cid, .. } => *cid == 1,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
        }
    }
}

/// Transport protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transport {
    /// TCP, multipath TCP included.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// DCCP.
    Dccp,
    /// Virtual machine socket.
    Vsock,
    /// Another; its protocol number.
    Other(u16),
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("TCP"),
            Self::Udp => f.write_str("UDP"),
            Self::Sctp => f.write_str("SCTP"),
            Self::Dccp => f.write_str("DCCP"),
            Self::Vsock => f.write_str("vsock"),
            Self::Other(protocol) => write!(f, "IP protocol {protocol}"),
        }
    }
}

/// State of a socket, as far as the rule cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SocketState {
    /// Has no peer: never connected, or over.
    Unconnected,
    /// Asked a peer and waits for its answer.
    Connecting,
    /// Has a peer, half-closed connections included.
    Connected,
    /// Waits for peers.
    Listening,
}

impl SocketState {
    /// The state of this number, one of [`tcp_state`]. A connection of which one side has finished sending still carries
    /// the other direction, so it counts as connected.
    #[must_use]
    pub fn of_tcp(state: u8) -> Self {
        match state {
            _ if tcp_state::is_connected(state) => Self::Connected,
            tcp_state::SYN_SENT => Self::Connecting,
            tcp_state::LISTEN => Self::Listening,
            _ => Self::Unconnected,
        }
    }
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// This host connected.
    Outbound,
    /// This host accepted.
    Inbound,
    /// Not known: the connection is older than the sensor and nothing tells.
    Unknown,
}
