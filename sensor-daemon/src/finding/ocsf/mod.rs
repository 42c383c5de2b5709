//! A finding in the shape of the Open Cybersecurity Schema Framework, version 1.8.0: one event of the class Detection Finding
//! (class_uid 2004), with the profiles host, container and security_control, and cloud where the cloud is known.
//!
//! The schema is closed: every field here is one that it has, what has no field is in `unmapped`. `evidences` holds the shell
//! with the connection first, then the first and the newest commands that fit, then relays and further connections; `name` says which. A
//! line is at most `LINE_MAX` bytes. `docs/formats.md` maps the fields.

mod evidence;
mod place;
mod process;

use serde_json::{Value, json};

use crate::{
    detect::{Link, Severity, Snapshot},
    model::{Context, VERSION},
};

use super::{
    CATEGORY, MODULE, Report, advice,
    bounds::{self, LINE_MAX},
    clip, describe,
    json::without_empty,
    properties,
    time::milliseconds,
};

const SCHEMA: &str = "1.8.0";
const CLASS: u32 = 2004;

/// The report as an event.
#[must_use]
pub fn ocsf(report: &Report) -> Value {
    let Report {
        id,
        incident,
        host,
        losses: _,
        coverage: _,
        context,
        closed,
    } = report;
    let activity = match (closed, incident.update) {
        (Some(_), _) => (3, "Close"),
        (None, ..=1) => (1, "Create"),
        (None, _) => (2, "Update"),
    };
    let (severity_id, severity) = severity(incident.severity);
    let (confidence_id, confidence) = confidence(incident.link);
    let mut event = without_empty(json!({
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
        "duration": incident.ended.map(|_| incident.duration() / 1_000_000),
        "severity_id": severity_id,
        "severity": severity,
        "confidence_id": confidence_id,
        "confidence": confidence,
        // What has been done about the finding. That a takeover has ended changes nothing there; `end_time` says it.
        "status_id": if closed.is_some() { 4 } else { 1 },
        "status": if closed.is_some() { "Resolved" } else { "New" },
        "status_detail": incident.end_reason.map(|reason| format!("ended: {}", reason.name())),
        "comment": closed.as_ref().and_then(|closed| closed.reason.as_deref()).map(|why| clip::string(why, bounds::REASON)),
        "remediation": { "desc": advice::next_steps(report) },
        "is_alert": true,
        "action_id": 3,
        "action": "Observed",
        "disposition_id": 15,
        "disposition": "Detected",
        "message": describe::sentence(incident),
        "metadata": {
            "version": SCHEMA,
            "profiles": profiles(context),
            "product": {
                "name": env!("CARGO_PKG_NAME"),
                "vendor_name": "sensor-daemon",
                "version": VERSION,
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
            "desc": clip::string(&incident.evidence, bounds::EVIDENCE),
            "types": ["Execution", incident.technique.name()],
            "analytic": { "type_id": 1, "type": "Rule", "name": CATEGORY, "uid": MODULE },
            "created_time": milliseconds(incident.opened, host),
            "first_seen_time": milliseconds(incident.opened, host),
            "last_seen_time": milliseconds(incident.updated, host),
            "modified_time": milliseconds(incident.updated, host),
            "attacks": attacks(incident),
            "data_sources": ["eBPF", "procfs"],
        },
        "evidences": evidence::evidences(incident, host, context),
        "device": place::device(host, context),
        "cloud": place::cloud(context),
        "resources": [place::resource(host, context)],
        "observables": evidence::observables(incident, context),
        "unmapped": properties::of(report),
    }));
    let room = LINE_MAX.saturating_sub(clip::json_size(&event));
    let commands = clip::commands(incident, room, |command| {
        without_empty(json!({ "name": "command", "process": process::of_command(command, host) }))
    });
    properties::count_commands(&mut event["unmapped"], incident, commands.shown.len(), commands.first);
    if let Some(evidences) = event["evidences"].as_array_mut() {
        evidences.splice(1..1, commands.shown);
    }
    event
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

fn profiles(context: &Context) -> Vec<&'static str> {
    let mut profiles = vec!["host", "container", "security_control"];
    // It demands a cloud.
    profiles.extend(place::google(context).map(|_| "cloud"));
    profiles
}

/// Execution, by a shell or an interpreter, and what the connection is for.
fn attacks(incident: &Snapshot) -> Value {
    let execution = json!({
        "version": "17",
        "tactic": { "uid": "TA0002", "name": "Execution" },
        "technique": { "uid": "T1059", "name": "Command and Scripting Interpreter" },
        "sub_technique": describe::is_unix_shell(incident)
            .then(|| json!({ "uid": "T1059.004", "name": "Unix Shell" })),
    });
    json!([execution, { "version": "17", "tactic": { "uid": "TA0011", "name": "Command and Control" } }])
}
