use super::{
    exec, incident_of, on,
    relays::{chain, downloaded, popped, terminal},
    report, socket,
};
use crate::{
    detect::{Delivery, Link, Severity},
    finding::{describe::sentence, scc},
    model::{Direction, Endpoint, Exec, Stream, Text, Transport},
};

fn of(exec: Exec) -> String {
    sentence(&incident_of(vec![exec], false))
}

#[test]
fn every_technique_in_one_sentence() {
    let (outbound, inbound, unknown) = (
        socket(Direction::Outbound),
        socket(Direction::Inbound),
        socket(Direction::Unknown),
    );
    let mut held = outbound.clone();
    held.parent_fd = Some(5);
    for (program, socket, streams, expected) in [
        (
            "bash",
            &outbound,
            [true; 3],
            "bash (/usr/bin/bash, pid 9, user id 1000) has its input and output on an outbound TCP connection to \
             203.0.113.7:4444: a reverse shell; no command was run through it so far.",
        ),
        (
            "bash",
            &inbound,
            [true; 3],
            "bash (/usr/bin/bash, pid 9, user id 1000) has its input and output on an inbound TCP connection from \
             203.0.113.7:4444: a bind shell; no command was run through it so far.",
        ),
        (
            "bash",
            &unknown,
            [true; 3],
            "bash (/usr/bin/bash, pid 9, user id 1000) has its input and output on a network connection (TCP) with \
             203.0.113.7:4444: a shell under remote control; no command was run through it so far.",
        ),
        (
            "python3",
            &outbound,
            [true, false, false],
            "python3 (/usr/bin/python3, pid 9, user id 1000) reads its input from an outbound TCP connection to \
             203.0.113.7:4444: it executes what the peer sends; no command was run through it so far.",
        ),
        (
            "id",
            &held,
            [false, true, true],
            "python3 (pid 4300) reads an outbound TCP connection to 203.0.113.7:4444 and runs commands that answer to \
             it, id (/usr/bin/id, pid 9, user id 1000) first: a command loop; 1 program was run on it so far.",
        ),
        (
            "cat",
            &outbound,
            [true; 3],
            "cat (/usr/bin/cat, pid 9, user id 1000) has its input and output on an outbound TCP connection to \
             203.0.113.7:4444: a program that the peer talks to directly; 1 program was run on it so far.",
        ),
        (
            "cat",
            &outbound,
            [true, false, false],
            "cat (/usr/bin/cat, pid 9, user id 1000) reads its input from an outbound TCP connection to \
             203.0.113.7:4444; 1 program was run on it so far.",
        ),
    ] {
        assert_eq!(of(exec(9, &[program], on(socket, streams))), expected);
    }
}

#[test]
fn two_connections_loopback_and_other_transports() {
    let input = socket(Direction::Outbound);
    let mut output = socket(Direction::Outbound);
    output.inode += 1;
    output.remote = Endpoint::Ip("[::1]:5555".parse().unwrap());
    output.transport = Transport::Udp;
    let streams = [
        Stream::Socket(input),
        Stream::Socket(output.clone()),
        Stream::Socket(output),
    ];
    assert!(of(exec(9, &["bash"], streams)).contains(
        "on an outbound TCP connection to 203.0.113.7:4444 and an outbound UDP connection to [::1]:5555 (loopback: this \
         host itself) for output: a reverse shell"
    ));
    let mut vsock = socket(Direction::Outbound);
    vsock.transport = Transport::Vsock;
    vsock.remote = Endpoint::Vsock { cid: 2, port: 99 };
    assert!(of(exec(9, &["bash"], on(&vsock, [true; 3]))).contains("an outbound vsock connection to vsock:2:99: a"));
}

#[test]
fn names_that_a_process_chose_stay_short_and_on_one_line() {
    let mut exec = exec(9, &["bash"], on(&socket(Direction::Outbound), [true; 3]));
    exec.executable.path = Some(Text::from(format!("/tmp/\n\x1b[2J{}", "é".repeat(4000)).as_str()));
    exec.executable.path_truncated = true;
    let incident = incident_of(vec![exec], false);
    let sentence = sentence(&incident);
    assert!(sentence.chars().all(|c| !c.is_control()));
    assert!(sentence.chars().count() < 400, "{sentence}");
    let line = serde_json::to_value(scc(&report(&incident))).unwrap();
    assert_eq!(line["finding"]["sourceProperties"]["execution"]["pathTruncated"], true);
}

#[test]
fn a_script_a_nameless_program_and_no_path() {
    let mut exec = exec(9, &["cat"], on(&socket(Direction::Outbound), [true; 3]));
    exec.script = Some("/srv/run.sh".into());
    exec.program.name.clear();
    exec.executable.path = None;
    assert!(of(exec).starts_with("cat running /srv/run.sh (file unknown, pid 9, user id 1000) has"));
}

#[test]
fn what_is_carried_held_and_delivered() {
    let shell = "bash (/usr/bin/bash, pid 4321, user id 1000)";
    let connection = "an outbound TCP connection to 203.0.113.7:4444";
    for (incident, link, expected) in [
        (
            chain(),
            Link::Carried,
            format!(
                "{shell} has its input and output carried by cat (pid 13) and nc (pid 12) over {connection}: a reverse \
                 shell; no command was run through it so far."
            ),
        ),
        (
            downloaded(),
            Link::Carried,
            format!(
                "{shell} reads its input, carried by curl (pid 12), from {connection}: it executes what the peer sends; \
                 no command was run through it so far."
            ),
        ),
        (
            terminal(Delivery::Nothing),
            Link::Held,
            format!(
                "{shell} has its input and output held by python3 (pid 4300), which holds {connection} as well: perhaps \
                 a reverse shell; 1 command was run through it so far."
            ),
        ),
        (
            terminal(Delivery::Command),
            Link::Delivered,
            format!(
                "{shell} has its input and output held by python3 (pid 4300), which passes on what {connection} \
                 delivers: a reverse shell; 1 command was run through it so far."
            ),
        ),
        (
            popped(Severity::High),
            Link::Delivered,
            format!(
                "python3 (pid 4300) runs what {connection} delivers, id (/usr/bin/id, pid 4330, user id 1000) first: a \
                 command loop; 2 programs were run on it so far."
            ),
        ),
        (
            popped(Severity::Low),
            Link::Held,
            format!(
                "python3 (pid 4300) holds {connection} and runs commands, id (/usr/bin/id, pid 4321, user id 1000) \
                 first, though nothing shows that they came over it: perhaps a command loop; 2 programs were run on it \
                 so far."
            ),
        ),
    ] {
        assert_eq!(incident.link, link, "{expected}");
        assert_eq!(sentence(&incident), expected);
    }
}

#[test]
fn evidence_has_the_proof() {
    let delivered = terminal(Delivery::Command);
    let proof = "what that connection had just delivered.";
    assert!(delivered.evidence.ends_with(proof), "{}", delivered.evidence);
    assert_eq!(delivered.evidence.matches(proof).count(), 1, "{}", delivered.evidence);
    assert!(!terminal(Delivery::Nothing).evidence.contains(proof));
}
