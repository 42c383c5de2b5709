use serde_json::{Value, json};

use super::{
    at, exec,
    full::{incident_with_commands, known},
    incident_of, on, report, reverse_shell, socket,
};
use crate::{
    finding::{self, Closed, Report, finding_id, ocsf},
    model::{Direction, Text},
};

fn event(report: &Report) -> Value {
    ocsf(report)
}

#[test]
fn who_where_and_how_bad() {
    let report = known(reverse_shell());
    let event = event(&report);
    for (pointer, value) in [
        ("/class_uid", json!(2004)),
        ("/type_uid", json!(200_401)),
        ("/severity_id", json!(5)),
        ("/finding_info/uid", json!(report.id)),
        ("/metadata/uid", json!(format!("{}-1", report.id))),
        ("/time", json!(1_795_000_004_321_u64)),
        ("/evidences/0/process/pid", json!(4321)),
        ("/evidences/0/process/cmd_line", json!("bash -i")),
        ("/evidences/0/process/file/path", json!("/usr/bin/bash")),
        ("/evidences/0/process/file/hashes/0/algorithm_id", json!(3)),
        ("/evidences/0/process/user/name", json!("www-data")),
        ("/evidences/0/process/session/terminal", json!("pts/3")),
        ("/evidences/0/process/parent_process/pid", json!(4300)),
        ("/evidences/0/process/ancestry/1/name", json!("systemd")),
        ("/evidences/0/process/container/name", json!("web")),
        ("/evidences/0/process/environment_variables/0/name", json!("PATH")),
        ("/evidences/0/dst_endpoint/ip", json!("203.0.113.7")),
        ("/evidences/0/src_endpoint/port", json!(51234)),
        ("/evidences/0/connection_info/direction_id", json!(2)),
        ("/cloud/account/uid", json!("demo")),
        ("/cloud/zone", json!("europe-west1-b")),
        ("/cloud/region", json!("europe-west1")),
        ("/device/instance_uid", json!("4711")),
        (
            "/remediation/desc",
            finding::scc(&report)["finding"]["nextSteps"].clone(),
        ),
        ("/resources/0/type", json!("google.compute.Instance")),
        ("/observables/0/value", json!("203.0.113.7")),
        ("/device/hostname", json!("vm1")),
        ("/unmapped/posture/privileged", json!(true)),
        ("/unmapped/technique", json!("reverse_shell")),
    ] {
        assert_eq!(at(&event, pointer), &value, "{pointer} of {event:#}");
    }
}

#[test]
fn the_course_of_a_finding() {
    let socket = socket(Direction::Inbound);
    let id = exec(4330, &["id", "-u"], on(&socket, [true; 3]));
    let shell = exec(4321, &["bash"], on(&socket, [true; 3]));
    let grown = event(&report(&incident_of(vec![shell.clone(), id], false)));
    assert_eq!(
        (at(&grown, "/activity_id"), at(&grown, "/status_id")),
        (&json!(2), &json!(1))
    );
    assert_eq!(at(&grown, "/evidences/1/name"), "command");
    assert_eq!(at(&grown, "/evidences/1/process/cmd_line"), "id -u");
    // Who connected is the source.
    assert_eq!(at(&grown, "/evidences/0/src_endpoint/ip"), "203.0.113.7");
    let mut report = report(&incident_of(vec![shell], true));
    let ended = event(&report);
    // That it has ended is no judgement: nobody has looked at it yet.
    assert_eq!(
        (at(&ended, "/activity_id"), at(&ended, "/status_id")),
        (&json!(2), &json!(1))
    );
    assert_eq!(at(&ended, "/status_detail"), "ended: processes_ended");
    assert_eq!(at(&ended, "/end_time"), &json!(1_795_000_024_321_u64));
    report.closed = Some(Closed {
        unix_ns: 0,
        reason: Some("a drill".into()),
    });
    let closed = event(&report);
    assert_eq!(
        (at(&closed, "/activity_id"), at(&closed, "/status_id")),
        (&json!(3), &json!(4))
    );
    assert_eq!(at(&closed, "/comment"), "a drill");
    assert_eq!(at(&ended, "/duration"), &json!(20_000));
    assert_eq!(at(&ended, "/finding_info/uid"), at(&grown, "/finding_info/uid"));
}

#[test]
fn what_is_not_known_is_left_out() {
    let event = event(&report(&reverse_shell()));
    for pointer in [
        "/cloud",
        "/evidences/0/process/container",
        "/evidences/0/process/session",
        "/device/ip",
    ] {
        assert_eq!(event.pointer(pointer), None, "{pointer}");
    }
    let profiles = at(&event, "/metadata/profiles").as_array().unwrap();
    assert!(!profiles.contains(&json!("cloud")), "it would be demanded");
}

#[test]
fn no_cloud_is_named_but_one_that_is_known() {
    let mut report = known(reverse_shell());
    let cloud = report.context.cloud.as_mut().unwrap();
    cloud.name = "//ec2.example/i-1".into();
    let event = event(&report);
    assert_eq!(event.pointer("/cloud"), None);
    let profiles = at(&event, "/metadata/profiles").as_array().unwrap();
    assert!(!profiles.contains(&json!("cloud")), "it would be demanded");
    assert_eq!(at(&event, "/resources/0/uid"), "//ec2.example/i-1");
}

#[test]
fn of_the_commands_the_first_and_the_newest_are_shown() {
    let event = event(&known(incident_with_commands(&socket(Direction::Outbound))));
    let evidences = at(&event, "/evidences").as_array().unwrap();
    let commands: Vec<&Value> = evidences.iter().filter(|item| item["name"] == "command").collect();
    assert!(commands.len() > 1);
    assert_eq!(commands.last().unwrap()["process"]["pid"], 4439);
    assert_eq!(commands[0]["process"]["pid"], 4400);
    assert_eq!(at(&event, "/unmapped/commandsShown"), &json!(commands.len()));
    let first = at(&event, "/unmapped/firstCommandsShown").as_u64().unwrap();
    assert_eq!(commands[first as usize - 1]["process"]["pid"], 4400 + first - 1);
    assert_eq!(at(&event, "/unmapped/commandsOmitted"), &json!(40 - commands.len()));
}

#[test]
fn arguments_are_quoted_so_that_words_stay_apart() {
    let mut incident = reverse_shell();
    incident.shell.argv = ["sh", "-c", "id; it's", ""].map(Text::from).to_vec();
    let event = event(&report(&incident));
    assert_eq!(at(&event, "/evidences/0/process/cmd_line"), "sh -c 'id; it'\\''s' ''");
    assert_eq!(
        at(&event, "/finding_info/uid"),
        &json!(finding_id(&incident, &super::host()))
    );
}
