//! What sinks with flat fields say of a finding: name and value, each value on one line, harmless to a terminal, and bounded. The
//! journal and syslog share the fields, so that a search in the one is a search in the other.

use crate::{
    detect::Severity,
    finding::{self, Report},
    model::{Endpoint, Text, printable},
};

/// Most bytes of a value: `journalctl -o json` leaves out what has more than 4,096.
const VALUE_MAX: usize = 4000;

/// A field's name, in capitals and without a prefix, and its value.
pub(super) type Field = (&'static str, String);

/// The fields of a report; one that is not known is missing.
pub(super) fn of(report: &Report) -> Vec<Field> {
    let Report {
        id,
        incident,
        host,
        losses: _,
        coverage: _,
        context,
        closed,
    } = report;
    let shell = &incident.shell;
    let socket = incident.primary();
    let container = shell.container.as_ref();
    let pod = context.pod.as_ref();
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.to_text().into_owned());
    let time = |at| finding::time::calendar(at, host).to_string();
    let (remote_address, remote_port) = socket.map(|socket| parts(socket.remote)).unzip();
    let (local_address, local_port) = socket.map(|socket| parts(socket.local)).unzip();
    let last = incident.commands.last();
    let fields = [
        ("ID", Some(id.clone())),
        ("CATEGORY", Some(finding::CATEGORY.to_owned())),
        ("SEVERITY", Some(incident.severity.name().to_owned())),
        ("STATE", Some(report.state().to_owned())),
        ("UPDATE", Some(incident.update.to_string())),
        ("START", Some(time(incident.opened))),
        ("END", incident.ended.map(time)),
        ("END_REASON", incident.end_reason.map(|why| why.name().to_owned())),
        ("CLOSE_REASON", closed.as_ref().and_then(|closed| closed.reason.clone())),
        ("TECHNIQUE", Some(incident.technique.name().to_owned())),
        ("LINK", Some(incident.link.name().to_owned())),
        ("DIRECTION", Some(finding::direction(incident.direction).to_owned())),
        ("REMOTE_ADDRESS", remote_address),
        ("REMOTE_PORT", remote_port),
        ("LOCAL_ADDRESS", local_address),
        ("LOCAL_PORT", local_port),
        ("TRANSPORT", socket.map(|socket| socket.transport.to_string())),
        ("BINARY", text(&shell.executable.path)),
        ("SCRIPT", text(&shell.script)),
        (
            "ARGS",
            Some(finding::command_line(&shell.argv, shell.argv_truncated, VALUE_MAX)),
        ),
        ("PID", Some(shell.process.pid.to_string())),
        (
            "PARENT_PID",
            shell.parent().map(|parent| parent.process.pid.to_string()),
        ),
        ("UID", Some(shell.credentials.uid.to_string())),
        (
            "USER",
            context.account.as_ref().and_then(|account| account.name.clone()),
        ),
        ("SHA256", context.file.as_ref().map(|file| file.sha256.clone())),
        ("COMMAND_COUNT", Some(incident.command_count.to_string())),
        (
            "LAST_COMMAND",
            last.map(|command| finding::command_line(&command.argv, command.argv_truncated, VALUE_MAX)),
        ),
        ("CONTAINER_ID", container.map(|container| container.id.clone())),
        ("CONTAINER_NAME", container.and_then(|container| container.name.clone())),
        (
            "CONTAINER_IMAGE",
            container.and_then(|container| container.image.clone()),
        ),
        ("POD_NAMESPACE", pod.and_then(|pod| pod.namespace.clone())),
        ("POD_NAME", pod.and_then(|pod| pod.name.clone())),
        ("RESOURCE", context.cloud.as_ref().map(|cloud| cloud.name.clone())),
        ("HOSTNAME", Some(host.hostname.clone())),
        ("VERSION", Some(crate::model::VERSION.to_owned())),
    ];
    let known = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| (name, one_line(&value, VALUE_MAX))).collect()
}

/// The text in its printable form, cut at a character after at most so many bytes.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let mut line = printable(text);
    if line.len() > most {
        line.truncate(line.floor_char_boundary(most));
        line.push('…');
    }
    line
}

/// Address and port.
fn parts(end: Endpoint) -> (String, String) {
    match end {
        Endpoint::Ip(address) => (address.ip().to_string(), address.port().to_string()),
        Endpoint::Vsock { cid, port } => (format!("vsock:{cid}"), port.to_string()),
    }
}

/// The level of an entry (`syslog(3)`): the severity of a takeover that goes on, `notice` for its end, which is no alarm.
pub(super) fn priority(report: &Report) -> u8 {
    const NOTICE: u8 = 5;
    match (report.state(), report.incident.severity) {
        ("ACTIVE", Severity::Critical) => 2,
        ("ACTIVE", Severity::High) => 3,
        ("ACTIVE", Severity::Medium) => 4,
        _ => NOTICE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::tests::{ended, report, reverse_shell};

    #[test]
    fn values_act_on_no_terminal() {
        let mut report = report(&reverse_shell());
        report.incident.shell.argv = vec!["bash".into(), "\u{1b}[2J\nFINDING_ID=evil\u{202e}".into()];
        report.incident.shell.executable.path = Some(b"/tmp/\xff\x1b".as_slice().into());
        let fields = of(&report);
        assert!(
            fields
                .iter()
                .any(|(name, value)| *name == "ARGS" && value.contains("FINDING_ID=evil"))
        );
        for (name, value) in fields {
            assert_eq!(printable(&value), value, "{name}");
        }
    }

    #[test]
    fn an_end_is_told_and_is_no_alarm() {
        let of_name = |report: &Report, name: &str| {
            of(report)
                .into_iter()
                .find(|field| field.0 == name)
                .map(|field| field.1)
        };
        let active = report(&reverse_shell());
        assert_eq!((priority(&active), of_name(&active, "END")), (2, None));
        assert_eq!(of_name(&active, "LOCAL_ADDRESS").as_deref(), Some("10.0.0.5"));
        assert_eq!(of_name(&active, "DIRECTION").as_deref(), Some("outbound"));
        let ended = report(&ended());
        assert_eq!(
            (priority(&ended), of_name(&ended, "STATE").as_deref()),
            (5, Some("ENDED"))
        );
        assert_eq!(of_name(&ended, "END").as_deref(), Some("2026-11-18T11:07:04.321Z"));
    }
}
