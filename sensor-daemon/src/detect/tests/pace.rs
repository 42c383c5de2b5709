//! When incidents speak, and that nobody can make them shout.

use super::build::{Build, SECOND, Scene, command, loop_command, one, seconds, shell, socket};
use crate::{
    detect::{Severity, Snapshot, State, commands::COMMANDS_MAX},
    model::BootTime,
};

#[test]
fn below_the_minimum_it_is_followed_in_silence() {
    let mut scene = Scene::above(Severity::Medium);
    assert!(scene.exec(Build::new(200, "cat").on("i", &socket(7))).is_empty());
    assert!(
        scene
            .exec(Build::new(201, "cat").on("i", &socket(7)).at(seconds(1.0)))
            .is_empty()
    );
    assert_eq!(scene.engine.open_incidents(), 1);
    assert!(scene.tick(seconds(20.0)).is_empty());
    let first = one(scene.exec(Build::new(202, "bash").on("ioe", &socket(7)).at(seconds(21.0))));
    assert_eq!(
        (first.update, first.severity, first.command_count),
        (1, Severity::Critical, 2)
    );
    assert_eq!(first.opened, BootTime(200), "from the first evidence on");

    let mut scene = Scene::above(Severity::Medium);
    scene.exec(Build::new(200, "cat").on("i", &socket(7)));
    assert!(scene.engine.finish(seconds(1.0)).is_empty());
    assert!(scene.exit(200, seconds(2.0)).is_empty(), "nor is its end told");
    assert_eq!(scene.engine.next_deadline(), None);
}

#[test]
fn a_fast_loop_is_not_looked_at_for_each_command() {
    let mut scene = Scene::new();
    scene.world.hold(200, 7);
    for at in 0..10_000 {
        let time = BootTime(SECOND + at * SECOND / 10_000);
        scene.exec(loop_command(1000 + at as u32, 200).at(time));
        scene.exit(1000 + at as u32, time);
    }
    assert!(*scene.world.asked.borrow() <= 2, "{} looks", scene.world.asked.borrow());
}

#[test]
fn pace_of_a_busy_shell() {
    let mut scene = Scene::new();
    scene.world.hold(200, 7);
    scene.exec(shell(200, 7).at(seconds(0.0)));
    let mut times = vec![];
    for tenth in 1..3000 {
        let now = seconds(f64::from(tenth) / 10.0);
        scene.exec(command(1000 + tenth, 7).at(now));
        scene.exit(1000 + tenth, now);
        if scene.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
            times.extend(scene.tick(now).iter().map(|_| tenth / 10));
        }
    }
    assert_eq!(times, [1, 3, 7, 15, 31, 63, 123, 183, 243]);
}

#[test]
fn a_command_after_a_long_silence_is_told_soon() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7));
    for at in [10.0, 100.0, 1000.0] {
        assert!(scene.exec(command(201, 7).at(seconds(at))).is_empty());
        while let Some(deadline) = scene
            .engine
            .next_deadline()
            .filter(|&deadline| deadline < seconds(at + 1.0))
        {
            scene.world.hold(200, 7);
            assert!(scene.tick(deadline).is_empty());
        }
        assert_eq!(one(scene.tick(seconds(at + 1.0))).new_commands, 1);
    }
}

#[test]
fn a_flood_of_commands_is_a_few_lines() {
    let mut scene = Scene::new();
    let mut lines = scene.exec(shell(200, 7).at(seconds(0.0))).len();
    for at in 1..=100_000_u64 {
        let now = BootTime(at * SECOND / 10_000);
        let pid = 1000 + at as u32;
        lines += scene.exec(command(pid, 7).at(now)).len();
        lines += scene.exit(pid, now).len();
        if scene.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
            lines += scene.tick(now).len();
        }
    }
    let ended = one(scene.exit(200, seconds(11.0)));
    assert_eq!((ended.command_count, ended.commands.len()), (100_000, COMMANDS_MAX));
    assert!(lines <= 5, "{lines} lines");
}

#[test]
fn a_flood_of_ends_and_beginnings_is_a_few_lines() {
    let mut scene = Scene::new();
    let mut last = None;
    let mut lines = 0;
    let mut take = |snapshots: Vec<Snapshot>| {
        lines += snapshots.len();
        last = snapshots.into_iter().last().or(last.take());
    };
    for at in 1..=100_000_u64 {
        let now = BootTime(at * SECOND / 1000);
        take(scene.exec(shell(1000 + at as u32, 7).at(now)));
        take(scene.exit(1000 + at as u32, now));
        if scene.engine.next_deadline().is_some_and(|deadline| deadline <= now) {
            take(scene.tick(now));
        }
    }
    take(scene.tick(seconds(200.0)));
    let last = last.unwrap();
    assert!(lines <= 12, "{lines} lines in 100 seconds");
    assert_eq!(
        (last.state, last.command_count),
        (State::Inactive, 99_999),
        "and the last one is complete"
    );
    assert_eq!(scene.engine.next_deadline(), None);
}

#[test]
fn the_last_snapshots_when_the_sensor_stops() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7));
    scene.exec(shell(201, 8));
    scene.exec(command(202, 7).at(seconds(0.1)));
    scene.exit(201, seconds(0.2));
    let last = one(scene.engine.finish(seconds(1.0)));
    assert_eq!(
        (last.state, last.monitoring_ended, last.new_commands),
        (State::Active, true, 1)
    );
    assert_eq!(last.sockets[0].inode, 7);
}
