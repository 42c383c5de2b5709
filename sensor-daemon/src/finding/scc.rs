//! A finding in the shape of Security Command Center, version 2: one `ListFindingsResult`, as its API lists them.
//!
//! The official parser is strict (unknown fields, lower-case enumerations and odd times are refused), so every field
//! here is one that it knows; what has no field of its own goes into `sourceProperties` ([`super::properties`]).
//!
//! Bounds: a line is at most [`LINE_MAX`] bytes, because journald splits longer ones. The shell may take 4 KiB for its
//! arguments, every other process 512 bytes; of the commands, the newest that fit are shown.

use std::net::SocketAddr;

use serde::Serialize;

use crate::{
    detect::{Command, Incident, Severity, State},
    model::{Ancestor, Direction, Endpoint, Exec, Hop, Host, ProgramKind, Socket, Text, Transport},
};

use super::{clip, describe, properties::SourceProperties, report::Report, time};

/// The category of every finding.
pub const CATEGORY: &str = "Execution: Possible Remote Command Execution Detected";
/// The detector's name.
pub const MODULE: &str = "HOST_POSSIBLE_REMOTE_COMMAND_EXECUTION_DETECTED";
/// Most bytes of one finding as a line of JSON.
pub const LINE_MAX: usize = 47 * 1024;

const SHELL_ARGUMENTS_MAX: usize = 4096;
const SHELL_PATH_MAX: usize = 4096;
const ARGUMENTS_MAX: usize = 512;
const PATH_MAX: usize = 1024;
/// There may be ten relays.
const RELAY_PATH_MAX: usize = 512;

const SOURCE: &str = "organizations/0/sources/0/locations/global";
const SOURCE_NAME: &str = "Host Runtime Sensor";

/// One line of output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    finding: Finding,
    resource: Resource,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    name: String,
    canonical_name: String,
    parent: &'static str,
    resource_name: String,
    state: State,
    category: &'static str,
    parent_display_name: &'static str,
    module_name: &'static str,
    description: String,
    severity: Severity,
    mute: &'static str,
    finding_class: &'static str,
    event_time: String,
    create_time: String,
    mitre_attack: MitreAttack,
    #[serde(skip_serializing_if = "Indicator::is_empty")]
    indicator: Indicator,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connections: Vec<Connection>,
    processes: Vec<Process>,
    source_properties: SourceProperties,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct MitreAttack {
    primary_tactic: &'static str,
    primary_techniques: &'static [&'static str],
    additional_tactics: &'static [&'static str],
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Indicator {
    ip_addresses: Vec<String>,
}

impl Indicator {
    fn is_empty(&self) -> bool {
        self.ip_addresses.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    destination_ip: String,
    destination_port: u16,
    source_ip: String,
    source_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary: Option<File>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<File>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    arguments_truncated: bool,
    pid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_pid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct File {
    path: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    display_name: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// The report as a finding. Serialized by `serde_json::to_string`, it is one line.
#[must_use]
pub fn scc(report: &Report) -> Line {
    let Report {
        id,
        incident,
        host,
        losses,
        ..
    } = report;
    let name = format!("{SOURCE}/findings/{id}");
    let resource = resource(host);
    let shell = Process::of_shell(&incident.shell);
    let ancestors = incident.ancestors();
    let above = |hop: &&Hop| ancestors.iter().any(|ancestor| ancestor.process == hop.process);
    let relays = incident.relays.iter().filter(|hop| !above(hop));
    let processes = std::iter::once(shell)
        .chain(relays.map(Process::of_relay))
        .chain(
            ancestors
                .iter()
                .enumerate()
                .map(|(at, ancestor)| Process::of_ancestor(ancestor, ancestors.get(at + 1))),
        )
        .collect();
    let mut line = Line {
        finding: Finding {
            canonical_name: name.clone(),
            name,
            parent: SOURCE,
            resource_name: resource.name.clone(),
            state: incident.state,
            category: CATEGORY,
            parent_display_name: SOURCE_NAME,
            module_name: MODULE,
            description: describe::sentence(incident),
            severity: incident.severity,
            mute: "UNDEFINED",
            finding_class: "THREAT",
            event_time: time::calendar(incident.updated, host).to_string(),
            create_time: time::calendar(incident.opened, host).to_string(),
            mitre_attack: mitre_attack(incident),
            indicator: indicator(incident),
            connections: incident.sockets.iter().filter_map(Connection::of).collect(),
            processes,
            source_properties: SourceProperties::of(incident, host, losses),
        },
        resource,
    };
    add_commands(&mut line, &incident.commands);
    line
}

/// Puts the newest commands that fit between the shell and its relays and ancestors, the newest last.
fn add_commands(line: &mut Line, commands: &[Command]) {
    let mut left = LINE_MAX.saturating_sub(json_size(line));
    let mut fitting: Vec<Process> = Vec::with_capacity(commands.len());
    for command in commands.iter().rev() {
        let process = Process::of_command(command);
        let Some(rest) = left.checked_sub(json_size(&process) + 1) else {
            break;
        };
        left = rest;
        fitting.push(process);
    }
    line.finding.source_properties.commands_shown = fitting.len();
    line.finding.processes.splice(1..1, fitting.into_iter().rev());
}

/// Bytes of JSON; what can't be serialized counts as too large.
fn json_size(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(LINE_MAX, |json| json.len())
}

fn resource(host: &Host) -> Resource {
    // A host that is in no known cloud has no resource name that others know: its machine id is the best there is.
    let id = if host.machine_id.is_empty() {
        &host.hostname
    } else {
        &host.machine_id
    };
    Resource {
        name: format!("//hosts/{id}"),
        display_name: host.hostname.clone(),
        kind: "host",
    }
}

fn mitre_attack(incident: &Incident) -> MitreAttack {
    MitreAttack {
        primary_tactic: "EXECUTION",
        primary_techniques: match incident.shell.program.kind {
            ProgramKind::Interpreter => &["COMMAND_AND_SCRIPTING_INTERPRETER"],
            ProgramKind::Shell | ProgramKind::Relay | ProgramKind::Other => {
                &["COMMAND_AND_SCRIPTING_INTERPRETER", "UNIX_SHELL"]
            }
        },
        additional_tactics: &["COMMAND_AND_CONTROL"],
        version: "17",
    }
}

fn indicator(incident: &Incident) -> Indicator {
    let mut ip_addresses = Vec::new();
    for socket in &incident.sockets {
        if let Endpoint::Ip(peer) = socket.remote {
            let peer = peer.ip().to_string();
            if !ip_addresses.contains(&peer) {
                ip_addresses.push(peer);
            }
        }
    }
    Indicator { ip_addresses }
}

/// The two ends of an IP connection, the one that opened it first; `None` for another kind.
pub(super) fn source_and_destination(socket: &Socket) -> Option<(SocketAddr, SocketAddr)> {
    match (socket.local, socket.remote, socket.direction) {
        (Endpoint::Ip(local), Endpoint::Ip(remote), Direction::Inbound) => Some((remote, local)),
        (Endpoint::Ip(local), Endpoint::Ip(remote), _) => Some((local, remote)),
        _ => None,
    }
}

impl Connection {
    fn of(socket: &Socket) -> Option<Self> {
        let (source, destination) = source_and_destination(socket)?;
        Some(Self {
            destination_ip: destination.ip().to_string(),
            destination_port: destination.port(),
            source_ip: source.ip().to_string(),
            source_port: source.port(),
            // The others have no name in this format.
            protocol: match socket.transport {
                Transport::Tcp => Some("TCP"),
                Transport::Udp => Some("UDP"),
                Transport::Sctp | Transport::Dccp | Transport::Vsock | Transport::Other(_) => None,
            },
        })
    }
}

impl File {
    fn of(path: Option<&Text>, room: usize) -> Option<Self> {
        path.map(|path| {
            let (shown, cut) = clip::text(path, room);
            Self {
                path: if cut { format!("{shown}…") } else { shown.into_owned() },
            }
        })
    }
}

impl Process {
    fn of_shell(exec: &Exec) -> Self {
        let (args, cut) = clip::arguments(&exec.argv, SHELL_ARGUMENTS_MAX);
        Self {
            name: exec.comm.to_text().into_owned(),
            binary: File::of(exec.executable.path.as_ref(), SHELL_PATH_MAX),
            script: File::of(exec.script.as_ref(), SHELL_PATH_MAX),
            args,
            arguments_truncated: exec.argv_truncated || cut,
            pid: exec.process.pid.to_string(),
            parent_pid: exec.parent().map(|parent| parent.process.pid.to_string()),
            user_id: Some(exec.credentials.uid.to_string()),
        }
    }

    fn of_command(command: &Command) -> Self {
        let (args, cut) = clip::arguments(&command.argv, ARGUMENTS_MAX);
        Self {
            name: command.comm.to_text().into_owned(),
            binary: File::of(command.executable.path.as_ref(), PATH_MAX),
            script: File::of(command.script.as_ref(), PATH_MAX),
            args,
            arguments_truncated: command.argv_truncated || cut,
            pid: command.process.pid.to_string(),
            parent_pid: command.parent.map(|parent| parent.to_string()),
            user_id: Some(command.credentials.uid.to_string()),
        }
    }

    /// Nothing is known of its arguments and its user.
    fn of_relay(hop: &Hop) -> Self {
        Self {
            name: hop.comm.to_text().into_owned(),
            binary: File::of(hop.path.as_ref(), RELAY_PATH_MAX),
            script: None,
            args: Vec::new(),
            arguments_truncated: false,
            pid: hop.process.pid.to_string(),
            parent_pid: (hop.parent != 0).then(|| hop.parent.to_string()),
            user_id: None,
        }
    }

    fn of_ancestor(ancestor: &Ancestor, parent: Option<&Ancestor>) -> Self {
        let (args, cut) = clip::arguments(&ancestor.argv, ARGUMENTS_MAX);
        Self {
            name: ancestor.comm.to_text().into_owned(),
            binary: File::of(ancestor.path.as_ref(), PATH_MAX),
            script: None,
            args,
            arguments_truncated: cut,
            pid: ancestor.process.pid.to_string(),
            parent_pid: parent.map(|parent| parent.process.pid.to_string()),
            user_id: Some(ancestor.uid.to_string()),
        }
    }
}
