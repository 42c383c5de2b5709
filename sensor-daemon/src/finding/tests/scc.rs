use serde_json::Value;

use super::{ended, exec, host, incident_of, on, relays, report, reverse_shell, socket};
use crate::{
    detect::{Link, Snapshot},
    finding::{Closed, LINE_MAX, Report, finding_id, json, ocsf, scc},
    model::{Direction, Endpoint, Host, Losses, Text, Transport},
};

/// The line, and what it says; it has to be one line within its bound.
pub(super) fn written(incident: &Snapshot) -> Value {
    let line = json::line(&scc(&report(incident)));
    assert!(line.len() <= LINE_MAX, "{} bytes", line.len());
    assert!(!line.contains('\n'));
    serde_json::from_str(&line).unwrap()
}

#[test]
fn golden_reverse_shell() {
    let socket = socket(Direction::Outbound);
    let incident = incident_of(
        vec![
            exec(4321, &["bash", "-i"], on(&socket, [true; 3])),
            exec(4330, &["id", "-u"], on(&socket, [true; 3])),
        ],
        false,
    );
    let id = finding_id(&incident, &host());
    let losses = Losses {
        ring_full: 2,
        ..Losses::default()
    };
    let line = scc(&Report::new(incident, &host(), losses));
    let expected: Value = serde_json::from_str(
        &include_str!("reverse_shell.json")
            .replace("ID", &id)
            .replace("SHORT", &id[..12])
            .replace("VERSION", crate::model::VERSION),
    )
    .unwrap();
    assert_eq!(line, expected);
}

#[test]
fn an_ended_finding_stays_active_and_says_when_and_why_it_ended() {
    let line = written(&ended());
    assert_eq!(line["finding"]["state"], "ACTIVE");
    let properties = &line["finding"]["sourceProperties"];
    assert_eq!(properties["endTime"], "2026-11-18T11:07:04.321Z");
    assert_eq!(properties["durationSeconds"], 20.0);
    assert_eq!(properties["endReason"], "processes_ended");
    assert_eq!(
        written(&reverse_shell())["finding"]["sourceProperties"].get("endTime"),
        None
    );
    assert_eq!(line["finding"]["eventTime"], "2026-11-18T11:07:04.321Z");
    let description = line["finding"]["description"].as_str().unwrap();
    assert!(
        description.ends_with("; it ended after 20 seconds, and no command was run through it."),
        "{description}"
    );
}

#[test]
fn a_finding_that_somebody_closed_is_inactive() {
    let mut report = report(&reverse_shell());
    report.closed = Some(Closed {
        unix_ns: 1_795_000_100_000_000_000,
        reason: Some("a drill".into()),
    });
    let line = scc(&report);
    assert_eq!(line["finding"]["state"], "INACTIVE");
    assert_eq!(line["finding"]["sourceProperties"]["closeReason"], "a drill");
    assert_eq!(line["finding"]["sourceProperties"]["closeTime"], "2026-11-18T11:08:20Z");
}

#[test]
fn what_to_do_depends_on_how_sure_it_is_and_whether_it_goes_on() {
    let steps = |report: &Report| scc(report)["finding"]["nextSteps"].as_str().unwrap().to_owned();
    let active = steps(&report(&reverse_shell()));
    assert!(
        active.starts_with("1. Stop process 4321") && active.contains("Block 203.0.113.7."),
        "{active}"
    );
    let over = steps(&report(&ended()));
    assert!(!over.contains("4321") && over.contains("Block 203.0.113.7."), "{over}");
    let mut unsure = reverse_shell();
    unsure.link = Link::Held;
    let unsure = steps(&report(&unsure));
    assert!(unsure.starts_with("1. Find out whether python3 (pid 4300)"), "{unsure}");
    assert!(!unsure.contains("Stop") && !unsure.contains("End process"), "{unsure}");
}

#[test]
fn a_loopback_peer_is_no_indicator() {
    let mut incident = reverse_shell();
    incident.sockets[0].remote = Endpoint::Ip("127.0.0.1:4444".parse().unwrap());
    let line = written(&incident);
    assert_eq!(line["finding"].get("indicator"), None);
    assert_eq!(line["finding"]["connections"][0]["destinationIp"], "127.0.0.1");
    let event = ocsf(&report(&incident));
    assert_eq!(event.get("observables"), None);
}

#[test]
fn an_accepted_connection_has_its_peer_as_source() {
    let socket = socket(Direction::Inbound);
    let line = written(&incident_of(vec![exec(4321, &["bash"], on(&socket, [true; 3]))], false));
    let connection = &line["finding"]["connections"][0];
    assert_eq!(connection["sourceIp"], "203.0.113.7");
    assert_eq!(connection["destinationPort"], 51234);
    let properties = &line["finding"]["sourceProperties"];
    assert_eq!(properties["Reverse_Shell_Stdin_Redirection_Src_Ip"], "203.0.113.7");
    assert_eq!(properties["Reverse_Shell_Stdin_Redirection_Dst_Ip"], "10.0.0.5");
}

#[test]
fn transports_without_a_name_are_left_out() {
    for transport in [Transport::Sctp, Transport::Dccp, Transport::Other(200)] {
        let mut socket = socket(Direction::Outbound);
        socket.transport = transport;
        let line = written(&incident_of(vec![exec(4321, &["bash"], on(&socket, [true; 3]))], false));
        assert_eq!(line["finding"]["connections"][0].get("protocol"), None);
        assert_eq!(
            line["finding"]["sourceProperties"]["sockets"][0]["transport"],
            transport.to_string()
        );
    }
    let mut socket = socket(Direction::Outbound);
    socket.transport = Transport::Vsock;
    socket.local = Endpoint::Vsock { cid: 3, port: 1 };
    socket.remote = Endpoint::Vsock { cid: 2, port: 4444 };
    let line = written(&incident_of(vec![exec(4321, &["bash"], on(&socket, [true; 3]))], false));
    assert_eq!(line["finding"].get("connections"), None);
    assert_eq!(line["finding"].get("indicator"), None);
    assert_eq!(
        line["finding"]["sourceProperties"]["sockets"][0]["remote"],
        "vsock:2:4444"
    );
    assert_eq!(
        line["finding"]["sourceProperties"].get("Reverse_Shell_Stdin_Redirection_Dst_Ip"),
        None
    );
}

#[test]
fn redirection_is_told_only_of_standard_input() {
    let mut socket = socket(Direction::Outbound);
    socket.parent_fd = Some(5);
    let line = written(&incident_of(
        vec![exec(4321, &["id"], on(&socket, [false, true, true]))],
        false,
    ));
    let properties = &line["finding"]["sourceProperties"];
    assert_eq!(properties["technique"], "command_loop");
    assert_eq!(properties["streams"][0]["kind"], "other");
    assert_eq!(properties.get("Reverse_Shell_Stdin_Redirection_Dst_Ip"), None);
    assert_eq!(properties["commandCount"], 1);
}

#[test]
fn a_hostile_argument_list_is_one_json_line_and_comes_back() {
    let mut incident = reverse_shell();
    let hostile: [&[u8]; 6] = [
        b"bash",
        b"\xff\xfe\x80",
        b"a\nb\r\x1b[2J\"\\",
        b"",
        "\u{202e}\u{2028}é".as_bytes(),
        b"$'x'",
    ];
    incident.shell.argv = hostile.iter().map(|&argument| Text::from(argument)).collect();
    let line = written(&incident);
    let process = &line["finding"]["processes"][0];
    assert_eq!(process.get("argumentsTruncated"), None);
    let back: Vec<Text> = process["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|argument| Text::from_text(argument.as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(back, incident.shell.argv);
}

#[test]
fn the_line_is_bounded_whatever_a_process_says() {
    let socket = socket(Direction::Outbound);
    // What takes the most room in JSON: control characters, bytes that are not UTF-8, and very many arguments.
    for filling in [&b"\x01"[..], b"\xff", b"x", "é".as_bytes()] {
        let huge = Text::from(filling.repeat(4096).as_slice());
        let mut execs = vec![exec(4321, &["bash", "-i"], on(&socket, [true; 3]))];
        execs.extend((0..40).map(|at| exec(4400 + at, &["id"], on(&socket, [true; 3]))));
        for exec in &mut execs {
            exec.argv.push(huge.clone());
            exec.executable.path = Some(huge.clone());
            exec.script = Some(huge.clone());
            exec.cwd = Some(huge.clone());
            exec.cgroup.leaf = huge.clone();
            exec.cgroup.parent = huge.clone();
            for ancestor in &mut exec.ancestors {
                ancestor.argv = vec![huge.clone()];
                ancestor.path = Some(huge.clone());
            }
            let ancestor = exec.ancestors[0].clone();
            exec.ancestors.resize(8, ancestor);
        }
        // A script has a program of its own, so the shell's is taken away again.
        execs[0].script = None;
        execs[0].argv.pop();
        let mut incident = incident_of(execs, false);
        incident.shell.script = Some(huge.clone());
        incident.shell.argv.push(huge.clone());
        let line = written(&incident);
        let processes = line["finding"]["processes"].as_array().unwrap();
        assert_eq!(processes[0]["argumentsTruncated"], true);
        assert_eq!(processes[0]["pid"], "4321");
        let shown = line["finding"]["sourceProperties"]["commandsShown"].as_u64().unwrap();
        assert_eq!(processes.len() as u64, 1 + shown + 8);
        assert!(shown > 0, "room for the newest at least");
        assert_eq!(
            processes[shown as usize]["pid"], "4439",
            "the newest command is the last one before the ancestors"
        );
    }
    let mut many = reverse_shell();
    many.shell.argv = vec![Text::default(); 4096];
    let line = written(&many);
    assert_eq!(line["finding"]["processes"][0]["argumentsTruncated"], true);
}

#[test]
fn property_keys_are_letters_digits_and_underscores() {
    fn check(value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    assert!(key.starts_with(|c: char| c.is_ascii_alphabetic()), "{key}");
                    assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{key}");
                    check(value);
                }
            }
            Value::Array(items) => items.iter().for_each(check),
            _ => {}
        }
    }
    for incident in [reverse_shell(), relays::chain()] {
        check(&written(&incident)["finding"]["sourceProperties"]);
    }
}

#[test]
fn the_id_is_of_machine_boot_and_socket_and_no_process() {
    let socket = socket(Direction::Outbound);
    let id = finding_id(&reverse_shell(), &host());
    assert_eq!(id.len(), 32);
    assert!(id.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)));
    // Fixed: findings of earlier versions must be found again.
    assert_eq!(id, "f3aafca5de2dc32fe25033dc294d8fb4");
    // A sensor that starts later meets another process, and the socket in another state.
    let mut later = socket.clone();
    later.bytes_received = Some(9000);
    later.direction = Direction::Unknown;
    later.cookie = Some(5);
    let other_shell = incident_of(vec![exec(9999, &["bash"], on(&later, [true, false, false]))], false);
    assert_eq!(finding_id(&other_shell, &host()), id);

    let differs = |change: &dyn Fn(&mut crate::model::Socket)| {
        let mut changed = socket.clone();
        change(&mut changed);
        let incident = incident_of(vec![exec(4321, &["bash"], on(&changed, [true; 3]))], false);
        assert_ne!(finding_id(&incident, &host()), id);
    };
    differs(&|socket| socket.inode += 1);
    differs(&|socket| socket.netns += 1);
    differs(&|socket| socket.transport = Transport::Udp);
    differs(&|socket| socket.local = Endpoint::Ip("10.0.0.5:51235".parse().unwrap()));
    differs(&|socket| socket.remote = Endpoint::Ip("[::ffff:203.0.113.7]:4444".parse().unwrap()));
    for other in [
        Host {
            boot_id: "x".into(),
            ..host()
        },
        Host {
            machine_id: "x".into(),
            ..host()
        },
    ] {
        assert_ne!(finding_id(&reverse_shell(), &other), id);
    }
    // The name is no part of it: it may change.
    assert_eq!(
        finding_id(
            &reverse_shell(),
            &Host {
                hostname: "vm2".into(),
                ..host()
            }
        ),
        id
    );
}
