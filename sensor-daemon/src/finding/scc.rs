//! A finding in the shape of Security Command Center, version 2: one `ListFindingsResult`, as its API lists them.
//!
//! The official parser is strict: it refuses unknown fields, lower-case enumerations and odd times. So every field here is one
//! that it knows; what has no field of its own goes into `sourceProperties` ([`super::properties`]). Null and empty members
//! are left out at the end.

use serde_json::{Value, json};

use crate::{
    detect::Snapshot,
    model::{Cloud, Container, Context, Exec, Hop, Host, Pod, Socket, Transport},
};

use super::{
    CATEGORY, MODULE, Report, advice,
    bounds::{self, LINE_MAX},
    clip, connection, describe,
    json::without_empty,
    process::{self, Process},
    properties, time,
};

const SOURCE: &str = "organizations/0/sources/0/locations/global";
const SOURCE_NAME: &str = "Host Runtime Sensor";

/// The report as a finding and its resource.
#[must_use]
pub fn scc(report: &Report) -> Value {
    let Report {
        id,
        incident,
        host,
        losses: _,
        coverage: _,
        context,
        closed,
    } = report;
    let name = format!("{SOURCE}/findings/{id}");
    let resource = resource(host, context.cloud.as_ref());
    let containers: Vec<Value> = incident.shell.container.iter().map(container).collect();
    let mut line = without_empty(json!({
        "finding": {
            "canonicalName": name,
            "name": name,
            "parent": SOURCE,
            "resourceName": resource["name"],
            // INACTIVE means "fixed or triaged" to whoever reads it. That a takeover has ended is neither.
            "state": if closed.is_some() { "INACTIVE" } else { "ACTIVE" },
            "category": CATEGORY,
            "parentDisplayName": SOURCE_NAME,
            "moduleName": MODULE,
            "description": describe::sentence(incident),
            "nextSteps": advice::next_steps(report),
            "severity": incident.severity,
            "mute": "UNDEFINED",
            "findingClass": "THREAT",
            "eventTime": time::calendar(incident.updated, host).to_string(),
            "createTime": time::calendar(incident.opened, host).to_string(),
            "mitreAttack": {
                "primaryTactic": "EXECUTION",
                "primaryTechniques": if describe::is_unix_shell(incident) {
                    &["COMMAND_AND_SCRIPTING_INTERPRETER", "UNIX_SHELL"][..]
                } else {
                    &["COMMAND_AND_SCRIPTING_INTERPRETER"]
                },
                "additionalTactics": ["COMMAND_AND_CONTROL"],
                "version": "17",
            },
            "indicator": {
                "ipAddresses": connection::peers(incident).iter().map(|(peer, _)| peer.to_string()).collect::<Vec<_>>(),
            },
            "connections": incident.sockets.iter().filter_map(connection).collect::<Vec<_>>(),
            "processes": processes(incident, context),
            "kubernetes": context.pod.as_ref().map(|pod| kubernetes(pod, &containers)),
            "containers": containers,
            "sourceProperties": properties::of(report),
        },
        "resource": resource,
    }));
    let room = LINE_MAX.saturating_sub(clip::json_size(&line));
    let commands = clip::commands(incident, room, |command| {
        without_empty(of_process(&Process::from(command)))
    });
    let finding = &mut line["finding"];
    properties::count_commands(
        &mut finding["sourceProperties"],
        incident,
        commands.shown.len(),
        commands.first,
    );
    if let Some(processes) = finding["processes"].as_array_mut() {
        processes.splice(1..1, commands.shown);
    }
    line
}

/// The shell, its relays, its ancestors. Commands are put after the shell.
fn processes(incident: &Snapshot, context: &Context) -> Vec<Value> {
    let ancestors = incident.ancestors();
    let is_above = |hop: &&Hop| ancestors.iter().any(|ancestor| ancestor.process == hop.process);
    let mut processes = vec![shell(&incident.shell, context)];
    let relays = incident.relays.iter().filter(|hop| !is_above(hop));
    processes.extend(relays.map(|hop| of_process(&hop.into())));
    processes.extend(ancestors.iter().enumerate().map(|(at, ancestor)| {
        let mut process = Process::from(ancestor);
        process.parent = ancestors.get(at + 1).map(|parent| parent.process.pid);
        of_process(&process)
    }));
    processes
}

fn shell(exec: &Exec, context: &Context) -> Value {
    let mut shell = of_process(&exec.into());
    if let Some(content) = &context.file {
        let size = content.size.to_string();
        shell["binary"]["sha256"] = clip::digest(content).into();
        shell["binary"]["size"] = size.as_str().into();
        shell["binary"]["hashedSize"] = size.into();
    }
    let (variables, truncated) = process::environment(context);
    let variables = variables
        .iter()
        .map(|(name, value)| json!({ "name": name, "val": value }));
    shell["envVariables"] = variables.collect();
    shell["envVariablesTruncated"] = truncated.then_some(true).into();
    shell
}

fn of_process(process: &Process<'_>) -> Value {
    let (args, truncated) = process.arguments();
    json!({
        "name": process.name(),
        "binary": { "path": process.path() },
        "script": { "path": process.script() },
        "args": args,
        "argumentsTruncated": truncated.then_some(true),
        "pid": process.id.pid.to_string(),
        "parentPid": process.parent.map(|parent| parent.to_string()),
        "userId": process.uid.map(|uid| uid.to_string()),
    })
}

fn connection(socket: &Socket) -> Option<Value> {
    let (source, destination) = connection::source_and_destination(socket)?;
    Some(json!({
        "destinationIp": destination.ip().to_string(),
        "destinationPort": destination.port(),
        "sourceIp": source.ip().to_string(),
        "sourcePort": source.port(),
        // The others have no name in this format.
        "protocol": match socket.transport {
            Transport::Tcp => Some("TCP"),
            Transport::Udp => Some("UDP"),
            Transport::Sctp | Transport::Dccp | Transport::Vsock | Transport::Other(_) => None,
        },
    }))
}

/// A host that is in no known cloud has no resource name that others know: its machine id is the best there is.
fn resource(host: &Host, cloud: Option<&Cloud>) -> Value {
    let Some(cloud) = cloud else {
        let id = [&host.machine_id, &host.hostname].into_iter().find(|id| !id.is_empty());
        return json!({
            "name": format!("//hosts/{}", id.map_or("", String::as_str)),
            "displayName": host.hostname,
            "type": "host",
        });
    };
    let project = cloud.project.as_deref().map(clip::name);
    json!({
        "name": clip::string(&cloud.name, bounds::RESOURCE_NAME),
        "displayName": clip::name(&cloud.display_name),
        "type": clip::name(&cloud.kind),
        "cloudProvider": cloud.is_google().then_some("GOOGLE_CLOUD_PLATFORM"),
        "location": cloud.location.as_deref().map(clip::name),
        "gcpMetadata": {
            "project": project.as_ref().map(|project| format!("//cloudresourcemanager.googleapis.com/projects/{project}")),
            "projectDisplayName": project,
        },
    })
}

/// The format has no field for the id of a container.
fn container(container: &Container) -> Value {
    json!({
        "name": container.name.as_deref().map(clip::name),
        "uri": container.image.as_deref().map(clip::image),
        "labels": [
            { "name": "id", "value": clip::name(&container.id) },
            { "name": "runtime", "value": container.runtime.to_string() },
        ],
    })
}

fn kubernetes(pod: &Pod, containers: &[Value]) -> Value {
    json!({
        "pods": [{
            "ns": pod.namespace.as_deref().map(clip::name),
            "name": pod.name.as_deref().map(clip::name),
            "labels": pod.uid.as_deref().map(|uid| json!([{ "name": "uid", "value": clip::name(uid) }])),
            "containers": containers,
        }],
    })
}
