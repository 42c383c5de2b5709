//! What an event is based on: shell, connections and relays, and what of them is worth a search elsewhere.

use serde_json::{Value, json};

use super::process;
use crate::{
    detect::Snapshot,
    finding::{bounds, clip, connection},
    model::{Context, Direction, Endpoint, Host, Socket},
};

pub(super) fn evidences(incident: &Snapshot, host: &Host, context: &Context) -> Vec<Value> {
    let mut sockets = incident.sockets.iter();
    let mut shell = sockets.next().map_or_else(|| json!({}), of_socket);
    shell["name"] = "shell".into();
    shell["process"] = process::of_shell(&incident.shell, host, context);
    let mut evidences = vec![shell];
    for relay in incident.relays.iter().take(bounds::OCSF_RELAYS) {
        evidences.push(json!({ "name": "relay", "process": process::of_relay(relay, host) }));
    }
    for socket in sockets {
        let mut connection = of_socket(socket);
        connection["name"] = "connection".into();
        evidences.push(connection);
    }
    evidences
}

fn of_socket(socket: &Socket) -> Value {
    let (source, destination) = connection::ends(socket);
    json!({
        "connection_info": {
            "direction_id": match socket.direction {
                Direction::Inbound => 1,
                Direction::Outbound => 2,
                Direction::Unknown => 0,
            },
            "direction": connection::direction(socket.direction),
            "boundary_id": socket.remote.is_loopback().then_some(1),
            "boundary": socket.remote.is_loopback().then_some("Localhost"),
            "protocol_num": connection::protocol_number(socket.transport),
            "protocol_name": socket.transport.to_string().to_lowercase(),
            "protocol_ver_id": connection::ip_version(socket),
            "uid": socket.inode.to_string(),
        },
        "src_endpoint": endpoint(source),
        "dst_endpoint": endpoint(destination),
    })
}

fn endpoint(endpoint: Endpoint) -> Value {
    match endpoint {
        Endpoint::Ip(address) => json!({ "ip": address.ip().to_string(), "port": address.port() }),
        // Its ports are longer than the schema's.
        Endpoint::Vsock { .. } => json!({ "uid": endpoint.to_string() }),
    }
}

/// What to search elsewhere for: the peers and the file.
pub(super) fn observables(incident: &Snapshot, context: &Context) -> Vec<Value> {
    let peers = connection::peers(incident).into_iter();
    let mut observables: Vec<Value> = peers
        .map(|(peer, direction)| {
            let end = if direction == Direction::Inbound { "src" } else { "dst" };
            json!({
                "name": format!("evidences[].{end}_endpoint.ip"),
                "type_id": 2,
                "type": "IP Address",
                "value": peer.to_string(),
            })
        })
        .collect();
    if let Some(content) = &context.file {
        observables.push(json!({
            "name": "evidences[].process.file.hashes[].value",
            "type_id": 8,
            "type": "Hash",
            "value": clip::digest(content),
        }));
    }
    observables
}
