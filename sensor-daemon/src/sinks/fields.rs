//! What sinks with flat fields say of a finding: name and value, each value bounded. The journal and syslog share it, so that
//! a search in the one is a search in the other.

use crate::{
    detect::{Severity, State},
    finding::{self, Report},
    model::{Endpoint, Text},
};

/// Most bytes of a value: `journalctl -o json` leaves out what has more than 4,096.
pub(super) const VALUE_MAX: usize = 4000;

/// A field's name, in capitals and without a prefix, and its value, which can hold anything but is text.
pub(super) type Field = (&'static str, String);

/// The fields of a report; one that is not known is missing.
pub(super) fn of(report: &Report) -> Vec<Field> {
    let Report {
        id,
        incident,
        host,
        losses: _,
        context,
        closed: _,
    } = report;
    let shell = &incident.shell;
    let peer = incident.primary().map(|socket| socket.remote);
    let container = shell.container.as_ref();
    let cloud = context.cloud.as_ref();
    let pod = context.pod.as_ref();
    let number = |number: u64| Some(number.to_string());
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.to_text().into_owned());
    let fields = [
        ("ID", Some(id.clone())),
        ("CATEGORY", Some(finding::CATEGORY.to_owned())),
        ("SEVERITY", Some(incident.severity.name().to_owned())),
        ("STATE", Some(state(incident.state).to_owned())),
        ("UPDATE", number(incident.update)),
        ("TECHNIQUE", Some(incident.technique.name().to_owned())),
        ("LINK", Some(incident.link.name().to_owned())),
        ("REMOTE_ADDRESS", peer.map(address)),
        ("REMOTE_PORT", peer.map(port)),
        (
            "TRANSPORT",
            incident.primary().map(|socket| socket.transport.to_string()),
        ),
        ("BINARY", text(&shell.executable.path)),
        ("SCRIPT", text(&shell.script)),
        (
            "ARGS",
            Some(finding::command_line(&shell.argv, shell.argv_truncated, VALUE_MAX)),
        ),
        ("PID", number(shell.process.pid.into())),
        (
            "PARENT_PID",
            shell.parent().map(|parent| parent.process.pid.to_string()),
        ),
        ("UID", number(shell.credentials.uid.into())),
        (
            "USER",
            context.account.as_ref().and_then(|account| account.name.clone()),
        ),
        ("SHA256", context.file.as_ref().map(|file| file.sha256.clone())),
        ("COMMAND_COUNT", number(incident.command_count)),
        (
            "LAST_COMMAND",
            incident
                .commands
                .last()
                .map(|command| finding::command_line(&command.argv, command.argv_truncated, VALUE_MAX)),
        ),
        ("CONTAINER_ID", container.map(|container| container.id.clone())),
        ("CONTAINER_NAME", container.and_then(|container| container.name.clone())),
        (
            "CONTAINER_IMAGE",
            container.and_then(|container| container.image.clone()),
        ),
        ("POD_NAMESPACE", pod.and_then(|pod| pod.namespace.clone())),
        ("POD_NAME", pod.and_then(|pod| pod.name.clone())),
        ("RESOURCE", cloud.map(|cloud| cloud.name.clone())),
        ("HOSTNAME", Some(host.hostname.clone())),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, bounded(value?))))
        .collect()
}

fn state(state: State) -> &'static str {
    match state {
        State::Active => "ACTIVE",
        State::Inactive => "INACTIVE",
    }
}

/// Cut at a character.
fn bounded(mut value: String) -> String {
    if value.len() > VALUE_MAX {
        let end = (0..=VALUE_MAX)
            .rev()
            .find(|&at| value.is_char_boundary(at))
            .unwrap_or(0);
        value.truncate(end);
        value.push('…');
    }
    value
}

fn address(peer: Endpoint) -> String {
    match peer {
        Endpoint::Ip(address) => address.ip().to_string(),
        Endpoint::Vsock { cid, .. } => format!("vsock:{cid}"),
    }
}

fn port(peer: Endpoint) -> String {
    match peer {
        Endpoint::Ip(address) => address.port().to_string(),
        Endpoint::Vsock { port, .. } => port.to_string(),
    }
}

/// The level that syslog and the journal know (`syslog(3)`).
pub(super) fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
    }
}
