//! Findings at a real syslog collector: rsyslog, which parses what it gets and writes it down as JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use common::{hostile, reports, wait_for};
use sensor_daemon::sinks::{
    Sink as _,
    syslog::{Collector, Syslog},
};
use serde_json::Value;
use tempfile::TempDir;

const RSYSLOG: &str = "/usr/sbin/rsyslogd";

struct Rsyslog {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl Rsyslog {
    fn start() -> Self {
        assert!(
            Path::new(RSYSLOG).exists(),
            "rsyslog is not installed: run cargo xtask setup --tests"
        );
        let dir = tempfile::tempdir().unwrap();
        // Free now, and nobody else is after it.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = dir.path().display();
        let config = format!(
            r#"
global(workDirectory="{place}" maxMessageSize="8k")
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
module(load="imtcp")
input(type="imuxsock" Socket="{place}/log" UseSpecialParser="off")
input(type="imudp" address="127.0.0.1" port="{port}")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="line" type="list" option.jsonf="on") {{
    property(outname="priority" name="pri" format="jsonf")
    property(outname="app" name="app-name" format="jsonf")
    property(outname="type" name="msgid" format="jsonf")
    property(outname="version" name="protocol-version" format="jsonf")
    property(outname="input" name="inputname" format="jsonf")
    property(outname="text" name="msg" format="jsonf")
    property(outname="data" name="structured-data" format="jsonf")
}}
action(type="omfile" file="{place}/out" template="line")
"#
        );
        let file = dir.path().join("conf");
        fs::write(&file, config).unwrap();
        let child = Command::new(RSYSLOG)
            .args(["-n", "-i"])
            .arg(dir.path().join("pid"))
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let rsyslog = Self { child, dir, port };
        wait_for("rsyslog", || {
            let listens = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            (listens && rsyslog.dir.path().join("log").exists()).then_some(())
        });
        rsyslog
    }

    fn collectors(&self) -> [Collector; 3] {
        [
            Collector::Unix(self.dir.path().join("log")),
            format!("udp:127.0.0.1:{}", self.port).parse().unwrap(),
            format!("tcp:127.0.0.1:{}", self.port).parse().unwrap(),
        ]
    }

    /// Everything that was received, once there are `count` messages.
    fn received(&self, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} messages"), || {
            let text = fs::read_to_string(self.dir.path().join("out")).unwrap_or_default();
            let lines = text.lines();
            let messages: Vec<Value> = lines.map_while(|line| serde_json::from_str(line).ok()).collect();
            (messages.len() >= count).then_some(messages)
        })
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text, which is a JSON object.
fn fields(message: &Value) -> Value {
    serde_json::from_str(message["text"].as_str().unwrap()).unwrap()
}

#[test]
fn findings_arrive_over_every_transport() {
    let rsyslog = Rsyslog::start();
    let reports = reports();
    for collector in rsyslog.collectors() {
        let mut sink = Syslog::new(collector);
        for report in &reports {
            sink.deliver(report).unwrap();
        }
    }
    let messages = rsyslog.received(3 * reports.len());
    assert_eq!(messages.len(), 3 * reports.len());
    for message in &messages {
        let fields = fields(message);
        // LOG_AUTHPRIV, and LOG_CRIT or, of an end, LOG_NOTICE.
        let priority = if fields["state"] == "ENDED" { "85" } else { "82" };
        assert_eq!(message["priority"], priority, "{message:#}");
        assert_eq!(
            (&message["app"], &message["type"], &message["data"]),
            (&"sensor-daemon".into(), &"FINDING".into(), &"-".into())
        );
        assert_eq!(fields["technique"], "reverse_shell", "{message:#}");
        assert!(
            fields["message"].as_str().unwrap().contains("reverse shell"),
            "{message:#}"
        );
    }
    for report in &reports {
        let of_it = messages.iter().filter(|message| {
            let fields = fields(message);
            fields["id"] == report.id && fields["update"].as_str() == Some(report.incident.update.to_string().as_str())
        });
        assert_eq!(of_it.count(), 3, "{}", report.id);
    }
}

#[test]
fn hostile_bytes_make_no_messages_and_no_fields() {
    let rsyslog = Rsyslog::start();
    let report = hostile();
    let last = &reports()[0];
    for collector in rsyslog.collectors() {
        let mut sink = Syslog::new(collector);
        sink.deliver(&report).unwrap();
        sink.deliver(last).unwrap();
    }
    let messages = rsyslog.received(6);
    assert_eq!(messages.len(), 6, "{messages:#?}");
    let hostile: Vec<&Value> = messages
        .iter()
        .filter(|message| fields(message)["id"] == report.id)
        .collect();
    assert_eq!(hostile.len(), 3, "{messages:#?}");
    for message in hostile {
        assert_eq!((&message["priority"], &message["data"]), (&"82".into(), &"-".into()));
        let fields = fields(message);
        assert!(
            fields["args"].as_str().unwrap().contains("FINDING_ID=evil"),
            "{message:#}"
        );
        assert!(
            !message["text"].as_str().unwrap().contains(char::is_control),
            "{message:#}"
        );
    }
}
