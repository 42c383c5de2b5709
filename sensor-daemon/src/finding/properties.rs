//! What formats have no field for: Security Command Center's `sourceProperties`, OCSF's `unmapped`, and `sensor_daemon` of the
//! Elastic Common Schema. It is the same object in each of them, and a property is added here once. Keys begin with a letter and hold
//! letters, digits and underscores only, as Security Command Center demands. Null and empty members are left out by the formats.

use serde_json::{Value, json};

use crate::{
    detect::Snapshot,
    model::{Account, Container, Context, Exec, Pod, Posture, Socket},
};

use super::{
    Report, bounds,
    clip::{self, name, shown},
    connection::{self, direction},
    time,
};

pub(super) fn of(report: &Report) -> Value {
    let Report {
        id: _,
        incident,
        host,
        losses,
        coverage,
        context,
        closed,
    } = report;
    let shell = &incident.shell;
    let container = shell.container.as_ref();
    let redirection = incident.input().and_then(connection::source_and_destination);
    let starts = std::iter::once(shell.process).chain(shell.ancestors.iter().map(|ancestor| ancestor.process));
    let starts = starts
        .map(|process| json!({ "processId": process.pid, "time": time::calendar(process.start, host).to_string() }));
    json!({
        "technique": incident.technique.name(),
        "direction": direction(incident.direction),
        "loopbackPeer": incident.loopback,
        // What ties the program to the connection, as one word.
        "link": incident.link.name(),
        "evidence": clip::string(&incident.evidence, bounds::EVIDENCE),
        "streams": streams(incident),
        "relays": relays(incident),
        "sockets": incident.sockets.iter().map(socket).collect::<Vec<_>>(),
        "commandCount": incident.command_count,
        // These are set when it is known which commands fit; until then they take as much room as they can.
        "commandsShown": incident.commands.len(),
        "firstCommandsShown": incident.commands.len(),
        "commandsOmitted": incident.command_count,
        // Counts what was written of this finding.
        "update": incident.update,
        // Of a takeover that has ended.
        "endTime": incident.ended.map(|at| time::calendar(at, host).to_string()),
        "durationSeconds": incident.ended.map(|_| incident.duration() as f64 / 1e9),
        "endReason": incident.end_reason.map(|reason| reason.name()),
        "monitoringEnded": incident.monitoring_ended,
        // Of a finding that somebody has dealt with.
        "closeTime": closed.as_ref().map(|closed| time::unix(closed.unix_ns).to_string()),
        "closeReason": closed.as_ref().and_then(|closed| closed.reason.as_deref()).map(|why| clip::string(why, bounds::REASON)),
        // When the shell and the processes above it started, the shell first.
        "processStarts": starts.collect::<Vec<_>>(),
        "execution": execution(shell),
        "namespaces": shell.namespaces,
        "cgroup": {
            "id": shell.cgroup.id.to_string(),
            "leaf": shown(&shell.cgroup.leaf, bounds::CGROUP),
            "parent": shown(&shell.cgroup.parent, bounds::CGROUP),
        },
        // Where standard input comes from, and the image, under the names of Google's own reverse-shell finding.
        "Reverse_Shell_Stdin_Redirection_Src_Ip": redirection.map(|(from, _)| from.ip()),
        "Reverse_Shell_Stdin_Redirection_Src_Port": redirection.map(|(from, _)| from.port()),
        "Reverse_Shell_Stdin_Redirection_Dst_Ip": redirection.map(|(_, to)| to.ip()),
        "Reverse_Shell_Stdin_Redirection_Dst_Port": redirection.map(|(_, to)| to.port()),
        "Container_Image_Uri": container.and_then(|container| container.image.as_deref()).map(clip::image),
        "container": container.map(of_container),
        "pod": context.pod.as_ref().map(of_pod),
        "account": context.account.as_ref().map(of_account),
        "file": context.file.as_ref().map(|file| json!({ "sha256": clip::digest(file), "size": file.size })),
        "posture": context.posture.as_ref().map(of_posture),
        "addresses": addresses(context),
        "host": {
            "hostname": host.hostname,
            "hostnameOfContainer": host.hostname_of_container.then_some(true),
            "bootId": host.boot_id,
            "machineId": host.machine_id,
            "kernel": host.kernel,
        },
        "sensorVersion": crate::model::VERSION,
        "losses": losses,
        // What the source of the observations could see.
        "coverage": coverage,
    })
}

/// Says how many commands `properties` go with, how many of them are the first ones, and how many were run between the first and the
/// newest. A technique without a shell counts the program at the centre of the finding as its first command.
pub(super) fn count_commands(properties: &mut Value, incident: &Snapshot, shown: usize, first: usize) {
    let elsewhere = shown as u64 + u64::from(!incident.technique.is_shell());
    properties["commandsShown"] = shown.into();
    properties["firstCommandsShown"] = first.into();
    properties["commandsOmitted"] = incident.command_count.saturating_sub(elsewhere).into();
}

/// What each standard stream is, and whether it is a socket with a peer or is carried to one.
fn streams(incident: &Snapshot) -> Vec<Value> {
    let streams = ["stdin", "stdout", "stderr"].into_iter().zip(&incident.shell.streams);
    streams
        .zip(incident.carried)
        .map(|((name, stream), carried)| json!({ "name": name, "kind": stream.kind(), "carried": carried }))
        .collect()
}

/// Who carries the input, from the shell to the socket, then who carries the output. Each has a descriptor towards the shell and one
/// `onward`; the last one's `onward` is the socket.
fn relays(incident: &Snapshot) -> Vec<Value> {
    let output = if incident.carried[1] { "stdout" } else { "stderr" };
    let routes = [("stdin", &incident.input_route), (output, &incident.output_route)];
    let hops = routes
        .into_iter()
        .flat_map(|(stream, route)| route.iter().flat_map(|route| &route.hops).map(move |hop| (stream, hop)));
    hops.map(|(stream, hop)| {
        json!({
            "stream": stream,
            "processId": hop.process.pid,
            "name": shown(&hop.comm, bounds::NAME),
            "binaryPath": hop.path.as_ref().map(|path| shown(path, bounds::RELAY_PATH)),
            "isAncestor": incident.ancestors().iter().any(|ancestor| ancestor.process == hop.process),
            "descriptor": hop.fd,
            "kind": hop.kind,
            "inode": hop.inode.to_string(),
            "onward": {
                "descriptor": hop.onward.fd,
                "kind": hop.onward.kind,
                "inode": hop.onward.inode.to_string(),
            },
        })
    })
    .collect()
}

fn socket(socket: &Socket) -> Value {
    json!({
        "transport": socket.transport.to_string(),
        "direction": direction(socket.direction),
        "local": socket.local.to_string(),
        "remote": socket.remote.to_string(),
        // As text: JSON numbers end at 2^53 for many readers.
        "inode": socket.inode.to_string(),
        "networkNamespace": socket.netns,
        "bytesReceived": socket.bytes_received,
    })
}

fn execution(exec: &Exec) -> Value {
    let file = &exec.executable;
    json!({
        "program": exec.program.name,
        "memfd": file.memfd,
        "deleted": file.deleted,
        "setuid": file.setuid,
        "setgid": file.setgid,
        "pathTruncated": file.path_truncated,
        "fileOwnerId": file.owner,
        "effectiveUserId": exec.credentials.euid,
        "effectiveGroupId": exec.credentials.egid,
        // Hexadecimal, bit by bit.
        "capabilities": format!("{:#x}", exec.credentials.capabilities),
        "workingDirectory": exec.cwd.as_ref().map(|cwd| shown(cwd, bounds::WORKING_DIRECTORY)),
    })
}

fn of_container(container: &Container) -> Value {
    json!({
        "runtime": container.runtime.to_string(),
        "id": name(&container.id),
        "name": container.name.as_deref().map(name),
        "image": container.image.as_deref().map(clip::image),
    })
}

fn of_pod(pod: &Pod) -> Value {
    json!({
        "uid": pod.uid.as_deref().map(name),
        "name": pod.name.as_deref().map(name),
        "namespace": pod.namespace.as_deref().map(name),
    })
}

fn of_account(account: &Account) -> Value {
    json!({
        "name": account.name.as_deref().map(name),
        "loginUid": account.login_uid,
        "loginName": account.login_name.as_deref().map(name),
        "session": account.session,
        "tty": account.tty.as_deref().map(name),
    })
}

fn of_posture(posture: &Posture) -> Value {
    json!({
        "capabilities": capabilities(posture),
        "privileged": posture.privileged,
        "seccomp": posture.seccomp.as_deref().map(name),
        "noNewPrivs": posture.no_new_privs,
        "mappedRoot": posture.mapped_root,
        "hostNamespaces": names(&posture.host_namespaces, bounds::NAMESPACES),
        "writableRoot": posture.writable_root,
        "securityLabel": posture.security_label.as_deref().map(|label| clip::string(label, bounds::SECURITY_LABEL)),
    })
}

pub(super) fn addresses(context: &Context) -> Vec<String> {
    let addresses = context.addresses.iter().take(bounds::ADDRESSES);
    addresses.map(ToString::to_string).collect()
}

pub(super) fn capabilities(posture: &Posture) -> Vec<String> {
    names(&posture.capabilities, bounds::CAPABILITIES)
}

fn names(names: &[String], most: usize) -> Vec<String> {
    let names = names.iter().take(most);
    names.map(|name| clip::string(name, bounds::CAPABILITY)).collect()
}
