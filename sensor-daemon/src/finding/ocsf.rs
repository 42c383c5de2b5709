//! A finding in the shape of the Open Cybersecurity Schema Framework, version 1.8.0: one event of the class Detection Finding
//! (class_uid 2004), with the profiles host, container and security_control, and cloud where the cloud is known.
//!
//! The schema is closed: every field here is one that it has, what has no field is in `unmapped`. `evidences` holds the shell
//! with the connection first, then the newest commands that fit, then relays and further connections; `name` says which. A
//! line is at most `LINE_MAX` bytes. `docs/formats.md` maps the fields.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    detect::{Command, Incident, Link, Severity, State},
    model::{
        Ancestor, BootTime, Cloud, Container, Context, Direction, Endpoint, Exec, Executable, FileDigest, Hop, Host,
        Pod, ProcessId, Socket, Text, Transport,
    },
};

use super::{
    CATEGORY, MODULE,
    clip::{self, LINE_MAX},
    describe, members,
    properties::{SourceProperties, direction},
    report::Report,
    scc::ends,
    scc_place::EnvironmentVariable,
    time,
};

const VERSION: &str = "1.8.0";
const CLASS: u32 = 2004;

const SHELL_COMMAND_MAX: usize = 4096;
const COMMAND_MAX: usize = 512;
const SHELL_PATH_MAX: usize = 2048;
const PATH_MAX: usize = 512;
/// There are up to eight ancestors and ten relays.
const SHORT_MAX: usize = 256;
const NAME_MAX: usize = 256;
const IMAGE_MAX: usize = 512;
/// There may be ten, and `unmapped` describes them as well.
const RELAYS_MAX: usize = 10;

/// The report as an event. Serialized by `serde_json::to_string`, it is one line.
#[must_use]
pub fn ocsf(report: &Report) -> impl Serialize + use<> {
    let Report {
        id,
        incident,
        host,
        losses: _,
        context,
    } = report;
    let mut unmapped = SourceProperties::of(report);
    // Counted before it is known, with as many digits as it can have.
    unmapped.commands_shown = incident.commands.len();
    let activity = activity(incident);
    let (severity_id, severity) = severity(incident.severity);
    let (confidence_id, confidence) = confidence(incident.link);
    let ended = incident.state == State::Inactive;
    let mut event = members::without_empty(json!({
        "activity_id": activity.0,
        "activity_name": activity.1,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + activity.0,
        "type_name": format!("Detection Finding: {}", activity.1),
        "time": milliseconds(incident.updated, host),
        "start_time": milliseconds(incident.opened, host),
        "end_time": incident.ended.map(|at| milliseconds(at, host)),
        "duration": ended.then(|| incident.duration() / 1_000_000),
        "severity_id": severity_id,
        "severity": severity,
        "confidence_id": confidence_id,
        "confidence": confidence,
        // Nobody has looked at it yet; that it is over is no judgement.
        "status_id": if ended { 99 } else { 1 },
        "status": if ended { "Inactive" } else { "New" },
        "status_detail": incident.end_reason.map(|reason| reason.name()),
        "is_alert": true,
        "action_id": 3,
        "action": "Observed",
        "disposition_id": 15,
        "disposition": "Detected",
        "message": describe::sentence(incident),
        "metadata": {
            "version": VERSION,
            "profiles": profiles(context),
            "product": {
                "name": env!("CARGO_PKG_NAME"),
                "vendor_name": "sensor-daemon",
                "version": env!("CARGO_PKG_VERSION"),
            },
            "uid": format!("{id}-{}", incident.update),
            "correlation_uid": id,
            "event_code": MODULE,
            "log_name": "findings",
            "sequence": incident.update,
        },
        "finding_info": {
            "uid": id,
            "title": CATEGORY,
            "desc": clip::string(&incident.evidence, 2048),
            "types": ["Execution", incident.technique.name()],
            "analytic": { "type_id": 1, "type": "Rule", "name": CATEGORY, "uid": MODULE },
            "created_time": milliseconds(incident.opened, host),
            "first_seen_time": milliseconds(incident.opened, host),
            "last_seen_time": milliseconds(incident.updated, host),
            "modified_time": milliseconds(incident.updated, host),
            "attacks": attacks(incident),
            "data_sources": ["eBPF", "procfs"],
        },
        "evidences": evidences(incident, host, context),
        "device": device(host, context),
        "cloud": google(context).map(|cloud| json!({
            "provider": "GCP",
            "account": cloud.project.as_deref().map(|project| json!({ "uid": name(project) })),
            "region": cloud.location.as_deref().map(name),
        })),
        "resources": [resource(host, context)],
        "observables": observables(incident, context),
        "unmapped": unmapped,
    }));
    let room = LINE_MAX.saturating_sub(clip::json_size(&event));
    let commands = clip::newest(&incident.commands, room, |command| {
        members::without_empty(json!({ "name": "command", "process": of_command(command, host) }))
    });
    event["unmapped"]["commandsShown"] = commands.len().into();
    if let Some(evidences) = event["evidences"].as_array_mut() {
        evidences.splice(1..1, commands);
    }
    event
}

fn activity(incident: &Incident) -> (u32, &'static str) {
    match (incident.state, incident.update) {
        (State::Inactive, _) => (3, "Close"),
        (State::Active, ..=1) => (1, "Create"),
        (State::Active, _) => (2, "Update"),
    }
}

fn severity(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

/// How sure it is that connection and shell belong together.
fn confidence(link: Link) -> (u32, &'static str) {
    match link {
        Link::Streams | Link::Carried | Link::Delivered => (3, "High"),
        Link::Held => (1, "Low"),
    }
}

/// The resource, if it is Google's.
fn google(context: &Context) -> Option<&Cloud> {
    context.cloud.as_ref().filter(|cloud| cloud.is_google())
}

fn profiles(context: &Context) -> Vec<&'static str> {
    let mut profiles = vec!["host", "container", "security_control"];
    // It demands a cloud.
    profiles.extend(google(context).map(|_| "cloud"));
    profiles
}

/// Execution, by a shell or an interpreter, and what the connection is for.
fn attacks(incident: &Incident) -> Value {
    let execution = json!({
        "version": "17",
        "tactic": { "uid": "TA0002", "name": "Execution" },
        "technique": { "uid": "T1059", "name": "Command and Scripting Interpreter" },
        "sub_technique": describe::is_unix_shell(incident)
            .then(|| json!({ "uid": "T1059.004", "name": "Unix Shell" })),
    });
    json!([execution, { "version": "17", "tactic": { "uid": "TA0011", "name": "Command and Control" } }])
}

fn evidences(incident: &Incident, host: &Host, context: &Context) -> Vec<Value> {
    let mut sockets = incident.sockets.iter();
    let mut shell = sockets.next().map_or_else(|| json!({}), of_socket);
    shell["name"] = "shell".into();
    shell["process"] = of_shell(&incident.shell, host, context);
    let mut evidences = vec![shell];
    for relay in incident.relays.iter().take(RELAYS_MAX) {
        evidences.push(json!({ "name": "relay", "process": of_relay(relay, host) }));
    }
    for socket in sockets {
        let mut connection = of_socket(socket);
        connection["name"] = "connection".into();
        evidences.push(connection);
    }
    evidences
}

fn of_socket(socket: &Socket) -> Value {
    let (source, destination) = ends(socket);
    json!({
        "connection_info": {
            "direction_id": match socket.direction {
                Direction::Inbound => 1,
                Direction::Outbound => 2,
                Direction::Unknown => 0,
            },
            "direction": direction(socket.direction),
            "boundary_id": socket.remote.is_loopback().then_some(1),
            "boundary": socket.remote.is_loopback().then_some("Localhost"),
            "protocol_num": protocol_number(socket.transport),
            "protocol_name": socket.transport.to_string().to_lowercase(),
            "protocol_ver_id": match socket.remote {
                Endpoint::Ip(address) => Some(if address.is_ipv4() { 4 } else { 6 }),
                Endpoint::Vsock { .. } => None,
            },
            "uid": socket.inode.to_string(),
        },
        "src_endpoint": endpoint(source),
        "dst_endpoint": endpoint(destination),
    })
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

fn endpoint(endpoint: Endpoint) -> Value {
    match endpoint {
        Endpoint::Ip(address) => json!({ "ip": address.ip().to_string(), "port": address.port() }),
        // Its ports are longer than the schema's.
        Endpoint::Vsock { .. } => json!({ "uid": endpoint.to_string() }),
    }
}

fn of_shell(exec: &Exec, host: &Host, context: &Context) -> Value {
    let account = context.account.as_ref();
    let mut process = process(exec.process, &exec.comm, host);
    process["cmd_line"] = clip::command_line(&exec.argv, exec.argv_truncated, SHELL_COMMAND_MAX).into();
    process["file"] = file(&exec.executable, SHELL_PATH_MAX, context.file.as_ref());
    process["user"] = json!({
        "uid": exec.credentials.uid.to_string(),
        "name": account.and_then(|account| account.name.as_deref()).map(name),
    });
    process["working_directory"] = exec.cwd.as_ref().map(|cwd| clip::shown(cwd, PATH_MAX)).into();
    process["session"] = json!({
        "uid": account.and_then(|account| account.session).map(|session| session.to_string()),
        "terminal": account.and_then(|account| account.tty.as_deref()).map(name),
    });
    process["container"] = container(exec.container.as_ref(), context.pod.as_ref());
    process["environment_variables"] = EnvironmentVariable::all(&context.environment)
        .0
        .into_iter()
        .map(|variable| json!({ "name": variable.name, "value": variable.value }))
        .collect();
    process["parent_process"] = exec.parent().map_or(Value::Null, |parent| of_ancestor(parent, host));
    process["ancestry"] = exec.ancestors.iter().map(|above| entity(above, host)).collect();
    process
}

fn of_command(command: &Command, host: &Host) -> Value {
    let mut process = process(command.process, &command.comm, host);
    process["cmd_line"] = clip::command_line(&command.argv, command.argv_truncated, COMMAND_MAX).into();
    process["file"] = file(&command.executable, PATH_MAX, None);
    process["user"] = json!({ "uid": command.credentials.uid.to_string() });
    process["parent_process"] = command.parent.map_or(Value::Null, |pid| json!({ "pid": pid }));
    process
}

/// Nothing is known of its arguments and its user.
fn of_relay(hop: &Hop, host: &Host) -> Value {
    let mut process = process(hop.process, &hop.comm, host);
    process["file"] = named_file(hop.path.as_ref(), SHORT_MAX);
    process["parent_process"] = match hop.parent {
        0 => Value::Null,
        pid => json!({ "pid": pid }),
    };
    process
}

fn of_ancestor(ancestor: &Ancestor, host: &Host) -> Value {
    let mut process = process(ancestor.process, &ancestor.comm, host);
    process["cmd_line"] = clip::command_line(&ancestor.argv, false, COMMAND_MAX).into();
    process["file"] = named_file(ancestor.path.as_ref(), PATH_MAX);
    process["user"] = json!({ "uid": ancestor.uid.to_string() });
    process
}

/// What a list of processes holds of each.
fn entity(ancestor: &Ancestor, host: &Host) -> Value {
    let mut process = process(ancestor.process, &ancestor.comm, host);
    process["cmd_line"] = clip::command_line(&ancestor.argv, false, SHORT_MAX).into();
    process["path"] = ancestor.path.as_ref().map(|path| clip::shown(path, SHORT_MAX)).into();
    process
}

fn process(process: ProcessId, comm: &Text, host: &Host) -> Value {
    json!({
        "pid": process.pid,
        "uid": members::process_entity(process, host),
        "name": clip::shown(comm, NAME_MAX),
        "created_time": milliseconds(process.start, host),
    })
}

fn file(executable: &Executable, room: usize, content: Option<&FileDigest>) -> Value {
    let mut file = named_file(executable.path.as_ref(), room);
    if file.is_null() {
        return file;
    }
    file["uid"] = executable.inode.to_string().into();
    file["owner"] = json!({ "uid": executable.owner.to_string() });
    file["is_deleted"] = executable.deleted.then_some(true).into();
    if let Some(FileDigest { sha256, size }) = content {
        file["size"] = (*size).into();
        file["hashes"] = json!([{ "algorithm_id": 3, "algorithm": "SHA-256", "value": clip::string(sha256, 64) }]);
    }
    file
}

fn named_file(path: Option<&Text>, room: usize) -> Value {
    path.map_or(Value::Null, |path| {
        json!({
            "name": clip::shown(&Text::from(path.file_name()), NAME_MAX),
            "path": clip::shown(path, room),
            "type_id": 1,
            "type": "Regular File",
        })
    })
}

fn container(container: Option<&Container>, pod: Option<&Pod>) -> Value {
    container.map_or(Value::Null, |container| {
        json!({
            "uid": name(&container.id),
            "name": container.name.as_deref().map(name),
            "runtime": container.runtime.to_string(),
            // The image's own id is not known; the schema demands one.
            "image": container.image.as_deref().map(|image| {
                let image = clip::string(image, IMAGE_MAX);
                json!({ "uid": image, "name": image })
            }),
            "orchestrator": pod.map(|_| "kubernetes"),
            "pod_uuid": pod.and_then(|pod| pod.uid.as_deref()).map(name),
        })
    })
}

fn device(host: &Host, context: &Context) -> Value {
    json!({
        // Whether it is a server can't be told.
        "type_id": 0,
        "type": "Unknown",
        "hostname": host.hostname,
        "name": host.hostname,
        "uid": host.machine_id,
        "boot_uid": host.boot_id,
        "boot_time": milliseconds(BootTime(0), host),
        "ip": context.addresses.first().map(ToString::to_string),
        "os": { "name": "Linux", "type_id": 200, "type": "Linux", "kernel_release": host.kernel },
    })
}

fn resource(host: &Host, context: &Context) -> Value {
    match &context.cloud {
        Some(cloud) => json!({
            "uid": clip::string(&cloud.name, IMAGE_MAX),
            "name": name(&cloud.display_name),
            "type": name(&cloud.kind),
            "region": cloud.location.as_deref().map(name),
        }),
        None => json!({ "uid": host.machine_id, "name": host.hostname, "type": "host" }),
    }
}

/// What to search elsewhere for: the peers and the file.
fn observables(incident: &Incident, context: &Context) -> Vec<Value> {
    let mut observables = Vec::new();
    for socket in &incident.sockets {
        if let Endpoint::Ip(peer) = socket.remote {
            let end = if socket.direction == Direction::Inbound {
                "src"
            } else {
                "dst"
            };
            let peer = json!({
                "name": format!("evidences[].{end}_endpoint.ip"),
                "type_id": 2,
                "type": "IP Address",
                "value": peer.ip().to_string(),
            });
            if !observables.contains(&peer) {
                observables.push(peer);
            }
        }
    }
    if let Some(content) = &context.file {
        observables.push(json!({
            "name": "evidences[].process.file.hashes[].value",
            "type_id": 8,
            "type": "Hash",
            "value": clip::string(&content.sha256, 64),
        }));
    }
    observables
}

/// Unix time.
fn milliseconds(time: BootTime, host: &Host) -> i64 {
    time::calendar(time, host).as_millisecond()
}

fn name(name: &str) -> String {
    clip::string(name, NAME_MAX)
}
