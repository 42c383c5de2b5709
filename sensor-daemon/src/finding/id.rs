//! The id of a finding.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use crate::{
    detect::Snapshot,
    model::{Endpoint, Host, Socket, Transport},
};

/// The id of the finding that an incident on this machine is: 32 lowercase hexadecimal digits.
///
/// Made of machine, boot and primary socket, and of no process: a sensor that is started again in the middle of an
/// incident may meet another process of it first, and still finds the same id. (An exception: where input and output
/// are two sockets, and the first evidence before or after the restart shows only one of them.)
#[must_use]
pub fn finding_id(incident: &Snapshot, host: &Host) -> String {
    let mut hash = Sha256::new();
    // Each variable part with its length, so that no two sets of parts give the same bytes.
    for part in [&host.machine_id, &host.boot_id] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    if let Some(Socket {
        inode,
        netns,
        transport,
        local,
        remote,
        ..
    }) = incident.primary()
    {
        hash.update(netns.to_le_bytes());
        hash.update(inode.to_le_bytes());
        hash.update(transport_number(*transport).to_le_bytes());
        for endpoint in [local, remote] {
            hash.update(endpoint_bytes(endpoint));
        }
    }
    hash.finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Fixed for all time: ids depend on it.
fn transport_number(transport: Transport) -> u32 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Dccp => 33,
        Transport::Sctp => 132,
        Transport::Vsock => 1 << 16,
        Transport::Other(protocol) => 2 << 16 | u32::from(protocol),
    }
}

/// Family, address and port, at a fixed width.
fn endpoint_bytes(endpoint: &Endpoint) -> [u8; 21] {
    let mut bytes = [0; 21];
    let port = match endpoint {
        Endpoint::Ip(SocketAddr::V4(addr)) => {
            bytes[0] = 4;
            bytes[1..5].copy_from_slice(&addr.ip().octets());
            u32::from(addr.port())
        }
        Endpoint::Ip(SocketAddr::V6(addr)) => {
            bytes[0] = 6;
            bytes[1..17].copy_from_slice(&addr.ip().octets());
            u32::from(addr.port())
        }
        Endpoint::Vsock { cid, port } => {
            bytes[0] = 40;
            bytes[1..5].copy_from_slice(&cid.to_be_bytes());
            *port
        }
    };
    bytes[17..].copy_from_slice(&port.to_be_bytes());
    bytes
}
