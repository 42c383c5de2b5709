//! Programs that hold a connection and run commands: which of these the connection delivered.

use super::{
    build::{Build, Scene, one, process, seconds, socket},
    rule::{set_up, verdict},
};
use crate::detect::requests::FLOWS_MAX;
use crate::{
    detect::{Link, Severity, Snapshot, State, Technique, command_loops::IDLE, snapshot::EndReason},
    finding::finding_id,
    model::{BootTime, Direction, Endpoint, Host, Socket},
};

/// A program with one connection, process 100.
struct Loop {
    scene: Scene,
    connection: Socket,
    pid: u32,
    now: f64,
}

impl Loop {
    fn on(connection: Socket, least: Severity) -> Self {
        let scene = Scene::above(least);
        scene.world.hold(100, connection.inode);
        Self {
            scene,
            connection,
            pid: 1000,
            now: 1.0,
        }
    }

    fn new() -> Self {
        Self::on(socket(7), Severity::Medium)
    }

    fn deliver(&mut self, bytes: &str) {
        self.now += 0.25;
        self.scene
            .world
            .deliver(&self.connection, seconds(self.now), bytes.as_bytes());
    }

    /// Runs a command, and waits for its end.
    fn run(&mut self, argv: &[&str]) -> Vec<Snapshot> {
        self.pid += 1;
        self.now += 0.25;
        let mut command = Build::new(self.pid, argv[0]).held(std::slice::from_ref(&self.connection));
        command.0.argv = argv.iter().map(|&argument| argument.into()).collect();
        let mut out = self.scene.exec(command.at(seconds(self.now)));
        self.scene.engine.check();
        out.extend(self.scene.exit(self.pid, seconds(self.now + 0.1)));
        out
    }

    /// After all this, nothing is left to wait for.
    fn let_go(mut self) {
        self.scene.exit(100, seconds(self.now + 1.0));
        let late = BootTime(seconds(self.now).0 + 2 * IDLE);
        self.scene.tick(late);
        self.scene.engine.check();
        assert_eq!((self.scene.watched(), self.scene.marked.len()), (0, 0));
        assert_eq!(self.scene.engine.next_deadline(), None);
    }
}

#[test]
fn a_command_that_was_just_delivered() {
    for words in [
        "out tcp",
        "in tcp",
        "unknown tcp",
        "out udp",
        "in udp",
        "out tcp v6",
        "out tcp loopback",
    ] {
        for (delivered, argv) in [
            ("uname -a\n", &["uname", "-a"][..]),
            ("id\n", &["id"]),
            ("id\n", &["/usr/bin/id"]),
            ("id\n", &["sh", "-c", "id"]),
            ("cat /etc/passwd|wc\n", &["sh", "-c", "cat /etc/passwd|wc 2>&1"]),
            (
                "GET /x?cmd=cat%20/etc/hosts HTTP/1.1\r\n",
                &["sh", "-c", "cat /etc/hosts"],
            ),
            ("{\"cmd\": \"ls -l\"}", &["ls", "-l"]),
        ] {
            let (connection, _) = set_up(words);
            let mut program = Loop::on(connection, Severity::Medium);
            assert!(program.run(&["true"]).is_empty());
            assert_eq!(program.scene.watched(), 1);
            program.deliver(delivered);
            let opened = program.run(argv);
            assert_eq!(verdict(&opened), "HIGH command_loop", "{words} {delivered} {argv:?}");
            assert_eq!((opened[0].link, opened[0].sockets.len()), (Link::Delivered, 1));
            program.let_go();
        }
    }
}

#[test]
fn what_was_not_delivered_as_a_command() {
    type Step<'a> = (&'a str, &'a [&'a str]);
    let rows: &[&[Step<'_>]] = &[
        // Nothing was watched yet when the first one was delivered.
        &[("id\n", &["id"])],
        // Nothing, or something else.
        &[("", &["true"]), ("", &["id"])],
        &[("", &["true"]), ("uname -a\n", &["id"])],
        &[("", &["true"]), ("the id of it\n", &["id"])],
        &[("", &["true"]), ("w\n", &["w"])],
        // Before its last command.
        &[("", &["true"]), ("id\n", &["date"]), ("", &["id"])],
        // A habit: it ran that before by itself.
        &[("", &["true"]), ("", &["df", "-h"]), ("df -h\n", &["df", "-h"])],
        &[
            ("", &["true"]),
            ("", &["sh", "-c", "df"]),
            ("df\n", &["sh", "-c", "df 2>&1"]),
        ],
        // Ciphertext, from then on nobody listens.
        &[
            ("", &["true"]),
            ("\u{17}\u{3}\u{3}\0\u{20}id\n", &["id"]),
            ("id\n", &["id"]),
        ],
    ];
    for row in rows {
        let mut program = Loop::new();
        for (delivered, argv) in *row {
            if !delivered.is_empty() {
                program.deliver(delivered);
            }
            assert!(program.run(argv).is_empty(), "{row:?}");
        }
        assert_eq!(program.scene.engine.open_incidents(), 0);
        program.let_go();
    }
}

#[test]
fn transports_that_are_not_sampled_have_no_loops() {
    for words in ["out vsock", "out sctp"] {
        let mut program = Loop::on(set_up(words).0, Severity::Low);
        program.run(&["true"]);
        assert_eq!(program.scene.watched(), 0, "{words}");
        program.let_go();
    }
}

#[test]
fn ciphertext_is_watched_no_longer() {
    let mut program = Loop::new();
    program.run(&["true"]);
    program.deliver("\u{16}\u{3}\u{1}\0\u{20}");
    program.run(&["date"]);
    assert_eq!(program.scene.watched(), 0);
    program.run(&["date"]);
    assert_eq!(program.scene.watched(), 0);
    program.let_go();
}

#[test]
fn patience_ends_and_begins_again_after_a_pause() {
    let mut program = Loop::new();
    program.run(&["true"]);
    for number in 0..49 {
        program.run(&["ping", &number.to_string()]);
        assert_eq!(program.scene.watched(), 1, "{number}");
    }
    program.run(&["ping", "more"]);
    assert_eq!(program.scene.watched(), 0);
    program.deliver("id\n");
    assert!(program.run(&["id"]).is_empty());
    program.now += IDLE as f64 / 1e9 + 1.0;
    program.scene.tick(seconds(program.now));
    assert_eq!(program.scene.engine.next_deadline(), None, "forgotten");
    program.run(&["true"]);
    assert_eq!(program.scene.watched(), 1);
    program.deliver("id\n");
    assert_eq!(verdict(&program.run(&["id"])), "HIGH command_loop");
    program.let_go();
}

#[test]
fn commands_of_a_loop_belong_to_its_incident() {
    let mut program = Loop::new();
    program.run(&["true"]);
    program.deliver("uname -a; id\n");
    program.now += 0.25;
    let at = seconds(program.now);
    let mut runner = Build::new(500, "sh").held(&[socket(7)]);
    runner.0.argv = ["sh", "-c", "uname -a; id"].map(Into::into).to_vec();
    let opened = one(program.scene.exec(runner.at(at)));
    assert_eq!(
        (opened.technique, opened.direction),
        (Technique::CommandLoop, Direction::Outbound)
    );
    assert_eq!((opened.shell.process.pid, opened.command_count), (500, 1));
    for (pid, line) in [(501, "uname -a"), (502, "id")] {
        program.scene.exec(Build::new(pid, line).parent(500, "sh").at(at));
        program.scene.exit(pid, at);
    }
    // While one of them runs, the program's others belong to it too, delivered or not.
    program.scene.exec(Build::new(503, "date").held(&[socket(7)]).at(at));
    program.scene.exit(503, at);
    program.scene.exit(500, at);
    let update = one(program.scene.tick(seconds(program.now + 5.0)));
    assert_eq!((update.command_count, update.state), (4, State::Active));
    program.scene.world.release(100, 7);
    let ended = one(program.scene.exit(100, seconds(program.now + 6.0)));
    assert_eq!(ended.end_reason, Some(EndReason::ProcessesEnded));
    program.let_go();
}

#[test]
fn a_web_shell_with_a_connection_for_each_request_is_one_takeover() {
    let mut program = Loop::new();
    let mut ids = Vec::new();
    let mut last = None;
    for request in 0..6_u64 {
        program.scene.world.release(100, program.connection.inode);
        program.connection = socket(20 + request);
        program.connection.direction = Direction::Inbound;
        program.connection.local = Endpoint::Ip("10.0.0.5:80".parse().unwrap());
        program.connection.remote = Endpoint::Ip(format!("203.0.113.7:{}", 50_000 + request).parse().unwrap());
        program.scene.world.hold(100, program.connection.inode);
        let (text, line) = (
            format!("GET /?c=ls%20/{request} HTTP/1.1\r\n"),
            format!("ls /{request}"),
        );
        program.deliver(&text);
        let mut out = program.run(&["sh", "-c", &line]);
        program.now += 2.0;
        let (inode, now) = (program.connection.inode, seconds(program.now));
        program.scene.world.release(100, inode);
        out.extend(program.scene.close(inode, now));
        out.extend(program.scene.tick(seconds(program.now + 1.0)));
        program.scene.engine.check();
        ids.extend(out.iter().map(|incident| finding_id(incident, &Host::default())));
        last = out.pop().or(last);
    }
    // The pace of a finding that ends and begins again is slow.
    let last = program.scene.tick(seconds(program.now + 60.0)).pop().or(last).unwrap();
    assert_eq!(last.command_count, 5, "all but the first");
    assert_eq!((last.severity, last.state), (Severity::High, State::Inactive));
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    program.let_go();
}

#[test]
fn undelivered_commands_are_told_where_that_is_asked_for() {
    let mut program = Loop::on(socket(7), Severity::Low);
    let first = one(program.run(&["true"]));
    assert_eq!(verdict(std::slice::from_ref(&first)), "LOW command_loop");
    assert_eq!(first.link, Link::Held);
    program.deliver("id\n");
    let risen = program.run(&["id"]);
    assert_eq!((risen[0].severity, risen[0].link), (Severity::High, Link::Delivered));
    assert_eq!((risen[0].update, risen[0].shell.argv[0].to_text().as_ref()), (2, "id"));
    assert_eq!(program.scene.engine.open_incidents(), 1);
    program.let_go();
}

#[test]
fn the_second_of_two_connections_may_deliver() {
    let mut scene = Scene::above(Severity::Medium);
    let mut other = socket(8);
    other.remote = Endpoint::Ip("203.0.113.9:53".parse().unwrap());
    let held = [socket(7), other.clone()];
    let run = |scene: &mut Scene, pid, line, at| scene.exec(Build::new(pid, line).held(&held).at(seconds(at)));
    run(&mut scene, 300, "true", 1.0);
    assert_eq!(scene.watched(), 2);
    scene.world.deliver(&other, seconds(1.5), b"uname -a\n");
    let opened = one(run(&mut scene, 301, "uname -a", 2.0));
    assert_eq!((opened.sockets[0].inode, opened.sockets[0].parent_fd), (8, Some(6)));
}

#[test]
fn programs_on_one_flow_watch_it_together() {
    let mut scene = Scene::above(Severity::Medium);
    let run = |scene: &mut Scene, pid, parent, at| {
        let command = Build::new(pid, "true").parent(parent, "ruby").held(&[socket(7)]);
        scene.exec(command.at(seconds(at)));
        scene.engine.check();
    };
    run(&mut scene, 300, 100, 1.0);
    run(&mut scene, 301, 101, 60.0);
    assert_eq!(scene.watched(), 1);
    scene.tick(seconds(122.0));
    assert_eq!(scene.watched(), 1, "the other one is left");
    scene.tick(seconds(182.0));
    assert_eq!((scene.watched(), scene.engine.next_deadline()), (0, None));
    assert!(!scene.marked.contains(&process(300)));
}

#[test]
fn loops_and_flows_are_bounded_and_let_go() {
    let mut scene = Scene::above(Severity::Medium);
    for number in 0..600_u32 {
        let mut connection = socket(u64::from(number) + 1000);
        connection.remote = Endpoint::Ip(format!("203.0.113.7:{}", 1000 + number).parse().unwrap());
        let command = Build::new(2000 + number, "true")
            .parent(1000 + number, "ruby")
            .held(&[connection]);
        scene.exec(command.at(seconds(1.0 + f64::from(number) / 100.0)));
        scene.engine.check();
        assert!(scene.watched() <= FLOWS_MAX);
    }
    assert_eq!(scene.watched(), FLOWS_MAX);
    scene.tick(BootTime(seconds(10.0).0 + IDLE));
    assert_eq!((scene.watched(), scene.engine.next_deadline()), (0, None));
}

#[test]
fn a_loop_on_a_connection_that_has_an_incident_joins_it() {
    let mut scene = Scene::new();
    scene.exec(Build::new(150, "bash -i").on("ioe", &socket(7)).at(seconds(1.0)));
    // A subshell in the middle of a pipeline: it never executed anything.
    let command = Build::new(300, "id").parent(151, "bash").held(&[socket(7)]);
    assert!(scene.exec(command.at(seconds(1.1))).is_empty());
    scene.engine.check();
    assert_eq!(scene.engine.open_incidents(), 1);
    assert_eq!(one(scene.tick(seconds(5.0))).command_count, 1);
}
