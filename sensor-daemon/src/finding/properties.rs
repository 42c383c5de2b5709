//! `sourceProperties` of a finding: what Security Command Center has no field for. Its keys begin with a letter and hold
//! letters, digits and underscores only.

use serde::Serialize;

use crate::{
    detect::{Snapshot, State},
    model::{Exec, Losses, Namespaces, Socket},
};

use super::{
    bounds,
    clip::{self, shown},
    connection::{direction, source_and_destination},
    report::Report,
    surroundings::Surroundings,
    time,
};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceProperties {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    redirection: Option<Redirection>,
    technique: &'static str,
    direction: &'static str,
    loopback_peer: bool,
    /// What ties the program to the connection, as one word.
    link: &'static str,
    evidence: String,
    streams: [StreamProperties; 3],
    /// Who carries the input, from the shell to the socket, then who carries the output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relays: Vec<RelayProperties>,
    sockets: Vec<SocketProperties>,
    command_count: u64,
    /// How many of them `processes` shows.
    pub(super) commands_shown: usize,
    /// Counts what was written of this finding.
    update: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    monitoring_ended: bool,
    /// When the shell and the processes above it started, the shell first.
    process_starts: Vec<ProcessStart>,
    execution: Execution,
    namespaces: Namespaces,
    cgroup: CgroupProperties,
    /// Container, account, posture and the like, as far as they are known.
    #[serde(flatten)]
    surroundings: Surroundings,
    host: HostProperties,
    losses: Losses,
}

/// The connection that standard input is redirected to, under the names of Google's own reverse-shell finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Redirection {
    #[serde(rename = "Reverse_Shell_Stdin_Redirection_Dst_Ip")]
    dst_ip: String,
    #[serde(rename = "Reverse_Shell_Stdin_Redirection_Dst_Port")]
    dst_port: u16,
    #[serde(rename = "Reverse_Shell_Stdin_Redirection_Src_Ip")]
    src_ip: String,
    #[serde(rename = "Reverse_Shell_Stdin_Redirection_Src_Port")]
    src_port: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamProperties {
    name: &'static str,
    kind: &'static str,
    /// It is a socket with a peer, or others carry it to one.
    carried: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessStart {
    process_id: u32,
    time: String,
}

/// A process that carries bytes of one stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct RelayProperties {
    /// Of the shell.
    stream: &'static str,
    process_id: u32,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_path: Option<String>,
    /// It is one of the processes above the shell.
    is_ancestor: bool,
    /// Towards the shell.
    #[serde(flatten)]
    arrival: DescriptorProperties,
    /// Towards the socket; of the last one on the way, the socket itself.
    onward: DescriptorProperties,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct DescriptorProperties {
    descriptor: u32,
    kind: String,
    /// As text, like a socket's.
    inode: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct SocketProperties {
    transport: String,
    direction: &'static str,
    local: String,
    remote: String,
    /// As text: JSON numbers end at 2^53 for many readers.
    inode: String,
    network_namespace: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_received: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Execution {
    program: String,
    memfd: bool,
    deleted: bool,
    setuid: bool,
    setgid: bool,
    path_truncated: bool,
    file_owner_id: u32,
    effective_user_id: u32,
    effective_group_id: u32,
    /// Hexadecimal, bit by bit.
    capabilities: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_directory: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct CgroupProperties {
    id: String,
    leaf: String,
    parent: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct HostProperties {
    hostname: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hostname_of_container: bool,
    boot_id: String,
    machine_id: String,
    kernel: String,
}

impl SourceProperties {
    pub(super) fn of(report: &Report) -> Self {
        let Report {
            id: _,
            incident,
            host,
            losses,
            context,
            closed: _,
        } = report;
        let ended = incident.state == State::Inactive;
        let shell = &incident.shell;
        let stream = |at: usize, name| StreamProperties {
            name,
            kind: shell.streams[at].kind(),
            carried: incident.carried[at],
        };
        Self {
            redirection: incident.input().and_then(Redirection::of),
            technique: incident.technique.name(),
            direction: direction(incident.direction),
            loopback_peer: incident.loopback,
            link: incident.link.name(),
            evidence: clip::string(&incident.evidence, bounds::EVIDENCE),
            streams: [stream(0, "stdin"), stream(1, "stdout"), stream(2, "stderr")],
            relays: relays(incident),
            sockets: incident.sockets.iter().map(SocketProperties::of).collect(),
            command_count: incident.command_count,
            commands_shown: 0,
            update: incident.update,
            duration_seconds: ended.then(|| incident.duration() as f64 / 1e9),
            end_reason: incident.end_reason.map(|reason| reason.name()),
            monitoring_ended: incident.monitoring_ended,
            process_starts: std::iter::once(shell.process)
                .chain(shell.ancestors.iter().map(|ancestor| ancestor.process))
                .map(|process| ProcessStart {
                    process_id: process.pid,
                    time: time::calendar(process.start, host).to_string(),
                })
                .collect(),
            execution: Execution::of(shell),
            namespaces: shell.namespaces,
            cgroup: CgroupProperties {
                id: shell.cgroup.id.to_string(),
                leaf: shown(&shell.cgroup.leaf, bounds::CGROUP),
                parent: shown(&shell.cgroup.parent, bounds::CGROUP),
            },
            surroundings: Surroundings::of(shell.container.as_ref(), context),
            host: HostProperties {
                hostname: host.hostname.clone(),
                hostname_of_container: host.hostname_of_container,
                boot_id: host.boot_id.clone(),
                machine_id: host.machine_id.clone(),
                kernel: host.kernel.clone(),
            },
            losses: *losses,
        }
    }
}

/// The relays of each stream that has some.
fn relays(incident: &Snapshot) -> Vec<RelayProperties> {
    let output = if incident.carried[1] { "stdout" } else { "stderr" };
    let ways = [("stdin", &incident.input_route), (output, &incident.output_route)];
    ways.into_iter()
        .flat_map(|(stream, route)| route.iter().flat_map(|route| &route.hops).map(move |hop| (stream, hop)))
        .map(|(stream, hop)| RelayProperties {
            stream,
            process_id: hop.process.pid,
            name: shown(&hop.comm, bounds::NAME),
            binary_path: hop.path.as_ref().map(|path| shown(path, bounds::RELAY_PATH)),
            is_ancestor: incident
                .ancestors()
                .iter()
                .any(|ancestor| ancestor.process == hop.process),
            arrival: DescriptorProperties {
                descriptor: hop.fd,
                kind: hop.kind.clone(),
                inode: hop.inode.to_string(),
            },
            onward: DescriptorProperties {
                descriptor: hop.onward.fd,
                kind: hop.onward.kind.clone(),
                inode: hop.onward.inode.to_string(),
            },
        })
        .collect()
}

impl Redirection {
    fn of(input: &Socket) -> Option<Self> {
        let (source, destination) = source_and_destination(input)?;
        Some(Self {
            dst_ip: destination.ip().to_string(),
            dst_port: destination.port(),
            src_ip: source.ip().to_string(),
            src_port: source.port(),
        })
    }
}

impl SocketProperties {
    fn of(socket: &Socket) -> Self {
        Self {
            transport: socket.transport.to_string(),
            direction: direction(socket.direction),
            local: socket.local.to_string(),
            remote: socket.remote.to_string(),
            inode: socket.inode.to_string(),
            network_namespace: socket.netns,
            bytes_received: socket.bytes_received,
        }
    }
}

impl Execution {
    fn of(exec: &Exec) -> Self {
        let file = &exec.executable;
        Self {
            program: exec.program.name.clone(),
            memfd: file.memfd,
            deleted: file.deleted,
            setuid: file.setuid,
            setgid: file.setgid,
            path_truncated: file.path_truncated,
            file_owner_id: file.owner,
            effective_user_id: exec.credentials.euid,
            effective_group_id: exec.credentials.egid,
            capabilities: format!("{:#x}", exec.credentials.capabilities),
            working_directory: exec.cwd.as_ref().map(|cwd| shown(cwd, bounds::WORKING_DIRECTORY)),
        }
    }
}
