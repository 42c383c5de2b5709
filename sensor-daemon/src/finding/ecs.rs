//! A finding in the shape of the Elastic Common Schema, version 9.4.0: one document, `event.kind` alert.
//!
//! Only fields of the schema are used outside `sensor_daemon`, the sensor's own field set, which holds what the schema has no
//! field for and the newest commands that fit. A line is at most `LINE_MAX` bytes. `docs/formats.md` maps the fields.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    detect::{Command, Severity, Snapshot, State},
    model::{Ancestor, Cloud, Context, Direction, Endpoint, Exec, Host, Socket, Transport},
};

use super::{
    CATEGORY, MODULE,
    bounds::{self, LINE_MAX},
    clip, connection, describe,
    environment::EnvironmentVariable,
    members,
    properties::SourceProperties,
    report::Report,
    surroundings, time,
};

const VERSION: &str = "9.4.0";

/// The report as a document. Serialized by [`line`](super::json::line), it is one line.
#[must_use]
pub fn ecs(report: &Report) -> impl Serialize + use<> {
    let Report {
        id,
        incident,
        host,
        losses: _,
        context,
        closed: _,
    } = report;
    let mut own = SourceProperties::of(report);
    // Counted before it is known, with as many digits as it can have.
    own.commands_shown = incident.commands.len();
    let mut document = members::without_empty(json!({
        "@timestamp": time::calendar(incident.updated, host).to_string(),
        "message": describe::sentence(incident),
        "ecs": { "version": VERSION },
        "event": event(id, incident, host),
        "rule": { "id": MODULE, "name": CATEGORY, "category": "Execution", "version": env!("CARGO_PKG_VERSION") },
        "threat": threat(incident),
        "process": of_shell(&incident.shell, host, context),
        "user": {
            "id": incident.shell.credentials.uid.to_string(),
            "name": account_name(context),
        },
        "group": { "id": incident.shell.credentials.gid.to_string() },
        "container": container(&incident.shell, context),
        "orchestrator": orchestrator(context),
        "cloud": context.cloud.as_ref().filter(|cloud| cloud.is_google()).map(cloud),
        "host": {
            "hostname": host.hostname,
            "name": host.hostname,
            "id": host.machine_id,
            "boot": { "id": host.boot_id },
            "ip": surroundings::addresses(context),
            "os": { "type": "linux", "kernel": host.kernel },
        },
        "observer": {
            "product": env!("CARGO_PKG_NAME"),
            "vendor": "sensor-daemon",
            "type": "sensor",
            "version": env!("CARGO_PKG_VERSION"),
            "hostname": host.hostname,
        },
        "related": related(incident, host, context),
        "sensor_daemon": own,
    }));
    if let Some(cloud) = &context.cloud {
        document["sensor_daemon"]["resource"] = json!({
            "name": clip::string(&cloud.name, bounds::RESOURCE_NAME),
            "display_name": clip::name(&cloud.display_name),
            "type": clip::name(&cloud.kind),
        });
    }
    if let Some(socket) = incident.primary() {
        add_connection(&mut document, socket);
    }
    let room = LINE_MAX.saturating_sub(clip::json_size(&document) + "\"commands\":[],".len());
    let commands = clip::newest(&incident.commands, room, |command| {
        members::without_empty(of_command(command, host))
    });
    let own = &mut document["sensor_daemon"];
    own["commandsShown"] = commands.len().into();
    if !commands.is_empty() {
        own["commands"] = commands.into();
    }
    document
}

fn event(id: &str, incident: &Snapshot, host: &Host) -> Value {
    let ended = incident.state == State::Inactive;
    let severity = severity(incident.severity);
    json!({
        "kind": "alert",
        "category": ["intrusion_detection", "process", "network"],
        // Types that each of the categories has are few: `info` is one.
        "type": ["info"],
        "action": incident.technique.name(),
        "code": MODULE,
        "id": format!("{id}-{}", incident.update),
        "sequence": incident.update,
        "created": time::calendar(incident.updated, host).to_string(),
        "start": time::calendar(incident.opened, host).to_string(),
        "end": incident.ended.map(|at| time::calendar(at, host).to_string()),
        "duration": ended.then(|| incident.duration()),
        "severity": severity,
        "risk_score": severity,
        "module": "sensor_daemon",
        "dataset": "sensor_daemon.findings",
        "provider": "kernel",
        "reason": clip::string(&incident.evidence, bounds::EVIDENCE),
    })
}

/// As Elastic's own alerts number it.
fn severity(severity: Severity) -> u32 {
    match severity {
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}

/// Lists side by side: the first tactic has the technique.
fn threat(incident: &Snapshot) -> Value {
    let shell = describe::is_unix_shell(incident);
    json!({
        "framework": "MITRE ATT&CK",
        "tactic": { "id": ["TA0002", "TA0011"], "name": ["Execution", "Command and Control"] },
        "technique": {
            "id": ["T1059"],
            "name": ["Command and Scripting Interpreter"],
            "subtechnique": shell.then(|| json!({ "id": ["T1059.004"], "name": ["Unix Shell"] })),
        },
    })
}

fn of_shell(exec: &Exec, host: &Host, context: &Context) -> Value {
    let (args, _) = clip::arguments(&exec.argv, bounds::SHELL_ARGUMENTS);
    let credentials = exec.credentials;
    // Only the shell's real user is looked up by name.
    let effective_name = (credentials.euid == credentials.uid).then(|| account_name(context));
    let (environment, _) = EnvironmentVariable::all(&context.environment);
    json!({
        "pid": exec.process.pid,
        "entity_id": members::process_entity(exec.process, host),
        "name": clip::shown(&exec.comm, bounds::NAME),
        "executable": exec.executable.path.as_ref().map(|path| clip::shown(path, bounds::SHELL_PATH)),
        "args": args,
        "args_count": (!exec.argv_truncated).then_some(exec.argv.len()),
        "command_line": clip::command_line(&exec.argv, exec.argv_truncated, bounds::SHELL_ARGUMENTS),
        "start": time::calendar(exec.process.start, host).to_string(),
        "working_directory": exec.cwd.as_ref().map(|cwd| clip::shown(cwd, bounds::WORKING_DIRECTORY)),
        "user": { "id": credentials.euid.to_string(), "name": effective_name },
        "real_user": { "id": credentials.uid.to_string(), "name": account_name(context) },
        "group": { "id": credentials.egid.to_string() },
        "real_group": { "id": credentials.gid.to_string() },
        "hash": context.file.as_ref().map(|file| json!({ "sha256": clip::digest(file) })),
        "thread": { "capabilities": { "effective": context.posture.as_ref().map(surroundings::capabilities) } },
        "env_vars": environment
            .into_iter()
            .map(|variable| format!("{}={}", variable.name, variable.value))
            .collect::<Vec<_>>(),
        "parent": exec.parent().map(|parent| of_parent(parent, host)),
    })
}

fn of_parent(parent: &Ancestor, host: &Host) -> Value {
    let (args, cut) = clip::arguments(&parent.argv, bounds::ARGUMENTS);
    json!({
        "pid": parent.process.pid,
        "entity_id": members::process_entity(parent.process, host),
        "name": clip::shown(&parent.comm, bounds::NAME),
        "executable": parent.path.as_ref().map(|path| clip::shown(path, bounds::PATH)),
        "command_line": clip::command_line(&parent.argv, cut, bounds::ARGUMENTS),
        "args": args,
        "start": time::calendar(parent.process.start, host).to_string(),
        "user": { "id": parent.uid.to_string() },
    })
}

/// In the sensor's own field set.
fn of_command(command: &Command, host: &Host) -> Value {
    json!({
        "timestamp": time::calendar(command.time, host).to_string(),
        "pid": command.process.pid,
        "parent_pid": command.parent,
        "name": clip::shown(&command.comm, bounds::NAME),
        "executable": command.executable.path.as_ref().map(|path| clip::shown(path, bounds::PATH)),
        "script": command.script.as_ref().map(|path| clip::shown(path, bounds::PATH)),
        "command_line": clip::command_line(&command.argv, command.argv_truncated, bounds::ARGUMENTS),
        "user_id": command.credentials.uid.to_string(),
    })
}

fn container(exec: &Exec, context: &Context) -> Value {
    exec.container.as_ref().map_or(Value::Null, |container| {
        json!({
            "id": clip::name(&container.id),
            "name": container.name.as_deref().map(clip::name),
            "runtime": container.runtime.to_string(),
            "image": container.image.as_deref().map(|image| json!({ "name": clip::image(image) })),
            "security_context": context
                .posture
                .as_ref()
                .map(|posture| json!({ "privileged": posture.privileged })),
        })
    })
}

fn orchestrator(context: &Context) -> Value {
    context.pod.as_ref().map_or(Value::Null, |pod| {
        json!({
            "type": "kubernetes",
            "namespace": pod.namespace.as_deref().map(clip::name),
            "resource": {
                "type": "pod",
                "id": pod.uid.as_deref().map(clip::name),
                "name": pod.name.as_deref().map(clip::name),
            },
        })
    })
}

/// Of Google's resources.
fn cloud(cloud: &Cloud) -> Value {
    // `google.compute.Instance` is the service `compute`.
    let service = cloud.kind.split('.').nth(1).map(clip::name);
    let project = cloud.project.as_deref().map(clip::name);
    json!({
        "provider": "gcp",
        "project": { "id": project },
        "account": { "id": project },
        "region": cloud.location.as_deref().map(clip::name),
        "service": { "name": service },
    })
}

fn add_connection(document: &mut Value, socket: &Socket) {
    let (source, destination) = connection::ends(socket);
    document["source"] = endpoint(source);
    document["destination"] = endpoint(destination);
    document["network"] = members::without_empty(json!({
        "transport": socket.transport.to_string().to_lowercase(),
        "iana_number": connection::protocol_number(socket.transport).map(|number| number.to_string()),
        "type": connection::ip_version(socket).map(|version| format!("ipv{version}")),
        "direction": match socket.direction {
            Direction::Inbound => "ingress",
            Direction::Outbound => "egress",
            Direction::Unknown => "unknown",
        },
    }));
    // What this host sent, if whoever opened the connection is the source.
    let (from_source, from_destination) = match socket.direction {
        Direction::Inbound => (socket.bytes_received, socket.bytes_sent),
        Direction::Outbound | Direction::Unknown => (socket.bytes_sent, socket.bytes_received),
    };
    for (end, bytes) in [("source", from_source), ("destination", from_destination)] {
        if let Some(bytes) = bytes.filter(|_| socket.transport != Transport::Vsock) {
            document[end]["bytes"] = bytes.into();
        }
    }
}

fn endpoint(endpoint: Endpoint) -> Value {
    match endpoint {
        Endpoint::Ip(address) => json!({
            "address": address.ip().to_string(),
            "ip": address.ip().to_string(),
            "port": address.port(),
        }),
        Endpoint::Vsock { .. } => json!({ "address": endpoint.to_string() }),
    }
}

/// What to search for elsewhere.
fn related(incident: &Snapshot, host: &Host, context: &Context) -> Value {
    let mut addresses: Vec<String> = Vec::new();
    for socket in &incident.sockets {
        for endpoint in [socket.remote, socket.local] {
            if let Endpoint::Ip(address) = endpoint {
                let address = address.ip().to_string();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
    }
    json!({
        "ip": addresses,
        "hosts": [host.hostname],
        "user": account_name(context).map(|name| [name]),
        "hash": context.file.as_ref().map(|file| [clip::digest(file)]),
    })
}

fn account_name(context: &Context) -> Option<String> {
    let account = context.account.as_ref()?;
    account.name.as_deref().map(clip::name)
}
