//! Every row of the rule. A row: command line, which streams (`i`, `o`, `e`) are the socket, what the socket is like,
//! and the finding, or `-` for none.

use super::build::{Build, Scene, one, program, socket};
use crate::{
    detect::{
        Settings, Snapshot,
        exceptions::{Conditions, Exception, Exceptions, Glob, GlobKind, Origin},
    },
    model::{Direction, Endpoint, Socket, SocketState, Stream, Transport},
};

type Row = (&'static str, &'static str, &'static str, &'static str);

/// Sets a socket up from words; gives the parent's name too.
pub(super) fn set_up(words: &str) -> (Socket, &str) {
    let mut socket = socket(7);
    let mut parent = "systemd";
    for word in words.split(' ') {
        match word {
            "out" => socket.direction = Direction::Outbound,
            "in" => socket.direction = Direction::Inbound,
            "unknown" => socket.direction = Direction::Unknown,
            "tcp" => socket.transport = Transport::Tcp,
            "udp" => (socket.transport, socket.bytes_received) = (Transport::Udp, None),
            "sctp" => (socket.transport, socket.bytes_received) = (Transport::Sctp, None),
            "vsock" => {
                (socket.transport, socket.bytes_received) = (Transport::Vsock, None);
                socket.remote = Endpoint::Vsock { cid: 2, port: 99 };
            }
            "v6" => socket.remote = Endpoint::Ip("[2001:db8::7]:4444".parse().unwrap()),
            "loopback" => socket.remote = Endpoint::Ip("127.0.0.1:4444".parse().unwrap()),
            "loopback6" => socket.remote = Endpoint::Ip("[::1]:4444".parse().unwrap()),
            "held" => socket.parent_fd = Some(5),
            "unread" => socket.bytes_received = Some(0),
            "used" => socket.bytes_received = Some(4096),
            "connecting" => socket.state = SocketState::Connecting,
            "listening" => socket.state = SocketState::Listening,
            "unconnected" => socket.state = SocketState::Unconnected,
            name => {
                parent = name
                    .strip_prefix("by:")
                    .unwrap_or_else(|| panic!("unknown word {name}"))
            }
        }
    }
    (socket, parent)
}

pub(super) fn verdict(incidents: &[Snapshot]) -> String {
    match incidents {
        [] => String::from("-"),
        [incident] => format!("{} {}", incident.severity.name(), incident.technique.name()),
        more => panic!("{} findings", more.len()),
    }
}

fn check(rows: &[Row]) {
    for &(line, streams, words, expected) in rows {
        let (socket, parent) = set_up(words);
        let mut scene = Scene::new();
        let incidents = scene.exec(Build::new(200, line).on(streams, &socket).parent(100, parent));
        assert_eq!(verdict(&incidents), expected, "{line} | {streams} | {words}");
        assert_eq!(
            scene.engine.open_incidents(),
            incidents.len(),
            "{line} | {streams} | {words}"
        );
    }
}

#[test]
fn input_and_output_of_a_shell() {
    check(&[
        ("bash -i", "ioe", "out tcp", "CRITICAL reverse_shell"),
        ("bash -i", "ioe", "out tcp v6", "CRITICAL reverse_shell"),
        ("bash -i", "ioe", "out udp", "CRITICAL reverse_shell"),
        ("bash -i", "ioe", "out sctp", "CRITICAL reverse_shell"),
        ("bash -i", "ioe", "out vsock", "CRITICAL reverse_shell"),
        ("bash -i", "ioe", "out tcp connecting", "CRITICAL reverse_shell"),
        ("bash -i", "ioe", "out tcp loopback", "CRITICAL reverse_shell"),
        ("bash -i", "ioe", "out tcp loopback6", "CRITICAL reverse_shell"),
        ("bash -i", "ioe", "out tcp unread", "CRITICAL reverse_shell"),
        ("sh", "io", "out tcp", "CRITICAL reverse_shell"),
        ("sh", "ie", "out tcp", "CRITICAL reverse_shell"),
        ("python3", "ioe", "out tcp", "CRITICAL reverse_shell"),
        ("python3 -i", "io", "out udp", "CRITICAL reverse_shell"),
        ("busybox sh -i", "ioe", "out tcp", "CRITICAL reverse_shell"),
        ("sh -i", "ioe", "in tcp", "HIGH bind_shell"),
        ("sh -i", "ioe", "in tcp loopback", "HIGH bind_shell"),
        ("sh -i", "io", "in vsock", "HIGH bind_shell"),
        ("perl", "ioe", "in tcp", "HIGH bind_shell"),
        ("sh -i", "ioe", "unknown tcp", "HIGH remote_shell"),
        ("sh -i", "ioe", "unknown udp", "HIGH remote_shell"),
    ]);
}

#[test]
fn input_of_a_shell() {
    check(&[
        ("bash", "i", "out tcp", "HIGH input_only_shell"),
        ("bash", "i", "out udp", "HIGH input_only_shell"),
        ("bash", "i", "out tcp loopback", "HIGH input_only_shell"),
        ("python3 -", "i", "out tcp", "HIGH input_only_shell"),
        ("bash", "i", "in tcp", "MEDIUM input_only_shell"),
        ("bash", "i", "unknown tcp", "MEDIUM input_only_shell"),
        ("bash", "i", "in tcp loopback", "MEDIUM input_only_shell"),
    ]);
}

#[test]
fn input_and_output_of_another_program() {
    check(&[
        ("socat - EXEC:x", "ioe", "out tcp", "MEDIUM remote_command"),
        ("sh -c id", "ioe", "out tcp", "MEDIUM remote_command"),
        ("sh -c id", "io", "out udp", "MEDIUM remote_command"),
        ("bash script.sh", "ioe", "out tcp", "MEDIUM remote_command"),
        ("python3 script.py", "ioe", "out vsock", "MEDIUM remote_command"),
        ("cat", "io", "out tcp loopback", "LOW remote_command"),
        ("sh -c id", "ioe", "out tcp loopback6", "LOW remote_command"),
        // A loop that has put the connection on its own streams hands it down whole.
        ("id", "ioe", "out tcp held by:bash", "HIGH command_loop"),
        ("id", "io", "out tcp loopback held by:python3", "HIGH command_loop"),
        ("sh -c id", "ioe", "out udp held by:bash", "HIGH command_loop"),
        ("id", "ioe", "out tcp held unread by:bash", "MEDIUM remote_command"),
        ("id", "ioe", "out tcp held by:supervisor", "MEDIUM remote_command"),
        ("id", "ioe", "out tcp by:bash", "MEDIUM remote_command"),
        ("id", "i", "out tcp held by:bash", "LOW input_only_command"),
        ("id", "ioe", "in tcp held by:python3", "-"),
        // Services that get one connection each: sshd, inetd, CGI.
        ("sshd -R", "io", "in tcp", "-"),
        ("sshd -R", "io", "unknown tcp", "-"),
        ("python3 server.py", "ioe", "in tcp", "-"),
        ("sh /srv/cgi", "ioe", "in tcp loopback", "-"),
        ("in.telnetd", "ioe", "in tcp v6", "-"),
        ("in.tftpd", "ioe", "unknown udp", "-"),
    ]);
}

#[test]
fn input_of_another_program() {
    check(&[
        ("cat", "i", "out tcp", "LOW input_only_command"),
        ("cat", "i", "out tcp loopback", "LOW input_only_command"),
        ("sh -c cat", "i", "out udp", "LOW input_only_command"),
        ("cat", "i", "in tcp", "-"),
        ("cat", "i", "unknown tcp", "-"),
    ]);
}

#[test]
fn output_of_a_command_that_a_loop_runs() {
    check(&[
        ("id", "oe", "out tcp held by:bash", "HIGH command_loop"),
        ("id", "o", "out tcp held by:bash", "HIGH command_loop"),
        ("id", "e", "out tcp held by:bash", "HIGH command_loop"),
        ("id", "oe", "in tcp held by:python3", "HIGH command_loop"),
        ("id", "oe", "unknown tcp held by:sh", "HIGH command_loop"),
        ("sh -c id", "oe", "out tcp held by:perl", "HIGH command_loop"),
        ("id", "oe", "out tcp loopback held by:bash", "HIGH command_loop"),
        ("id", "oe", "out udp held by:bash", "HIGH command_loop"),
        ("id", "oe", "out vsock held by:bash", "HIGH command_loop"),
        // The parent is no interpreter.
        ("id", "oe", "out tcp held by:implant", "LOW command_loop"),
        ("id", "oe", "out tcp loopback held by:implant", "LOW command_loop"),
        ("id", "oe", "in tcp held by:nginx", "LOW command_loop"),
        // It does not hold the socket: `ls >/dev/tcp/host/port`.
        ("ls", "o", "out tcp by:bash", "-"),
        // Nothing was read from it.
        ("date", "oe", "out tcp unread held by:bash", "-"),
        // Nothing tells whether anything was read from it, and errors go elsewhere.
        ("echo metric", "o", "out udp held by:bash", "-"),
        ("echo metric", "e", "out sctp held by:bash", "-"),
    ]);
}

#[test]
fn what_is_no_connection_never_counts() {
    for line in ["bash -i", "sh -c id", "python3"] {
        for streams in ["ioe", "i", "oe"] {
            for state in ["listening", "unconnected"] {
                for direction in ["out", "in", "unknown"] {
                    let (socket, _) = set_up(&format!("{direction} tcp held {state}"));
                    let mut scene = Scene::new();
                    let incidents = scene.exec(Build::new(200, line).on(streams, &socket).parent(100, "bash"));
                    assert_eq!(verdict(&incidents), "-", "{line} | {streams} | {direction} {state}");
                }
            }
        }
    }
    for stream in [
        Stream::Unix {
            inode: 7,
            peer: Some(8),
        },
        Stream::OtherSocket { inode: 7 },
        Stream::Pipe { inode: 7 },
        Stream::Fifo { inode: 7, fs: 1 },
        Stream::File { inode: 7 },
        Stream::Other,
        Stream::Closed,
    ] {
        let mut build = Build::new(200, "bash -i");
        build.0.streams = [stream.clone(), stream.clone(), stream];
        assert_eq!(verdict(&Scene::new().exec(build)), "-");
    }
}

#[test]
fn a_socket_without_a_peer_beside_one_with_a_peer() {
    let (listening, _) = set_up("in tcp listening");
    let mut output = socket(9);
    output.parent_fd = Some(4);
    let build = Build::new(200, "bash -i")
        .on("i", &listening)
        .on("oe", &output)
        .parent(100, "sh");
    assert_eq!(
        verdict(&Scene::new().exec(build)),
        "HIGH command_loop",
        "only output counts"
    );
}

#[test]
fn two_sockets_are_one_takeover() {
    let (input, mut output) = (socket(7), socket(9));
    output.direction = Direction::Inbound;
    let mut scene = Scene::new();
    let incident = one(scene.exec(Build::new(200, "bash -i").on("i", &input).on("oe", &output)));
    assert_eq!(verdict(std::slice::from_ref(&incident)), "CRITICAL reverse_shell");
    assert_eq!(
        incident.sockets.iter().map(|socket| socket.inode).collect::<Vec<_>>(),
        [7, 9]
    );
    assert_eq!(incident.carried, [true; 3]);

    let mut input = input;
    input.direction = Direction::Unknown;
    output.direction = Direction::Outbound;
    let incident = one(Scene::new().exec(Build::new(200, "bash -i").on("i", &input).on("oe", &output)));
    assert_eq!(
        incident.direction,
        Direction::Outbound,
        "from the output, where the input's is not known"
    );
}

#[test]
fn one_peer_elsewhere_makes_loopback_count_in_full() {
    let (input, _) = set_up("out tcp loopback");
    let build = Build::new(200, "sh -c id").on("i", &input).on("oe", &socket(9));
    let incident = one(Scene::new().exec(build));
    assert_eq!(verdict(std::slice::from_ref(&incident)), "MEDIUM remote_command");
    assert!(!incident.loopback);
}

#[test]
fn the_finding_says_that_the_peer_is_loopback() {
    let (socket, _) = set_up("out tcp loopback");
    assert!(one(Scene::new().exec(Build::new(200, "sh").on("ioe", &socket))).loopback);
}

#[test]
fn what_a_service_runs_is_left_alone() {
    let (accepted, _) = set_up("in tcp held");
    let mut scene = Scene::new();
    // A CGI script, a command of it, what that runs, and something below a subshell.
    assert_eq!(
        verdict(&scene.exec(Build::new(200, "bash /srv/cgi").on("io", &accepted))),
        "-"
    );
    let command = |pid, line, parent| Build::new(pid, line).on("oe", &accepted).parent(parent, "bash");
    assert_eq!(verdict(&scene.exec(command(201, "date", 200))), "-");
    assert_eq!(verdict(&scene.exec(command(202, "sh -c date", 200))), "-");
    assert_eq!(verdict(&scene.exec(command(203, "date", 202))), "-");
    let mut below_a_subshell = command(205, "date", 204);
    below_a_subshell
        .0
        .ancestors
        .insert(1, command(0, "x", 200).0.ancestors[0].clone());
    assert_eq!(verdict(&scene.exec(below_a_subshell)), "-");
    // Another connection's loop is not covered by it.
    let mut other = accepted.clone();
    other.inode = 9;
    let incidents = scene.exec(Build::new(206, "id").on("oe", &other).parent(200, "bash"));
    assert_eq!(verdict(&incidents), "HIGH command_loop");
    // A shell that reads the connection is a bind shell, whoever started it.
    let incidents = scene.exec(Build::new(207, "sh -i").on("ioe", &accepted).parent(200, "bash"));
    assert_eq!(verdict(&incidents), "HIGH bind_shell");
}

#[test]
fn an_exception_covers_what_the_program_runs_on_its_connection() {
    let exception = Exception {
        id: "updater".into(),
        reason: String::new(),
        origin: Origin::User,
        disabled: false,
        conditions: Conditions {
            binary: vec![Glob::new("/usr/bin/updater", GlobKind::Path).unwrap()],
            ..Conditions::default()
        },
    };
    let excepted = || {
        let mut scene = Scene::of(Settings {
            exceptions: Exceptions::new(vec![exception.clone()]),
            ..Settings::default()
        });
        let updater = Build::new(200, "updater").on("ioe", &socket(7));
        assert_eq!(verdict(&scene.exec(updater)), "-");
        scene
    };
    let mut scene = excepted();
    for (pid, line, parent) in [(201, "tar x", 200), (202, "sh install.sh", 200), (203, "gzip -d", 201)] {
        let child = Build::new(pid, line).on("ioe", &socket(7)).parent(parent, "updater");
        assert_eq!(verdict(&scene.exec(child)), "-", "{line}");
    }
    // Neither another connection nor a stranger on this one is covered.
    let child = Build::new(204, "sh").on("ioe", &socket(9)).parent(200, "updater");
    assert_eq!(verdict(&scene.exec(child)), "CRITICAL reverse_shell");
    let stranger = Build::new(205, "sh").on("ioe", &socket(7)).parent(300, "bash");
    assert_eq!(verdict(&scene.exec(stranger)), "CRITICAL reverse_shell");
    // Nor is a shell that reads its commands from the connection.
    let shell = Build::new(202, "sh").on("ioe", &socket(7)).parent(200, "updater");
    assert_eq!(verdict(&excepted().exec(shell)), "CRITICAL reverse_shell");
}

#[test]
fn a_service_is_forgotten_when_it_ends_or_becomes_something_else() {
    let (accepted, _) = set_up("in tcp held");
    let loop_command = || Build::new(201, "id").on("oe", &accepted).parent(200, "bash");
    let mut scene = Scene::new();
    scene.exec(Build::new(200, "bash /srv/cgi").on("io", &accepted));
    scene.exit(200, super::build::seconds(1.0));
    assert_eq!(
        verdict(&scene.exec(loop_command())),
        "HIGH command_loop",
        "another process of that number"
    );

    let mut scene = Scene::new();
    scene.exec(Build::new(200, "bash /srv/cgi").on("io", &accepted));
    // Something whose streams are another connection: it serves the first one no longer.
    let mut outbound = socket(9);
    outbound.bytes_received = None;
    scene.exec(Build::new(200, "bash").on("o", &outbound));
    assert_eq!(verdict(&scene.exec(loop_command())), "HIGH command_loop");
}

#[test]
fn evidence_says_what_was_seen() {
    let evidence = |streams: &str, line: &str, words: &str| {
        let (socket, parent) = set_up(words);
        one(Scene::new().exec(Build::new(200, line).on(streams, &socket).parent(100, parent))).evidence
    };
    assert_eq!(
        evidence("ioe", "bash -i", "out tcp"),
        "Its stdin, stdout and stderr are a network socket, and it executes what it reads from stdin."
    );
    assert_eq!(
        evidence("i", "cat", "out tcp"),
        "Its stdin is a network socket, and it runs a program of its own, not the peer's commands."
    );
    assert_eq!(
        evidence("oe", "id", "out tcp held by:bash"),
        "Its stdout and stderr are a network socket that its parent has open as descriptor 5. 3 bytes came in on it \
         before."
    );
}

#[test]
fn an_unknown_transport_is_a_socket_like_any() {
    let mut socket = socket(7);
    socket.transport = Transport::Other(200);
    assert_eq!(
        verdict(&Scene::new().exec(Build::new(200, "sh").on("ioe", &socket))),
        "CRITICAL reverse_shell"
    );
    assert_eq!(program("sh").name, "sh");
}
