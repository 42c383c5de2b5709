//! Incidents from their first exec to their end.

use super::build::{Build, Scene, Table, command, loop_command, one, seconds, shell, socket};
use crate::{
    detect::{Engine, Settings, Severity, Snapshot, State, Technique, commands::COMMANDS_MAX, snapshot::EndReason},
    finding::finding_id,
    model::{Direction, Host, Observation, SocketState, Stream, Text},
};

#[test]
fn one_shell_from_beginning_to_end() {
    let mut scene = Scene::new();
    assert_eq!(scene.engine.next_deadline(), None, "nothing to wait for");
    let new = one(scene.exec(shell(200, 7).at(seconds(10.0))));
    assert_eq!(
        (new.state, new.severity, new.update),
        (State::Active, Severity::Critical, 1)
    );
    assert_eq!((new.command_count, new.new_commands), (0, 0));
    assert_eq!(scene.engine.open_incidents(), 1);

    for pid in 201..=203 {
        assert!(
            scene.exec(command(pid, 7).at(seconds(10.1))).is_empty(),
            "later commands wait"
        );
        assert!(scene.exit(pid, seconds(10.2)).is_empty());
    }
    assert_eq!(scene.engine.next_deadline(), Some(seconds(11.1)));
    assert!(scene.tick(seconds(11.0)).is_empty());
    let update = one(scene.tick(seconds(11.1)));
    assert_eq!((update.update, update.command_count, update.new_commands), (2, 3, 3));
    assert_eq!(
        update
            .commands
            .iter()
            .map(|command| command.process.pid)
            .collect::<Vec<_>>(),
        [201, 202, 203]
    );
    assert_eq!((update.opened, update.updated), (seconds(10.0), seconds(10.1)));
    assert!(scene.tick(seconds(12.0)).is_empty(), "nothing changed");

    let ended = one(scene.exit(200, seconds(13.0)));
    assert_eq!(
        (ended.state, ended.end_reason),
        (State::Inactive, Some(EndReason::ProcessesEnded))
    );
    assert_eq!(
        (ended.ended, ended.updated, ended.new_commands),
        (Some(seconds(13.0)), seconds(13.0), 0)
    );
    assert_eq!(scene.engine.open_incidents(), 0);
    assert_eq!(scene.engine.next_deadline(), None);
    assert!(scene.exit(200, seconds(14.0)).is_empty());
    assert!(scene.close(7, seconds(14.0)).is_empty());
}

#[test]
fn the_last_exit_ends_it_whatever_the_order() {
    for order in [
        [200, 201, 202],
        [200, 202, 201],
        [201, 200, 202],
        [201, 202, 200],
        [202, 200, 201],
        [202, 201, 200],
    ] {
        let mut scene = Scene::new();
        scene.exec(shell(200, 7));
        scene.exec(command(201, 7));
        scene.exec(command(202, 7));
        for pid in &order[..2] {
            assert!(scene.exit(*pid, seconds(1.0)).is_empty(), "{order:?}");
        }
        assert_eq!(
            one(scene.exit(order[2], seconds(2.0))).state,
            State::Inactive,
            "{order:?}"
        );
        scene.engine.check();
    }
}

#[test]
fn a_closed_socket_ends_it_with_processes_left() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7));
    let ended = one(scene.close(7, seconds(1.0)));
    assert_eq!(
        (ended.state, ended.end_reason),
        (State::Inactive, Some(EndReason::SocketsClosed))
    );
    // What a shell runs on its way out has a socket without a peer.
    let mut dead = socket(7);
    dead.state = SocketState::Unconnected;
    assert!(scene.exec(Build::new(201, "clear_console").on("ioe", &dead)).is_empty());
    assert_eq!(scene.engine.open_incidents(), 0);
    assert!(scene.exit(200, seconds(1.1)).is_empty());
}

#[test]
fn a_socket_without_a_peer_still_belongs_to_its_open_incident() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7));
    let mut dead = socket(7);
    dead.state = SocketState::Unconnected;
    scene.exec(Build::new(201, "clear_console").on("ioe", &dead));
    assert_eq!(one(scene.engine.finish(seconds(1.0))).command_count, 1);
}

#[test]
fn two_sockets_end_with_the_second() {
    let mut scene = Scene::new();
    let incident = one(scene.exec(Build::new(200, "bash").on("i", &socket(7)).on("oe", &socket(8))));
    assert_eq!(incident.sockets.len(), 2);
    assert!(
        scene.exec(Build::new(201, "id").on("oe", &socket(8))).is_empty(),
        "either socket leads to it"
    );
    assert!(scene.close(7, seconds(1.0)).is_empty());
    assert_eq!(
        one(scene.close(8, seconds(2.0))).end_reason,
        Some(EndReason::SocketsClosed)
    );
}

#[test]
fn two_shells_at_once_are_two_incidents() {
    let mut scene = Scene::new();
    // The same parent holds both sockets.
    let held = |inode| {
        let mut socket = socket(inode);
        socket.parent_fd = Some(inode as u32);
        socket
    };
    let first = one(scene.exec(Build::new(200, "sh").on("ioe", &held(7))));
    let second = one(scene.exec(Build::new(201, "sh").on("ioe", &held(8))));
    assert_ne!(first.sockets[0].inode, second.sockets[0].inode);
    assert_eq!(scene.engine.open_incidents(), 2);
    scene.exec(command(202, 8));
    assert!(
        scene.exit(100, seconds(1.0)).is_empty(),
        "the parent is gone, the shells live"
    );
    assert_eq!(one(scene.exit(200, seconds(2.0))).command_count, 0);
    scene.exit(201, seconds(3.0));
    assert_eq!(one(scene.exit(202, seconds(4.0))).command_count, 1);
    scene.engine.check();
}

#[test]
fn an_exec_on_sockets_of_two_incidents_goes_to_that_of_its_input() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7));
    scene.exec(shell(201, 8));
    scene.exec(Build::new(202, "cat").on("i", &socket(8)).on("oe", &socket(7)));
    scene.engine.check();
    let counts: Vec<(u64, u64)> = scene
        .engine
        .finish(seconds(1.0))
        .iter()
        .map(|incident| (incident.sockets[0].inode, incident.command_count))
        .collect();
    assert_eq!(counts, [(7, 0), (8, 1)]);
}

#[test]
fn the_shell_that_comes_later_is_the_shell() {
    let mut scene = Scene::new();
    let first = one(scene.exec(Build::new(200, "sh -c x").on("ioe", &socket(7))));
    assert_eq!(
        (first.severity, first.technique, first.command_count),
        (Severity::Medium, Technique::RemoteCommand, 1)
    );
    // The same process executes the next program.
    let rise = one(scene.exec(Build::new(200, "bash -i").on("ioe", &socket(7)).at(seconds(0.1))));
    assert_eq!(
        (rise.severity, rise.technique),
        (Severity::Critical, Technique::ReverseShell)
    );
    assert_eq!(rise.shell.program.name, "bash");
    assert_eq!((rise.command_count, rise.commands.len()), (1, 1));
    assert_eq!(rise.commands[0].argv[1].to_text(), "-c");
    // It never falls, and a second shell is a command of the first.
    assert!(
        scene
            .exec(Build::new(201, "cat").on("i", &socket(7)).at(seconds(0.2)))
            .is_empty()
    );
    assert!(
        scene
            .exec(Build::new(202, "sh").on("ioe", &socket(7)).at(seconds(0.2)))
            .is_empty()
    );
    assert!(scene.exit(201, seconds(1.0)).is_empty());
    assert!(scene.exit(202, seconds(1.0)).is_empty());
    let ended = one(scene.exit(200, seconds(1.0)));
    assert_eq!((ended.severity, ended.command_count), (Severity::Critical, 3));
    assert_eq!(ended.shell.program.name, "bash");
}

#[test]
fn of_equal_evidence_the_shell_tells_more() {
    let mut scene = Scene::new();
    let first = one(scene.exec(loop_command(201, 200)));
    assert_eq!(
        (first.severity, first.technique),
        (Severity::High, Technique::CommandLoop)
    );
    let mut inbound = socket(7);
    inbound.direction = Direction::Inbound;
    assert!(
        scene
            .exec(Build::new(202, "bash").on("ioe", &inbound).at(seconds(0.1)))
            .is_empty(),
        "no rise"
    );
    let update = one(scene.tick(seconds(5.0)));
    assert_eq!(
        (update.severity, update.technique),
        (Severity::High, Technique::BindShell)
    );
}

#[test]
fn a_loop_is_one_incident_while_its_commands_come_and_go() {
    let mut scene = Scene::new();
    scene.world.hold(200, 7);
    let mut snapshots = scene.exec(loop_command(1000, 200));
    scene.exit(1000, seconds(0.1));
    for at in 1..=60 {
        snapshots.extend(scene.exec(loop_command(1000 + at, 200).at(seconds(f64::from(at) * 3.0))));
        snapshots.extend(scene.exit(1000 + at, seconds(f64::from(at) * 3.0 + 0.2)));
        snapshots.extend(scene.tick(seconds(f64::from(at) * 3.0 + 2.9)));
        assert_eq!(scene.engine.open_incidents(), 1);
    }
    assert!(snapshots.iter().all(|snapshot| snapshot.state == State::Active));
    assert!(snapshots.len() <= 10, "{} snapshots", snapshots.len());
    let ended = one(scene.exit(200, seconds(200.0)));
    assert_eq!((ended.state, ended.command_count), (State::Inactive, 61));
    assert_eq!(ended.commands.len(), COMMANDS_MAX);
}

#[test]
fn an_end_that_the_kernel_left_out_is_found_when_that_is_known() {
    let mut scene = Scene::new();
    scene.world.hold(200, 7);
    scene.exec(shell(200, 7));
    let missed = |at| Observation::RunsMissed(seconds(at));
    assert!(scene.observe(missed(1.0)).is_empty(), "it goes on");
    scene.world.release(200, 7);
    let ended = one(scene.observe(missed(2.0)));
    assert_eq!(ended.end_reason, Some(EndReason::NoHolderFound));
    scene.engine.check();
}

#[test]
fn a_parent_that_lets_go_after_its_child_ends_it_within_a_second() {
    let mut scene = Scene::new();
    scene.world.hold(200, 7);
    scene.exec(loop_command(201, 200));
    assert!(scene.exit(201, seconds(5.0)).is_empty());
    scene.world.release(200, 7);
    assert_eq!(scene.engine.next_deadline(), Some(seconds(6.0)));
    assert_eq!(
        one(scene.tick(seconds(6.0))).end_reason,
        Some(EndReason::ProcessesEnded)
    );
    // And at once where it has let go already.
    let mut scene = Scene::new();
    scene.exec(loop_command(201, 200));
    assert_eq!(one(scene.exit(201, seconds(5.0))).state, State::Inactive);
}

#[test]
fn it_begins_again_under_the_same_id() {
    let host = Host::default();
    let mut scene = Scene::new();
    let first = one(scene.exec(shell(200, 7)));
    scene.exec(command(201, 7));
    scene.exit(201, seconds(1.0));
    let ended = one(scene.exit(200, seconds(2.0)));
    let again = one(scene.exec(shell(300, 7).at(seconds(60.0))));
    assert_eq!(
        (again.state, again.ended, again.end_reason),
        (State::Active, None, None)
    );
    assert_eq!(finding_id(&again, &host), finding_id(&first, &host));
    assert_eq!((again.opened, again.update), (first.opened, ended.update + 1));
    assert_eq!((again.command_count, again.commands.len()), (2, 2), "counts go on");
    assert_eq!(scene.engine.open_incidents(), 1);
    assert_eq!(one(scene.exit(300, seconds(200.0))).state, State::Inactive);
    scene.engine.check();
}

#[test]
fn an_ended_incident_whose_socket_another_took_stays_ended() {
    let mut scene = Scene::new();
    scene.exec(Build::new(200, "bash").on("i", &socket(7)).on("oe", &socket(8)));
    assert_eq!(one(scene.exit(200, seconds(1.0))).state, State::Inactive);
    scene.exec(shell(300, 9).at(seconds(2.0)));
    // The open one takes a socket of the ended one.
    scene.exec(
        Build::new(301, "bash")
            .on("i", &socket(9))
            .on("oe", &socket(7))
            .at(seconds(2.0)),
    );
    let other = one(scene.exec(shell(302, 8).at(seconds(3.0))));
    assert_eq!((other.update, other.sockets[0].inode), (1, 8));
    scene.engine.check();
}

#[test]
fn another_connection_under_the_same_inode_number_is_another_incident() {
    let mut scene = Scene::new();
    let first = one(scene.exec(shell(200, 7)));
    scene.exit(200, seconds(1.0));
    let mut other = socket(7);
    other.local = "10.0.0.5:1".parse().map(crate::model::Endpoint::Ip).unwrap();
    let second = one(scene.exec(Build::new(300, "bash").on("ioe", &other).at(seconds(2.0))));
    assert_eq!(second.update, 1);
    assert_ne!(
        finding_id(&first, &Host::default()),
        finding_id(&second, &Host::default())
    );
    scene.engine.check();
}

#[test]
fn a_sensor_started_again_finds_the_same_id() {
    let id = |build: Build| finding_id(&one(Scene::new().exec(build)), &Host::default());
    assert_eq!(id(shell(200, 7)), id(command(201, 7)));
    assert_eq!(id(shell(200, 7)), id(loop_command(202, 200)));
    assert_ne!(id(shell(200, 7)), id(shell(200, 8)));
}

#[test]
fn a_direction_learnt_later_is_shown_and_judged() {
    let mut unknown = socket(7);
    unknown.direction = Direction::Unknown;
    let mut scene = Scene::new();
    let first = one(scene.exec(Build::new(200, "bash").on("ioe", &unknown)));
    assert_eq!((first.severity, first.direction), (Severity::High, Direction::Unknown));
    let rise = one(scene.exec(Build::new(201, "bash").on("ioe", &socket(7))));
    assert_eq!(
        (rise.severity, rise.direction),
        (Severity::Critical, Direction::Outbound)
    );
}

#[test]
fn times_out_of_order_do_no_harm() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7).at(seconds(10.0)));
    scene.exec(command(201, 7).at(seconds(9.0)));
    let update = one(scene.tick(seconds(11.0)));
    assert_eq!((update.opened, update.updated), (seconds(10.0), seconds(10.0)));
    assert_eq!(
        one(scene
            .exit(200, seconds(8.0))
            .into_iter()
            .chain(scene.exit(201, seconds(8.0)))
            .collect())
        .ended,
        Some(seconds(11.0))
    );
}

#[test]
fn a_recording_replays_to_the_same_incidents() {
    let mut observations: Vec<Observation> = vec![shell(200, 7).see()];
    observations.extend((0..50).map(|at| command(201 + at, 7).at(seconds(f64::from(at))).see()));
    let mut odd = Build::new(400, "python3").on("ie", &socket(8)).at(seconds(60.0));
    odd.0.argv.push(crate::model::Text(vec![0xff, 0x0a, 0x1b]));
    odd.0.streams[1] = Stream::Unix { inode: 5, peer: None };
    observations.push(odd.see());
    let recorded: Vec<String> = observations
        .iter()
        .map(|seen| serde_json::to_string(seen).unwrap())
        .collect();
    let replayed: Vec<Observation> = recorded
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(observations, replayed);
    let run = |observations: Vec<Observation>| {
        let world = Table::default();
        let mut engine = Engine::new(Settings::default());
        let mut out: Vec<Snapshot> = vec![];
        for observation in observations {
            out.extend(engine.observe(observation, &world));
        }
        out.extend(engine.tick(seconds(61.0), &world));
        out.extend(engine.finish(seconds(62.0)));
        serde_json::to_string(&out).unwrap()
    };
    assert_eq!(run(observations), run(replayed));
}

/// As a look at running processes gives it.
fn running(build: Build) -> Build {
    let mut build = build;
    build.0.running = true;
    build
}

#[test]
fn a_launcher_that_a_look_caught_before_it_executed_its_shell_is_no_command() {
    let mut scene = Scene::new();
    let launcher = Build::new(200, "updater").on("ioe", &socket(7));
    let caught = one(scene.exec(running(launcher.at(seconds(10.0)))));
    assert_eq!(caught.severity, Severity::Medium);
    let shell = one(scene.exec(shell(200, 7).at(seconds(10.1))));
    assert_eq!((shell.severity, shell.command_count), (Severity::Critical, 0));
    assert_eq!((&shell.shell.comm, shell.commands.len()), (&Text::from("bash"), 0));
    scene.exec(command(201, 7).at(seconds(10.2)));
    let ended = one(scene.close(7, seconds(11.0)));
    assert_eq!((ended.command_count, ended.commands.len()), (1, 1));
}

#[test]
fn a_command_that_a_look_caught_before_it_was_executed_counts_once() {
    let mut scene = Scene::new();
    let forked = loop_command(201, 200).program("bash");
    let caught = one(scene.exec(running(forked.at(seconds(10.0)))));
    assert_eq!((caught.technique, caught.command_count), (Technique::CommandLoop, 1));
    scene.exec(loop_command(201, 200).at(seconds(10.1)));
    scene.exec(loop_command(202, 200).at(seconds(10.2)));
    let ended = one(scene.close(7, seconds(11.0)));
    assert_eq!((&ended.shell.comm, ended.command_count), (&Text::from("id"), 2));
}

#[test]
fn what_a_program_executes_that_moved_its_connection_long_ago_is_a_command() {
    let mut scene = Scene::new();
    let moved = Build::new(200, "updater").on("ioe", &socket(7));
    one(scene.exec(running(moved.at(seconds(10.0)))));
    scene.exec(Build::new(200, "id").on("ioe", &socket(7)).at(seconds(90.0)));
    let ended = one(scene.close(7, seconds(91.0)));
    assert_eq!(ended.shell.comm, Text::from("updater"));
    assert_eq!(
        ended.commands.last().map(|command| command.comm.clone()),
        Some(Text::from("id"))
    );
}
