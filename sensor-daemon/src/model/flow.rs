//! A conversation that outlives its connections: what is watched for commands that it delivers.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::{Direction, Endpoint, Socket, Transport};

/// All that one peer sends (its address and port), or all that comes to one local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// The peer's address, IPv4 ones mapped; `None` for whoever talks to the local port.
    pub remote: Option<Ipv6Addr>,
    /// The peer's port, else the local one.
    pub port: u16,
    /// `IPPROTO_*`.
    pub protocol: u8,
}

impl Flow {
    /// The flow that a connection belongs to. `None` for a transport that is not sampled.
    #[must_use]
    pub fn of(socket: &Socket) -> Option<Self> {
        let protocol = match socket.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            _ => return None,
        };
        let (Endpoint::Ip(local), Endpoint::Ip(remote)) = (socket.local, socket.remote) else {
            return None;
        };
        Some(if socket.direction == Direction::Inbound {
            Self {
                remote: None,
                port: local.port(),
                protocol,
            }
        } else {
            let address = match remote.ip() {
                std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                std::net::IpAddr::V6(ip) => ip,
            };
            Self {
                remote: Some(address),
                port: remote.port(),
                protocol,
            }
        })
    }
}
