//! A finding in the shape of the Elastic Common Schema, version 9.4.0: one document, `event.kind` alert.
//!
//! Only fields of the schema are used outside `sensor_daemon`, the sensor's own field set, which holds what the schema has no
//! field for, and the first and the newest commands that fit. A line is at most `LINE_MAX` bytes. `docs/formats.md` maps the fields.

use serde_json::{Value, json};

use crate::{
    detect::{Command, Severity, Snapshot},
    model::{Cloud, Context, Direction, Endpoint, Exec, Host, Socket, Transport, VERSION},
};

use super::{
    CATEGORY, MODULE, Report,
    bounds::{self, LINE_MAX},
    clip, connection, describe,
    json::without_empty,
    process::{Process, environment},
    properties, time,
};

const SCHEMA: &str = "9.4.0";

/// The report as a document.
#[must_use]
pub fn ecs(report: &Report) -> Value {
    let Report {
        id,
        incident,
        host,
        losses: _,
        coverage: _,
        context,
        closed: _,
    } = report;
    let mut own = properties::of(report);
    own["resource"] = context.cloud.as_ref().map_or(Value::Null, |cloud| {
        json!({
            "name": clip::string(&cloud.name, bounds::RESOURCE_NAME),
            "display_name": clip::name(&cloud.display_name),
            "type": clip::name(&cloud.kind),
        })
    });
    let mut document = without_empty(json!({
        "@timestamp": time::calendar(incident.updated, host).to_string(),
        "message": describe::sentence(incident),
        "ecs": { "version": SCHEMA },
        "event": event(id, incident, host),
        "rule": { "id": MODULE, "name": CATEGORY, "category": "Execution", "version": VERSION },
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
            "ip": properties::addresses(context),
            "os": { "type": "linux", "kernel": host.kernel },
        },
        "agent": { "name": host.hostname, "type": env!("CARGO_PKG_NAME"), "version": VERSION },
        "observer": {
            "product": env!("CARGO_PKG_NAME"),
            "vendor": "sensor-daemon",
            "type": "sensor",
            "version": VERSION,
            "hostname": host.hostname,
        },
        "related": related(incident, host, context),
        "sensor_daemon": own,
    }));
    if let Some(socket) = incident.primary() {
        add_connection(&mut document, socket);
    }
    let room = LINE_MAX.saturating_sub(clip::json_size(&document) + "\"commands\":[],".len());
    let commands = clip::commands(incident, room, |command| without_empty(of_command(command, host)));
    let own = &mut document["sensor_daemon"];
    properties::count_commands(own, incident, commands.shown.len(), commands.first);
    if !commands.shown.is_empty() {
        own["commands"] = commands.shown.into();
    }
    document
}

fn event(id: &str, incident: &Snapshot, host: &Host) -> Value {
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
        "duration": incident.ended.map(|_| incident.duration()),
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
    let mut process = of_process(&exec.into(), host);
    let credentials = exec.credentials;
    // Only the shell's real user is looked up by name.
    let effective_name = (credentials.euid == credentials.uid).then(|| account_name(context));
    let (variables, _) = environment(context);
    let variables = variables.iter().map(|(name, value)| format!("{name}={value}"));
    for (field, value) in [
        ("args_count", (!exec.argv_truncated).then_some(exec.argv.len()).into()),
        (
            "working_directory",
            exec.cwd
                .as_ref()
                .map(|cwd| clip::shown(cwd, bounds::WORKING_DIRECTORY))
                .into(),
        ),
        (
            "user",
            json!({ "id": credentials.euid.to_string(), "name": effective_name }),
        ),
        (
            "real_user",
            json!({ "id": credentials.uid.to_string(), "name": account_name(context) }),
        ),
        ("group", json!({ "id": credentials.egid.to_string() })),
        ("real_group", json!({ "id": credentials.gid.to_string() })),
        ("hash", json!({ "sha256": context.file.as_ref().map(clip::digest) })),
        (
            "thread",
            json!({ "capabilities": { "effective": context.posture.as_ref().map(properties::capabilities) } }),
        ),
        ("env_vars", variables.collect()),
        (
            "parent",
            exec.parent().map(|parent| of_process(&parent.into(), host)).into(),
        ),
    ] {
        process[field] = value;
    }
    process
}

fn of_process(process: &Process<'_>, host: &Host) -> Value {
    json!({
        "pid": process.id.pid,
        "entity_id": process.entity(host),
        "name": process.name(),
        "executable": process.path(),
        "args": process.arguments().0,
        "command_line": process.command_line(),
        "start": time::calendar(process.id.start, host).to_string(),
        "user": { "id": process.uid.map(|uid| uid.to_string()) },
    })
}

/// In the sensor's own field set.
fn of_command(command: &Command, host: &Host) -> Value {
    let process = Process::from(command);
    json!({
        "timestamp": time::calendar(command.time, host).to_string(),
        "pid": process.id.pid,
        "parent_pid": process.parent,
        "name": process.name(),
        "executable": process.path(),
        "script": process.script(),
        "command_line": process.command_line(),
        "user_id": process.uid.map(|uid| uid.to_string()),
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
        "region": cloud.region.as_deref().map(clip::name),
        "availability_zone": cloud.zone.as_deref().map(clip::name),
        "instance": { "id": cloud.instance_id.as_deref().map(clip::name) },
        "service": { "name": service },
    })
}

fn add_connection(document: &mut Value, socket: &Socket) {
    let (source, destination) = connection::ends(socket);
    document["source"] = endpoint(source);
    document["destination"] = endpoint(destination);
    document["network"] = without_empty(json!({
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
