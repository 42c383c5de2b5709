//! Every row of the rule for shells whose streams others carry. A row: command line, its streams and who has what open (in
//! the language of [`super::wiring`]), what the connection is like, and the finding, or `-` for none.

use super::{
    build::{Build, Scene, one, process, seconds, socket},
    rule::{set_up, verdict},
    wiring::{holders, streams},
};
use crate::{
    config,
    detect::{Link, Severity, Snapshot, State, Technique, exceptions::Exceptions, snapshot::EndReason},
    detect::{Settings, tests::rule},
};

type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// A netcat that carries both ways through pipes.
const NC: &str = "12 nc 0r=p5 1w=p6 3=c7";
/// A program that may do so among other things.
const AGENT: &str = "12 agent 5r=p5 6w=p6 7=c7";

/// A shell on these streams, and what comes of it.
fn start(scene: &mut Scene, line: &str, on: &str, wires: &str, words: &str) -> Vec<Snapshot> {
    let (connection, _) = set_up(words);
    scene.world.holders.replace(holders(wires, &connection));
    scene.exec(Build::new(200, line).streams(streams(on, &connection)).at(seconds(1.0)))
}

fn check(rows: &[Row]) {
    for &(line, on, wires, words, expected) in rows {
        let mut scene = Scene::new();
        let incidents = start(&mut scene, line, on, wires, words);
        let row = format!("{line} | {on} | {wires} | {words}");
        assert_eq!(rule::verdict(&incidents), expected, "{row}");
        assert_eq!(scene.engine.open_incidents(), incidents.len(), "{row}");
        scene.engine.check();
        scene.exit(200, seconds(2.0));
        assert_eq!(scene.engine.open_incidents(), 0, "{row}");
        assert_eq!((scene.watched(), scene.marked.len()), (0, 0), "{row}");
        assert_eq!(scene.engine.next_deadline(), None, "{row}");
    }
}

#[test]
fn both_ways_through_a_dedicated_carrier() {
    // What counts as a connection is shown row by row for shells that are on one themselves.
    check(&[
        ("bash -i", "p6 p5 p5", NC, "out tcp", "CRITICAL reverse_shell"),
        ("sh", "p6 x p5", NC, "out tcp loopback", "CRITICAL reverse_shell"),
        ("python3", "p6 p5", NC, "out udp", "CRITICAL reverse_shell"),
        ("busybox sh -i", "p6 p5", NC, "out vsock", "CRITICAL reverse_shell"),
        ("sh", "p6 p5", NC, "in tcp", "HIGH bind_shell"),
        ("sh", "p6 p5", NC, "unknown tcp", "HIGH remote_shell"),
        ("sh", "p6 p5", NC, "listening tcp", "-"),
    ]);
}

#[test]
fn every_kind_of_stream() {
    const FIFO: &str = "12 nc 0r=p5 1w=f6 3=c7";
    const PAIR: &str = "12 nc 4=u6-5 3=c7";
    const TERMINAL: &str = "12 nc 4=m3 3=c7";
    check(&[
        ("sh", "f6 p5", FIFO, "out tcp", "CRITICAL reverse_shell"),
        ("sh", "u5-6 u5-6 u5-6", PAIR, "out tcp", "CRITICAL reverse_shell"),
        ("sh", "u5-6 u5-6", PAIR, "in tcp", "HIGH bind_shell"),
        ("sh", "s3 s3 s3", TERMINAL, "out tcp", "CRITICAL reverse_shell"),
        ("sh", "s3 s3 s3", TERMINAL, "in tcp", "HIGH bind_shell"),
        // Different ones for input and output.
        (
            "sh",
            "f6 u7-8",
            "12 nc 1w=f6 4=u8-7 3=c7",
            "out tcp",
            "CRITICAL reverse_shell",
        ),
        // Several in a row.
        (
            "sh",
            "p6 p5",
            "12 cat 1w=p6 0r=f8; 13 tee 0r=p5 1w=p9; 14 nc 0r=p9 1w=f8 3=c7",
            "out tcp",
            "CRITICAL reverse_shell",
        ),
        (
            "sh",
            "s3 s3 s3",
            "12 script 4=m3 0r=p6 1w=p5; 13 nc 0r=p5 1w=p6 3=c7",
            "out tcp",
            "CRITICAL reverse_shell",
        ),
    ]);
}

#[test]
fn what_makes_a_carrier_dedicated() {
    check(&[
        // A program made for it, whatever the descriptors.
        (
            "sh",
            "p6 p5",
            "12 socat 5r=p5 6w=p6 7=c7",
            "out tcp",
            "CRITICAL reverse_shell",
        ),
        // The connection among its own standard streams.
        (
            "sh",
            "p6 p5",
            "12 x 0=c7 5r=p5 6w=p6",
            "out tcp",
            "CRITICAL reverse_shell",
        ),
        (
            "sh",
            "s3 s3",
            "12 x 0=c7 1=c7 4=m3",
            "out tcp",
            "CRITICAL reverse_shell",
        ),
        // The shell's pipes are.
        (
            "sh",
            "p6 p5",
            "12 x 0r=p5 1w=p6 7=c7",
            "out tcp",
            "CRITICAL reverse_shell",
        ),
        // Only one of the two carriers.
        (
            "sh",
            "p6 p5",
            "12 x 1w=p6 7=c7; 13 agent 5r=p5 7=c7",
            "out tcp used",
            "-",
        ),
        (
            "sh",
            "p6 p5",
            "12 agent 6w=p6 7=c7; 13 x 0r=p5 7=c7",
            "out tcp used",
            "-",
        ),
        // The carrier that holds the connection counts, not those before it.
        (
            "sh",
            "p6 p5",
            "13 cat 1w=p6 0r=p8; 12 agent 5r=p5 6w=p8 7=c7",
            "out tcp used",
            "-",
        ),
    ]);
}

#[test]
fn a_general_program_that_holds_both() {
    check(&[
        ("sh", "p6 p5", AGENT, "out tcp unread", "MEDIUM reverse_shell"),
        ("bash -i", "p6 p5", AGENT, "out tcp unread", "MEDIUM reverse_shell"),
        ("sh", "p6 p5", AGENT, "out udp", "MEDIUM reverse_shell"),
        ("sh", "p6 p5", AGENT, "in tcp unread", "MEDIUM bind_shell"),
        ("sh", "p6 p5", AGENT, "unknown tcp unread", "MEDIUM remote_shell"),
        (
            "sh",
            "s3 s3 s3",
            "12 agent 4=m3 7=c7",
            "out tcp unread",
            "MEDIUM reverse_shell",
        ),
        // It has talked to the peer before.
        ("sh", "p6 p5", AGENT, "out tcp used", "-"),
        // It talks to somebody else too.
        ("sh", "p6 p5", "12 agent 5r=p5 6w=p6 7=c7 8=c8", "out tcp unread", "-"),
        // It was started for more than to read commands.
        ("bash --norc --noprofile +x -l", "p6 p5", AGENT, "out tcp unread", "-"),
    ]);
}

#[test]
fn a_shell_that_is_told_to_be_interactive_without_a_terminal() {
    let terminal = "12 agent 4=m3 7=c7";
    check(&[
        ("sh -i", "p6 p5", AGENT, "out tcp used", "MEDIUM reverse_shell"),
        (
            "bash --norc -li",
            "p6 p5",
            AGENT,
            "out tcp used",
            "MEDIUM reverse_shell",
        ),
        (
            "sh -i",
            "u6-5 u6-5 u6-5",
            "12 agent 5=u5-6 7=c7",
            "out tcp used",
            "MEDIUM reverse_shell",
        ),
        // It serves somebody.
        ("sh -i", "p6 p5", AGENT, "in tcp used", "-"),
        // An editor's terminal.
        ("bash -i", "s3 s3 s3", terminal, "out tcp used", "-"),
        // It talks to somebody else too.
        ("sh -i", "p6 p5", "12 agent 5r=p5 6w=p6 7=c7 8=c8", "out tcp used", "-"),
        // Options of another meaning.
        ("bash --init-file", "p6 p5", AGENT, "out tcp used", "-"),
        ("bash --posix", "p6 p5", AGENT, "out tcp used", "-"),
        ("python3 -i", "p6 p5", AGENT, "out tcp used", "-"),
    ]);
}

#[test]
fn input_only() {
    const CURL: &str = "12 curl 1w=p6 5=c7";
    check(&[
        ("sh", "p6 x", CURL, "out tcp", "LOW input_only_shell"),
        ("sh", "p6 x", CURL, "in tcp", "LOW input_only_shell"),
        ("sh", "p6 x", CURL, "unknown udp", "LOW input_only_shell"),
        ("python3 -", "p6 x", CURL, "out tcp loopback", "LOW input_only_shell"),
        ("sh", "p6 x", "12 agent 9w=p6 5=c7", "out tcp", "LOW input_only_shell"),
        (
            "sh",
            "p6 x",
            "13 gunzip 1w=p6 0r=p8; 12 curl 1w=p8 5=c7",
            "out tcp",
            "LOW input_only_shell",
        ),
        // Its output goes to somebody who sends it nowhere.
        (
            "sh",
            "p6 p5",
            "12 curl 1w=p6 5=c7; 13 less 0r=p5",
            "out tcp",
            "LOW input_only_shell",
        ),
        // In a login session: that is another peer's.
        (
            "sh",
            "p6 s3 s3",
            "12 curl 1w=p6 5=c7; 13 sshd 9=m3 4=i8",
            "out tcp",
            "LOW input_only_shell",
        ),
    ]);
}

#[test]
fn no_shell_that_reads_commands_and_no_way() {
    check(&[
        ("cat", "p6 p5", NC, "out tcp", "-"),
        ("sh -c id", "p6 p5", NC, "out tcp", "-"),
        ("bash script.sh", "p6 p5", NC, "out tcp", "-"),
        ("python3 script.py", "p6 p5", NC, "out tcp", "-"),
        // Output only.
        ("sh", "x p5", NC, "out tcp", "-"),
        ("sh", "p8 p5", NC, "out tcp", "-"),
        ("sh", "p6 p5", "", "out tcp", "-"),
        ("sh", "p6 p5", "12 nc 0r=p5 1w=p6", "out tcp", "-"),
        // The parent of a pipeline has both ends and no connection.
        ("sh", "p6 p5", "100 bash 0=s3 5=p6 6=p5", "out tcp", "-"),
    ]);
}

#[test]
fn two_connections_are_one_takeover() {
    let mut scene = Scene::new();
    let wires = "12 nc 1w=p6 3=c7; 13 nc 0r=p5 3=c8";
    let incident = one(start(&mut scene, "sh", "p6 p5", wires, "out tcp"));
    assert_eq!((incident.severity, incident.link), (Severity::Critical, Link::Carried));
    let inodes: Vec<u64> = incident.sockets.iter().map(|socket| socket.inode).collect();
    assert_eq!(inodes, [7, 8]);
    assert_eq!(incident.relays.len(), 2);
    assert!(scene.close(7, seconds(2.0)).is_empty(), "the other one is open");
    let ended = one(scene.close(8, seconds(3.0)));
    assert_eq!(ended.end_reason, Some(EndReason::SocketsClosed));
}

#[test]
fn what_the_shell_runs_belongs_to_it_until_it_ends() {
    let mut scene = Scene::new();
    start(&mut scene, "sh", "p6 p5", NC, "out tcp");
    assert!(scene.marked.contains(&process(200)), "its commands are reported");
    for (pid, parent) in [(300, 200), (301, 200), (302, 301)] {
        let command = Build::new(pid, "id")
            .streams(streams("p6 p5", &socket(7)))
            .parent(parent, "sh");
        assert!(scene.exec(command.at(seconds(1.2))).is_empty());
        scene.engine.check();
    }
    let update = one(scene.tick(seconds(3.0)));
    assert_eq!((update.command_count, update.sockets.len()), (3, 1));
    scene.exit(300, seconds(4.0));
    scene.exit(302, seconds(4.0));
    scene.exit(301, seconds(4.0));
    let ended = one(scene.exit(200, seconds(5.0)));
    assert_eq!(
        (ended.state, ended.end_reason),
        (State::Inactive, Some(EndReason::ProcessesEnded))
    );
    assert!(scene.marked.is_empty());
}

#[test]
fn an_end_that_was_never_reported_is_found_while_the_carrier_lives_on() {
    let mut scene = Scene::new();
    start(&mut scene, "sh", "p6 p5", NC, "out tcp");
    assert!(
        scene.tick(seconds(31.0)).is_empty(),
        "the shell lives, though the socket is another's"
    );
    scene.world.gone.borrow_mut().insert(process(200));
    let ended = one(scene.tick(seconds(61.0)));
    assert_eq!(ended.end_reason, Some(EndReason::NoHolderFound));
    assert_eq!(scene.engine.next_deadline(), None);
}

#[test]
fn a_shell_inside_the_session_that_it_was_started_from_is_a_command_of_it() {
    let mut scene = Scene::new();
    // `bash -i >& /dev/tcp/…`, then `python3 -c 'pty.spawn("sh")'`, which carries the terminal to the same socket.
    let connection = socket(7);
    scene.exec(Build::new(150, "bash -i").on("ioe", &connection).at(seconds(0.0)));
    scene.exec(
        Build::new(160, "python3 -c spawn")
            .on("ioe", &connection)
            .parent(150, "bash")
            .at(seconds(0.1)),
    );
    let wires = "160 python3 0=c7 1=c7 2=c7 4=m3";
    scene.world.holders.replace(holders(wires, &connection));
    let inner = Build::new(200, "sh")
        .streams(streams("s3 s3 s3", &connection))
        .parent(160, "python3");
    assert!(scene.exec(inner.at(seconds(0.2))).is_empty());
    let command = Build::new(201, "id")
        .streams(streams("s3 s3 s3", &connection))
        .parent(200, "sh");
    scene.exec(command.at(seconds(0.3)));
    assert_eq!(scene.engine.open_incidents(), 1);
    let update = one(scene.tick(seconds(5.0)));
    let pids: Vec<u32> = update.commands.iter().map(|command| command.process.pid).collect();
    assert_eq!((update.shell.process.pid, pids), (150, vec![160, 200, 201]));
    assert_eq!((update.command_count, update.technique), (3, Technique::ReverseShell));
    for pid in [201, 200, 160] {
        assert!(scene.exit(pid, seconds(6.0)).is_empty());
    }
    assert_eq!(one(scene.exit(150, seconds(7.0))).state, State::Inactive);
    assert!(scene.marked.is_empty());
}

#[test]
fn a_shell_with_another_peer_inside_a_session_is_a_takeover_of_its_own() {
    let mut scene = Scene::new();
    let connection = socket(7);
    scene.exec(Build::new(150, "bash -i").on("ioe", &socket(9)).at(seconds(0.0)));
    scene.world.holders.replace(holders(NC, &connection));
    let inner = Build::new(200, "sh")
        .streams(streams("p6 p5", &connection))
        .parent(150, "bash");
    let opened = scene.exec(inner.at(seconds(0.1)));
    assert_eq!(verdict(&opened), "CRITICAL reverse_shell");
    assert_eq!(opened[0].sockets[0].inode, 7);
    assert_eq!(scene.engine.open_incidents(), 2);
    scene.engine.check();
    scene.exit(200, seconds(1.0));
    scene.exit(150, seconds(2.0));
    assert_eq!(scene.engine.open_incidents(), 0);
}

#[test]
fn logins_are_excepted_and_what_relays_through_them_is_not() {
    for (wires, on, trusted, expected) in [
        ("12 sshd-session 4=m3 5=i7", "s3 s3 s3", true, "-"),
        ("12 sshd-session 4w=p6 6r=p5 5=i7", "p6 p5", true, "-"),
        // A mount namespace of its own puts any file at that path.
        ("12 sshd-session 0=i7 4=m3", "s3 s3 s3", false, "HIGH bind_shell"),
        // The server's name, calling out.
        ("12 sshd-session 0=c7 4=m3", "s3 s3 s3", true, "CRITICAL reverse_shell"),
        // A terminal in the terminal of a login.
        ("13 script 4=m3 0=s9; 12 sshd-session 5=m9 6=i7", "s3 s3 s3", true, "-"),
        // In a login: input from somebody else, errors to the login's terminal.
        (
            "13 nc 0r=p5 1w=p6 2=s9 3=c7; 12 sshd-session 5=m9 6=i8",
            "p6 p5 s9",
            true,
            "CRITICAL reverse_shell",
        ),
        (
            "13 curl 1w=p6 2=s9 3=c7; 12 sshd-session 5=m9 6=i8",
            "p6 s9 s9",
            true,
            "LOW input_only_shell",
        ),
    ] {
        let mut scene = Scene::of(Settings {
            min_severity: Severity::Low,
            exceptions: Exceptions::new(config::built_in().unwrap()),
        });
        let mut processes = holders(wires, &socket(7));
        for holder in &mut processes {
            holder.host_path = trusted;
            if holder.comm.as_bytes() == b"sshd-session" {
                holder.path = Some("/usr/lib/openssh/sshd-session".into());
            }
        }
        scene.world.holders.replace(processes);
        let shell = Build::new(200, "bash -i").streams(streams(on, &socket(7)));
        assert_eq!(verdict(&scene.exec(shell)), expected, "{wires}");
        assert_eq!(scene.marked.is_empty(), expected == "-", "{wires}");
        scene.engine.check();
    }
}
