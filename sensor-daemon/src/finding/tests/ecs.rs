use serde_json::{Value, json};

use super::{
    at, exec,
    full::{known, largest},
    incident_of, on, report, reverse_shell, socket,
};
use crate::{
    finding::{Report, ecs},
    model::Direction,
};

fn document(report: &Report) -> Value {
    ecs(report)
}

#[test]
fn who_where_and_how_bad() {
    let report = known(reverse_shell());
    let document = document(&report);
    for (pointer, value) in [
        ("/@timestamp", json!("2026-11-18T11:06:44.321Z")),
        ("/event/kind", json!("alert")),
        ("/event/severity", json!(99)),
        ("/event/id", json!(format!("{}-1", report.id))),
        ("/event/action", json!("reverse_shell")),
        ("/threat/technique/subtechnique/id/0", json!("T1059.004")),
        ("/process/pid", json!(4321)),
        ("/process/args", json!(["bash", "-i"])),
        (
            "/process/hash/sha256",
            json!(report.context.file.as_ref().unwrap().sha256),
        ),
        ("/process/parent/name", json!("python3")),
        ("/process/thread/capabilities/effective/0", json!("CAP_NET_ADMIN")),
        ("/process/env_vars/2", json!("BARE=")),
        ("/user/name", json!("www-data")),
        ("/container/image/name", json!("registry.example/shop/web:1.2")),
        ("/container/security_context/privileged", json!(true)),
        ("/orchestrator/resource/name", json!("web-0")),
        ("/cloud/provider", json!("gcp")),
        ("/cloud/service/name", json!("compute")),
        ("/cloud/region", json!("europe-west1")),
        ("/cloud/availability_zone", json!("europe-west1-b")),
        ("/cloud/instance/id", json!("4711")),
        ("/agent/type", json!("sensor-daemon")),
        ("/agent/version", json!(crate::model::VERSION)),
        ("/sensor_daemon/resource/type", json!("google.compute.Instance")),
        ("/host/ip/1", json!("2001:db8::5")),
        ("/destination/ip", json!("203.0.113.7")),
        ("/destination/bytes", json!(3)),
        ("/source/bytes", json!(5)),
        ("/network/direction", json!("egress")),
        ("/related/ip", json!(["203.0.113.7", "10.0.0.5"])),
        ("/sensor_daemon/account/loginUid", json!(1001)),
    ] {
        assert_eq!(at(&document, pointer), &value, "{pointer} of {document:#}");
    }
}

#[test]
fn no_cloud_is_named_but_one_that_is_known() {
    let mut report = known(reverse_shell());
    let cloud = report.context.cloud.as_mut().unwrap();
    cloud.name = "//ec2.example/i-1".into();
    let document = document(&report);
    assert_eq!(document.pointer("/cloud"), None);
    assert_eq!(at(&document, "/sensor_daemon/resource/name"), "//ec2.example/i-1");
}

#[test]
fn the_course_of_a_finding() {
    let socket = socket(Direction::Inbound);
    let id = exec(4330, &["id", "-u"], on(&socket, [true; 3]));
    let shell = exec(4321, &["bash"], on(&socket, [true; 3]));
    let grown = document(&report(&incident_of(vec![shell.clone(), id], false)));
    assert_eq!(at(&grown, "/event/sequence"), &json!(2));
    assert_eq!(at(&grown, "/sensor_daemon/commands/0/command_line"), "id -u");
    // Who connected is the source.
    assert_eq!(at(&grown, "/source/ip"), "203.0.113.7");
    assert_eq!(grown.pointer("/event/end"), None);
    let ended = document(&report(&incident_of(vec![shell], true)));
    assert_eq!(at(&ended, "/event/duration"), &json!(20_000_000_000_u64));
    assert_eq!(at(&ended, "/event/end"), "2026-11-18T11:07:04.321Z");
}

#[test]
fn of_the_commands_the_newest_are_shown() {
    let document = document(&largest(b"\x01"));
    let commands = at(&document, "/sensor_daemon/commands").as_array().unwrap();
    assert_eq!(commands.last().unwrap()["pid"], 4439);
    assert_eq!(at(&document, "/sensor_daemon/commandsShown"), &json!(commands.len()));
}
