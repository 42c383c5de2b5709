//! What is lost on the way in, and what is too much.

use super::build::{Build, SECOND, Scene, command, one, process, seconds, shell, socket};
use crate::{
    detect::{
        State,
        commands::COMMANDS_MAX,
        incident::PROCESSES_MAX,
        index::{ENDED_KEPT, ENDED_MAX, OPEN_MAX},
        services::SERVICES_MAX,
        snapshot::EndReason,
    },
    model::{BootTime, Direction},
};

#[test]
fn the_first_commands_and_the_newest_are_kept_and_the_rest_is_counted() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7));
    let told = |snapshot: &crate::detect::Snapshot| -> Vec<u32> {
        snapshot.commands.iter().map(|command| command.process.pid).collect()
    };
    for pid in 300..350 {
        scene.exec(command(pid, 7));
    }
    let goes_on = one(scene.tick(seconds(2.0)));
    let expected: Vec<u32> = (300..308).chain(326..350).collect();
    assert_eq!(
        (told(&goes_on), goes_on.first_commands, goes_on.omitted),
        (expected, 8, 18)
    );
    for pid in 300..350 {
        scene.exit(pid, seconds(2.1));
    }
    let ended = one(scene.exit(200, seconds(2.2)));
    assert_eq!((told(&ended), ended.omitted), (told(&goes_on), 18), "in every state");
}

#[test]
fn of_an_ended_incident_few_commands_are_kept() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7));
    for pid in 300..340 {
        scene.exec(command(pid, 7));
        scene.exit(pid, seconds(0.5));
    }
    assert_eq!(
        one(scene.exit(200, seconds(2.0))).commands.len(),
        COMMANDS_MAX,
        "the last snapshot has them"
    );
    let again = one(scene.exec(command(400, 7).at(seconds(60.0))));
    assert_eq!((again.command_count, again.commands.len()), (41, 5));
}

#[test]
fn ended_incidents_are_forgotten_in_time() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7));
    scene.exit(200, seconds(1.0));
    let late = BootTime(SECOND + ENDED_KEPT + 1);
    assert_eq!(one(scene.exec(shell(300, 7).at(late))).update, 1);

    let mut scene = Scene::new();
    for inode in 0..2 * ENDED_MAX as u32 {
        scene.exec(shell(200 + inode, u64::from(inode)));
        scene.exit(200 + inode, seconds(1.0 + f64::from(inode)));
        scene.engine.check();
    }
    assert_eq!(scene.exec(shell(90_000, 0))[0].update, 1, "forgotten");
}

#[test]
fn an_end_that_was_never_reported_is_found() {
    let mut scene = Scene::new();
    scene.world.hold(200, 7);
    scene.exec(shell(200, 7).at(seconds(0.0)));
    assert_eq!(scene.engine.next_deadline(), Some(seconds(30.0)));
    assert!(scene.tick(seconds(30.0)).is_empty(), "it lives");
    scene.world.release(200, 7);
    assert_eq!(scene.engine.next_deadline(), Some(seconds(60.0)));
    let ended = one(scene.tick(seconds(60.0)));
    assert_eq!(
        (ended.state, ended.end_reason),
        (State::Inactive, Some(EndReason::NoHolderFound))
    );
    assert_eq!(scene.engine.next_deadline(), None);
}

#[test]
fn a_look_costs_a_bounded_number_of_questions() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7).at(seconds(0.0)));
    for pid in 1000..1300 {
        scene.exec(command(pid, 7).at(seconds(0.5)));
    }
    // Only the one that is asked last holds it.
    scene.world.hold(1299, 7);
    let mut now = seconds(1.0);
    let mut ticks = 0;
    while *scene.world.asked.borrow() < 301 {
        now = scene.engine.next_deadline().unwrap();
        let before = *scene.world.asked.borrow();
        assert!(scene.tick(now).iter().all(|snapshot| snapshot.state == State::Active));
        assert!(*scene.world.asked.borrow() - before <= 64);
        ticks += 1;
        assert!(ticks < 100);
    }
    assert!(now < seconds(40.0));
    assert_eq!(scene.engine.open_incidents(), 1);
    scene.engine.check();
}

#[test]
fn too_many_incidents_push_out_the_stillest() {
    let mut scene = Scene::new();
    for inode in 0..OPEN_MAX as u32 {
        scene.exec(shell(1000 + inode, u64::from(inode)).at(seconds(f64::from(inode) / 1000.0)));
    }
    // The oldest shows life, so the second oldest is the stillest.
    scene.exec(command(200, 0).at(seconds(10.0)));
    let out = scene.exec(shell(90_000, 90_000).at(seconds(10.0)));
    assert_eq!(out.len(), 2);
    assert_eq!(
        (out[0].sockets[0].inode, out[0].monitoring_ended, out[0].state),
        (1, true, State::Active)
    );
    assert_eq!(out[1].sockets[0].inode, 90_000);
    assert_eq!((scene.engine.open_incidents(), scene.engine.evicted()), (OPEN_MAX, 1));
    scene.engine.check();
    assert!(scene.exit(1001, seconds(11.0)).is_empty(), "nothing is left of it");
}

#[test]
fn too_many_services_push_out_dead_ones_first() {
    let mut accepted = socket(7);
    accepted.direction = Direction::Inbound;
    accepted.parent_fd = Some(5);
    let mut scene = Scene::new();
    let service = |scene: &mut Scene, pid| scene.exec(Build::new(pid, "bash /srv/cgi").on("io", &accepted));
    let is_left_alone = |scene: &mut Scene, pid| {
        let command = Build::new(90_000 + pid, "id").on("oe", &accepted).parent(pid, "bash");
        scene.exec(command).is_empty()
    };
    for pid in 1000..1000 + SERVICES_MAX as u32 {
        service(&mut scene, pid);
    }
    // The end of the second one was not reported.
    scene.world.gone.borrow_mut().insert(process(1001));
    service(&mut scene, 80_000);
    scene.engine.check();
    assert_eq!(scene.engine.evicted(), 0);
    assert!(is_left_alone(&mut scene, 1000) && is_left_alone(&mut scene, 80_000));
    for pid in 80_001..80_011 {
        service(&mut scene, pid);
    }
    scene.engine.check();
    assert_eq!(
        scene.engine.evicted(),
        10 + 2,
        "all of them live, the two commands among them"
    );
}

#[test]
fn too_many_processes_are_not_followed() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7).at(seconds(0.0)));
    for pid in 1000..1000 + 2 * PROCESSES_MAX as u32 {
        scene.exec(command(pid, 7).at(seconds(0.1)));
    }
    scene.engine.check();
    assert_eq!(one(scene.tick(seconds(2.0))).command_count, 2 * PROCESSES_MAX as u64);
}

#[test]
fn long_arguments_of_commands_are_cut_between_characters() {
    let mut scene = Scene::new();
    scene.exec(shell(200, 7));
    let mut build = command(201, 7);
    build.0.argv = vec!["echo".into(), "é".repeat(1000).as_str().into(), "more".into()];
    scene.exec(build);
    let mut build = command(202, 7);
    build.0.argv = vec![crate::model::Text(vec![0x80; 4096])];
    scene.exec(build);
    let commands = one(scene.engine.finish(seconds(1.0))).commands;
    assert_eq!(commands[0].argv.len(), 2);
    assert_eq!(commands[0].argv[1].to_text(), "é".repeat(254));
    assert!(commands[0].argv_truncated && commands[1].argv_truncated);
    assert!(commands[1].argv.iter().map(|argument| argument.0.len()).sum::<usize>() <= 512);
}
