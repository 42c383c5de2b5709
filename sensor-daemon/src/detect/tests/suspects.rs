//! Shells whose way to a socket is found later, or has to be proved by what the socket delivers.

use super::{
    build::{Build, Scene, one, process, seconds, socket},
    rule::{set_up, verdict},
    wiring::{holders, streams},
};
use crate::detect::requests::FLOWS_MAX;
use crate::{
    detect::{Link, Settings, Severity, Snapshot, State, suspects::SUSPECTS_MAX},
    model::{BootTime, Endpoint, Socket, SocketState},
};

const MILLISECOND: u64 = 1_000_000;
const UNCONNECTED: &str = "12 nc 0r=p5 1w=p6";
const NC: &str = "12 nc 0r=p5 1w=p6 3=c7";
/// A program that may carry the shell's streams among other things.
const AGENT: &str = "12 agent 5r=p5 6w=p6 7=c7";

/// A connection with a past: it was there for something else than the shell.
fn used(inode: u64) -> Socket {
    Socket {
        bytes_received: Some(4096),
        ..socket(inode)
    }
}

fn wire(scene: &mut Scene, wires: &str) {
    scene.world.holders.replace(holders(wires, &used(7)));
}

/// Shell 200, which starts at one second.
fn start(scene: &mut Scene, wires: &str) -> Vec<Snapshot> {
    wire(scene, wires);
    let shell = Build::new(200, "sh").streams(streams("p6 p5", &socket(7)));
    scene.exec(shell.at(seconds(1.0)))
}

/// A command of the shell.
fn run(scene: &mut Scene, pid: u32, line: &str, at: f64) -> Vec<Snapshot> {
    let command = Build::new(pid, line)
        .streams(streams("p6 p5", &socket(7)))
        .parent(200, "sh");
    scene.exec(command.at(seconds(at)))
}

fn deliver(scene: &Scene, at: f64, bytes: &[u8]) {
    scene.world.deliver(&socket(7), seconds(at), bytes);
}

/// Nothing is watched, followed or waited for any longer.
fn assert_let_go(scene: &Scene) {
    scene.engine.check();
    assert_eq!((scene.watched(), scene.marked.len()), (0, 0));
    assert_eq!((scene.engine.next_deadline(), scene.engine.open_incidents()), (None, 0));
}

#[test]
fn a_carrier_that_connects_later() {
    let mut scene = Scene::new();
    assert!(start(&mut scene, UNCONNECTED).is_empty());
    assert!(scene.neighbours.contains(&process(12)), "its connecting is reported");
    assert!(!scene.marked.contains(&process(200)), "the shell's commands are not");
    // Somebody else's connection.
    assert!(scene.connect(99, seconds(20.0)).is_empty());
    wire(&mut scene, NC);
    let opened = scene.connect(12, seconds(21.0));
    assert_eq!(verdict(&opened), "CRITICAL reverse_shell");
    assert_eq!(opened[0].relays[0].process, process(12));
    assert!(scene.marked.contains(&process(200)));
    assert!(scene.connect(12, seconds(22.0)).is_empty(), "it is known");
    assert_eq!(scene.exit(200, seconds(23.0)).len(), 1);
    assert_let_go(&scene);
}

#[test]
fn a_carrier_that_has_only_begun_to_connect() {
    let begun = Socket {
        state: SocketState::Connecting,
        local: Endpoint::Ip("192.0.2.1:0".parse().unwrap()),
        ..socket(7)
    };
    for (at, besides) in [(1.1, 2), (21.0, 2)] {
        let mut scene = Scene::new();
        start(&mut scene, UNCONNECTED);
        while let Some(due) = scene.engine.next_deadline().filter(|due| due.0 < seconds(at).0) {
            scene.tick(due);
        }
        let scheduled = scene.engine.next_deadline();
        scene.world.holders.replace(holders(NC, &begun));
        assert!(scene.connect(12, seconds(at)).is_empty(), "it has no name yet");
        let due = scene.engine.next_deadline().unwrap();
        assert_eq!(due.0, seconds(at).0 + besides * MILLISECOND);
        assert!(scene.tick(due).is_empty());
        assert_eq!(scene.engine.next_deadline(), scheduled, "no other look is lost");
        assert!(scene.connect(12, seconds(at + 0.01)).is_empty());
        wire(&mut scene, NC);
        let due = scene.engine.next_deadline().unwrap();
        let opened = scene.tick(due);
        assert_eq!(verdict(&opened), "CRITICAL reverse_shell");
        assert_eq!(opened[0].sockets[0].local, socket(7).local);
    }
}

#[test]
fn looks_by_the_clock_and_no_more_of_them_than_that() {
    for (found_at, looks) in [(5, 1), (30, 2), (200, 3), (1000, 4), (5000, 5)] {
        let mut scene = Scene::new();
        start(&mut scene, "");
        for look in 1..=looks {
            let due = scene.engine.next_deadline().unwrap();
            if look == looks {
                assert_eq!(due.0, seconds(1.0).0 + found_at * MILLISECOND);
                assert!(scene.tick(BootTime(due.0 - 1)).is_empty());
                wire(&mut scene, NC);
                assert_eq!(verdict(&scene.tick(due)), "CRITICAL reverse_shell");
            } else {
                assert!(scene.tick(due).is_empty());
            }
        }
    }
    let mut scene = Scene::new();
    start(&mut scene, "");
    for _ in 0..5 {
        let due = scene.engine.next_deadline().unwrap();
        assert!(scene.tick(due).is_empty());
    }
    assert_eq!(scene.engine.next_deadline(), None, "only a connection can tell more");
    scene.exit(200, seconds(60.0));
    assert_let_go(&scene);
}

#[test]
fn a_suspect_that_executes_something_else_or_ends_is_none() {
    let mut scene = Scene::new();
    start(&mut scene, UNCONNECTED);
    let other = Build::new(200, "cat").streams(streams("p6 p5", &socket(7)));
    scene.exec(other.at(seconds(1.1)));
    wire(&mut scene, NC);
    assert!(scene.connect(12, seconds(2.0)).is_empty());
    assert_let_go(&scene);

    let mut scene = Scene::new();
    start(&mut scene, UNCONNECTED);
    scene.exit(200, seconds(1.1));
    wire(&mut scene, NC);
    assert!(scene.connect(12, seconds(2.0)).is_empty());
    assert_let_go(&scene);
}

#[test]
fn a_command_that_was_delivered_proves_a_general_program_a_carrier() {
    let mut scene = Scene::new();
    assert!(start(&mut scene, AGENT).is_empty());
    assert_eq!(scene.watched(), 1);
    assert!(scene.marked.contains(&process(200)), "its commands are reported");
    // It ran by itself.
    assert!(run(&mut scene, 300, "uptime", 2.0).is_empty());
    deliver(&scene, 2.5, b"uname -a\n");
    assert!(run(&mut scene, 301, "df", 3.0).is_empty(), "another one was delivered");
    assert!(
        run(&mut scene, 302, "uname -a", 3.5).is_empty(),
        "that was before the last command"
    );
    deliver(&scene, 4.0, b"uname -a\n");
    let opened = one(run(&mut scene, 303, "uname -a", 4.1));
    assert_eq!(verdict(std::slice::from_ref(&opened)), "HIGH reverse_shell");
    assert_eq!((opened.link, opened.shell.process.pid), (Link::Delivered, 200));
    assert_eq!(scene.watched(), 0, "there is nothing more to prove");
    run(&mut scene, 304, "ls", 4.2);
    let update = one(scene.tick(seconds(8.0)));
    let pids: Vec<u32> = update.commands.iter().map(|command| command.process.pid).collect();
    assert_eq!((pids, update.command_count), (vec![303, 304], 2));
    for pid in 300..=304 {
        scene.exit(pid, seconds(9.0));
    }
    assert_eq!(one(scene.exit(200, seconds(10.0))).state, State::Inactive);
    assert_let_go(&scene);
}

#[test]
fn what_a_shell_runs_by_itself_is_proof_too() {
    let mut scene = Scene::new();
    start(&mut scene, AGENT);
    deliver(&scene, 1.001, b"HTTP/1.1 200 OK\r\n\r\nhello\n");
    assert!(scene.tick(seconds(1.01)).is_empty());
    deliver(&scene, 1.02, b"cd /tmp\n");
    let opened = one(scene.tick(seconds(1.04)));
    assert_eq!(verdict(std::slice::from_ref(&opened)), "MEDIUM reverse_shell");
    assert_eq!(opened.link, Link::Delivered);
    assert_eq!(scene.watched(), 1, "there may be more to prove");
    deliver(&scene, 2.0, b"id\n");
    let rises = run(&mut scene, 300, "id", 2.1);
    assert_eq!(rises.first().map(|incident| incident.severity), Some(Severity::High));
    scene.exit(300, seconds(3.0));
    scene.exit(200, seconds(4.0));
    assert_let_go(&scene);
}

#[test]
fn a_finding_without_proof_gets_it() {
    let mut scene = Scene::new();
    let (untouched, _) = set_up("out tcp unread");
    scene.world.holders.replace(holders(AGENT, &untouched));
    let opened = one(scene.exec(
        Build::new(200, "sh")
            .streams(streams("p6 p5", &untouched))
            .at(seconds(1.0)),
    ));
    assert_eq!((opened.severity, opened.link), (Severity::Medium, Link::Held));
    deliver(&scene, 1.001, b"cd /tmp\n");
    assert!(scene.tick(seconds(1.01)).is_empty(), "the severity is the same");
    deliver(&scene, 2.0, b"id -u\n");
    let risen = run(&mut scene, 300, "id -u", 2.1);
    assert_eq!((risen[0].severity, risen[0].link), (Severity::High, Link::Delivered));
    let proofs = ["takes for commands.", "had just delivered."];
    assert!(
        proofs.iter().all(|proof| risen[0].evidence.contains(proof)),
        "{}",
        risen[0].evidence
    );
    scene.exit(300, seconds(3.0));
    assert_eq!(one(scene.exit(200, seconds(4.0))).state, State::Inactive);
    assert_let_go(&scene);
}

#[test]
fn ciphertext_proves_nothing() {
    let mut scene = Scene::new();
    start(&mut scene, AGENT);
    deliver(&scene, 1.001, b"\x17\x03\x03\x00\x40rest");
    let told = one(scene.tick(seconds(1.01)));
    assert_eq!((told.severity, told.link), (Severity::Low, Link::Held));
    assert_eq!(scene.watched(), 0);
    run(&mut scene, 300, "id", 2.0);
    scene.exit(300, seconds(3.0));
    let ended = one(scene.exit(200, seconds(4.0)));
    assert_eq!((ended.severity, ended.state), (Severity::Low, State::Inactive));
    assert_let_go(&scene);
}

#[test]
fn waiting_for_proof_takes_a_bounded_number_of_looks() {
    let mut scene = Scene::new();
    start(&mut scene, AGENT);
    let mut looks = 0;
    while scene.watched() > 0 {
        let due = scene.engine.next_deadline().unwrap();
        let told = scene.tick(due);
        looks += 1;
        assert!(looks <= 30);
        // Only the last says what there is.
        assert_eq!(told.len(), usize::from(scene.watched() == 0));
    }
    scene.exit(200, seconds(4000.0));
    assert_let_go(&scene);
}

#[test]
fn what_stays_unproven_is_told_only_to_who_asks_for_the_lowest() {
    let mut scene = Scene::of(Settings::default());
    start(&mut scene, AGENT);
    deliver(&scene, 1.001, b"\x17\x03\x03\x00\x40rest");
    assert!(scene.tick(seconds(1.01)).is_empty());
    assert_eq!((scene.watched(), scene.engine.open_incidents()), (0, 0));
    assert!(scene.exit(200, seconds(4.0)).is_empty());
    assert_let_go(&scene);
}

#[test]
fn a_relay_of_a_shell_that_was_joined_already() {
    // `nc … | sh` in a session: nc connects after sh has started.
    let mut scene = Scene::new();
    scene.exec(Build::new(150, "bash -i").on("ioe", &socket(9)).at(seconds(0.0)));
    wire(&mut scene, UNCONNECTED);
    let inner = Build::new(200, "sh")
        .streams(streams("p6 p5", &socket(7)))
        .parent(150, "bash");
    assert!(
        scene.exec(inner.at(seconds(1.0))).is_empty(),
        "a command of the session"
    );
    wire(&mut scene, NC);
    let opened = scene.connect(12, seconds(2.0));
    assert_eq!(verdict(&opened[opened.len() - 1..]), "CRITICAL reverse_shell");
    assert_eq!(scene.engine.open_incidents(), 2);
    scene.exit(200, seconds(3.0));
    scene.exit(150, seconds(4.0));
    assert_let_go(&scene);
}

#[test]
fn too_many_suspects_push_out_the_oldest() {
    let mut scene = Scene::new();
    let many = 2 * SUSPECTS_MAX as u32;
    for pid in 1000..1000 + many {
        let shell = Build::new(pid, "sh").streams(streams("p6 p5", &socket(7)));
        scene.exec(shell.at(seconds(f64::from(pid) / 1000.0)));
    }
    scene.engine.check();
    wire(&mut scene, NC);
    let opened = scene.connect(12, seconds(10.0));
    // Those that were started last; the first one opens, the others join it.
    assert_eq!(opened[0].shell.process.pid, 1000 + many - 1);
    assert_eq!(scene.engine.open_incidents(), 1);
    scene.engine.check();
    for pid in 1000..1000 + many {
        scene.exit(pid, seconds(20.0));
    }
    assert_let_go(&scene);
}

#[test]
fn too_many_flows_are_not_watched() {
    let mut scene = Scene::new();
    for number in 0..600_u32 {
        let mut connection = used(u64::from(number) + 1000);
        connection.remote = crate::model::Endpoint::Ip(format!("203.0.113.7:{}", 1000 + number).parse().unwrap());
        let wires = format!("12 agent 5r=p5 6w=p6 7=c{}", 1000 + number);
        scene.world.holders.replace(holders(&wires, &connection));
        let shell = Build::new(200 + number, "sh").streams(streams("p6 p5", &connection));
        assert!(scene.exec(shell.at(seconds(1.0))).is_empty());
        scene.engine.check();
    }
    assert_eq!(scene.watched(), FLOWS_MAX);
    for number in 0..600 {
        scene.exit(200 + number, seconds(2.0));
    }
    assert_let_go(&scene);
}

/// Shell 200 behind a general program with a connection on which nobody has spoken.
fn start_silent(scene: &mut Scene) -> Vec<Snapshot> {
    let silent = Socket {
        bytes_received: Some(0),
        bytes_sent: Some(0),
        ..socket(7)
    };
    scene.world.holders.replace(holders(AGENT, &silent));
    // More arguments than a shell has that only reads commands.
    let shell = Build::new(200, "bash --norc --noprofile +x -l").streams(streams("p6 p5", &silent));
    scene.exec(shell.at(seconds(1.0)))
}

/// Ticks until an incident opens; `None` if nothing is due any more before that.
fn tick_until_opened(scene: &mut Scene) -> Option<Snapshot> {
    loop {
        let due = scene.engine.next_deadline()?;
        if let Some(opened) = scene.tick(due).pop() {
            return Some(opened);
        }
    }
}

#[test]
fn a_suspect_whose_flow_can_not_be_watched_is_looked_at_all_the_same() {
    // There is no room for its flow.
    let mut scene = Scene::new();
    for number in 0..FLOWS_MAX as u32 {
        let connection = Socket {
            remote: Endpoint::Ip(format!("203.0.113.7:{}", 1000 + number).parse().unwrap()),
            ..used(u64::from(number) + 1000)
        };
        let wires = format!("13 agent 5r=p105 6w=p106 7=c{}", 1000 + number);
        scene.world.holders.replace(holders(&wires, &connection));
        let shell = Build::new(1000 + number, "sh").streams(streams("p106 p105", &connection));
        scene.exec(shell.at(seconds(1.0)));
    }
    assert_eq!(scene.watched(), FLOWS_MAX);
    start_silent(&mut scene);
    let opened = tick_until_opened(&mut scene).expect("it waits for its peer");
    assert_eq!((opened.shell.process.pid, opened.severity), (200, Severity::Medium));

    // The source does not sample it.
    let mut scene = Scene::new();
    scene.denies = true;
    start_silent(&mut scene);
    assert_eq!(scene.watched(), 0);
    let opened = tick_until_opened(&mut scene).expect("it waits for its peer");
    assert_eq!(opened.severity, Severity::Medium);
    scene.exit(200, seconds(9.0));
    assert_let_go(&scene);
}

#[test]
fn a_suspect_whose_relay_can_not_be_waited_for_is_looked_at_by_the_clock() {
    let mut scene = Scene::new();
    scene.denies = true;
    start(&mut scene, UNCONNECTED);
    while scene.engine.next_deadline().is_some_and(|due| due < seconds(60.0)) {
        scene.tick(scene.engine.next_deadline().unwrap());
    }
    wire(&mut scene, NC);
    let opened = tick_until_opened(&mut scene).expect("nobody says that it connects");
    assert_eq!(opened.severity, Severity::Critical);
}

#[test]
fn two_shells_of_one_carrier_are_one_takeover() {
    let mut scene = Scene::new();
    start(&mut scene, AGENT);
    let second = Build::new(201, "sh").streams(streams("p6 p5", &socket(7)));
    assert!(scene.exec(second.at(seconds(1.0))).is_empty());
    deliver(&scene, 1.001, b"cd /tmp\n");
    assert_eq!(verdict(&scene.tick(seconds(1.01))), "MEDIUM reverse_shell");
    scene.engine.check();
    assert_eq!(scene.engine.open_incidents(), 1);
    deliver(&scene, 2.0, b"id -u\n");
    assert_eq!(verdict(&run(&mut scene, 300, "id -u", 2.1)[..1]), "HIGH reverse_shell");
    for pid in [300, 200, 201] {
        scene.exit(pid, seconds(3.0));
    }
    assert_let_go(&scene);
}

#[test]
fn the_session_of_a_connection_that_closed_is_followed_no_longer() {
    let mut scene = Scene::new();
    start(&mut scene, NC);
    run(&mut scene, 300, "sleep 100", 1.1);
    assert!([200, 300].iter().all(|&pid| scene.marked.contains(&process(pid))));
    let ended = scene.close(7, seconds(2.0));
    assert_eq!(ended[0].state, State::Inactive);
    assert!(run(&mut scene, 301, "id", 3.0).is_empty(), "the shell lives on");
    assert!([200, 301].iter().all(|&pid| !scene.marked.contains(&process(pid))));
    assert_eq!(scene.engine.open_incidents(), 0);
}
