//! A finding in the shape of Security Command Center, version 2: one `ListFindingsResult`, as its API lists them.
//!
//! The official parser is strict (unknown fields, lower-case enumerations and odd times are refused), so every field
//! here is one that it knows; what has no field of its own goes into `sourceProperties` ([`super::properties`]).
//!
//! Of the commands, the newest that fit into a line are shown.

use serde::Serialize;

use crate::{
    detect::{Command, Severity, Snapshot, State},
    model::{Ancestor, Context, Exec, Hop, Socket, Text, Transport},
};

use super::{
    bounds::{self, LINE_MAX},
    clip, connection, describe,
    environment::EnvironmentVariable,
    properties::SourceProperties,
    report::Report,
    scc_place::{Container, Kubernetes, Resource},
    time,
};

/// The category of every finding.
pub const CATEGORY: &str = "Execution: Possible Remote Command Execution Detected";
/// The detector's name.
pub const MODULE: &str = "HOST_POSSIBLE_REMOTE_COMMAND_EXECUTION_DETECTED";

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<Kubernetes>,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env_variables: Vec<EnvironmentVariable>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    env_variables_truncated: bool,
    pid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_pid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashed_size: Option<String>,
}

/// The report as a finding. Serialized by [`line`](super::json::line), it is one line.
#[must_use]
pub fn scc(report: &Report) -> Line {
    let Report {
        id,
        incident,
        host,
        losses: _,
        context,
        closed: _,
    } = report;
    let name = format!("{SOURCE}/findings/{id}");
    let resource = Resource::of(host, context.cloud.as_ref());
    let containers: Vec<Container> = incident.shell.container.iter().map(Container::of).collect();
    let shell = Process::of_shell(&incident.shell, context);
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
            kubernetes: context.pod.as_ref().map(|pod| Kubernetes::of(pod, &containers)),
            containers,
            source_properties: SourceProperties::of(report),
        },
        resource,
    };
    add_commands(&mut line, &incident.commands);
    line
}

/// Puts the newest commands that fit between the shell and its relays and ancestors, the newest last.
fn add_commands(line: &mut Line, commands: &[Command]) {
    let room = LINE_MAX.saturating_sub(clip::json_size(line));
    let fitting = clip::newest(commands, room, Process::of_command);
    line.finding.source_properties.commands_shown = fitting.len();
    line.finding.processes.splice(1..1, fitting);
}

fn mitre_attack(incident: &Snapshot) -> MitreAttack {
    MitreAttack {
        primary_tactic: "EXECUTION",
        primary_techniques: if describe::is_unix_shell(incident) {
            &["COMMAND_AND_SCRIPTING_INTERPRETER", "UNIX_SHELL"]
        } else {
            &["COMMAND_AND_SCRIPTING_INTERPRETER"]
        },
        additional_tactics: &["COMMAND_AND_CONTROL"],
        version: "17",
    }
}

fn indicator(incident: &Snapshot) -> Indicator {
    let peers = connection::peers(incident).into_iter();
    Indicator {
        ip_addresses: peers.map(|(peer, _)| peer.to_string()).collect(),
    }
}

impl Connection {
    fn of(socket: &Socket) -> Option<Self> {
        let (source, destination) = connection::source_and_destination(socket)?;
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
        path.map(|path| Self {
            path: clip::shown(path, room),
            size: None,
            sha256: None,
            hashed_size: None,
        })
    }
}

impl Process {
    fn of_shell(exec: &Exec, context: &Context) -> Self {
        let (args, cut) = clip::arguments(&exec.argv, bounds::SHELL_ARGUMENTS);
        let (env_variables, env_variables_truncated) = EnvironmentVariable::all(&context.environment);
        let mut binary = File::of(exec.executable.path.as_ref(), bounds::SHELL_PATH);
        if let (Some(binary), Some(content)) = (&mut binary, &context.file) {
            binary.sha256 = Some(clip::digest(content));
            binary.size = Some(content.size.to_string());
            binary.hashed_size = Some(content.size.to_string());
        }
        Self {
            name: exec.comm.to_text().into_owned(),
            binary,
            script: File::of(exec.script.as_ref(), bounds::PATH),
            args,
            arguments_truncated: exec.argv_truncated || cut,
            env_variables,
            env_variables_truncated,
            pid: exec.process.pid.to_string(),
            parent_pid: exec.parent().map(|parent| parent.process.pid.to_string()),
            user_id: Some(exec.credentials.uid.to_string()),
        }
    }

    fn of_command(command: &Command) -> Self {
        let (args, cut) = clip::arguments(&command.argv, bounds::ARGUMENTS);
        Self {
            name: command.comm.to_text().into_owned(),
            binary: File::of(command.executable.path.as_ref(), bounds::PATH),
            script: File::of(command.script.as_ref(), bounds::PATH),
            args,
            arguments_truncated: command.argv_truncated || cut,
            env_variables: Vec::new(),
            env_variables_truncated: false,
            pid: command.process.pid.to_string(),
            parent_pid: command.parent.map(|parent| parent.to_string()),
            user_id: Some(command.credentials.uid.to_string()),
        }
    }

    /// Nothing is known of its arguments and its user.
    fn of_relay(hop: &Hop) -> Self {
        Self {
            name: hop.comm.to_text().into_owned(),
            binary: File::of(hop.path.as_ref(), bounds::RELAY_PATH),
            script: None,
            args: Vec::new(),
            arguments_truncated: false,
            env_variables: Vec::new(),
            env_variables_truncated: false,
            pid: hop.process.pid.to_string(),
            parent_pid: (hop.parent != 0).then(|| hop.parent.to_string()),
            user_id: None,
        }
    }

    fn of_ancestor(ancestor: &Ancestor, parent: Option<&Ancestor>) -> Self {
        let (args, cut) = clip::arguments(&ancestor.argv, bounds::ARGUMENTS);
        Self {
            name: ancestor.comm.to_text().into_owned(),
            binary: File::of(ancestor.path.as_ref(), bounds::PATH),
            script: None,
            args,
            arguments_truncated: cut,
            env_variables: Vec::new(),
            env_variables_truncated: false,
            pid: ancestor.process.pid.to_string(),
            parent_pid: parent.map(|parent| parent.process.pid.to_string()),
            user_id: Some(ancestor.uid.to_string()),
        }
    }
}
