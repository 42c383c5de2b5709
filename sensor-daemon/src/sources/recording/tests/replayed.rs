//! What is replayed is judged as it was live.

use super::build::{recorded, replayed};
use crate::{
    detect::{Delivery, Engine, Inspector as _, Settings, Severity},
    model::{BootTime, Exit, Flow, Holder, Observation, ProcessId, Program, Stream},
    sources::recording::{Answer, Question, Reader, RecordedTurn, RecordedWorld, Turn},
};

#[test]
fn a_random_machine_is_judged_the_same_again() {
    for seed in 1..=12 {
        let (recording, lines) = recorded(seed, 400, Severity::Low);
        assert!(lines.len() > 20, "seed {seed} raises {} lines only", lines.len());
        let (again, unanswered) = replayed(&recording, Severity::Low);
        assert_eq!(unanswered, None, "seed {seed}");
        assert!(again == lines, "seed {seed}");
    }
}

#[test]
fn questions_that_were_not_asked_are_noticed() {
    let (recording, _) = recorded(1, 400, Severity::Low);
    let text = String::from_utf8(recording).unwrap();
    let asked = |line: &str| line.starts_with("{\"isAlive\"") || line.starts_with("{\"holdsSocket\"");
    let before: Vec<&str> = text.lines().take_while(|line| !asked(line)).collect();
    let turn = ["{\"observe\"", "{\"tick\""];
    let begins = |line: &&str| turn.iter().any(|start| line.starts_with(start));
    let at = before.iter().rposition(begins).expect("no turn") + 1;
    assert!(before.len() < text.lines().count(), "nothing is asked");

    let without: Vec<&str> = text.lines().filter(|line| !asked(line)).collect();
    let without = without.join("\n");
    let mut reader = Reader::open("test", without.as_bytes()).unwrap();
    let world = RecordedWorld::default();
    let mut engine = Engine::new(Settings {
        min_severity: Severity::Low,
        ..Settings::default()
    });
    while let Some(mut turn) = reader.next_turn().unwrap() {
        world.turn(&mut turn);
        turn.turn.happen(&mut engine, &world);
    }
    assert_eq!(world.unanswered(), Some(at));
}

fn process(pid: u32) -> ProcessId {
    ProcessId::from_start_ticks(pid, 1)
}

fn turn(line: usize, answers: Vec<(Question, Answer)>) -> RecordedTurn {
    RecordedTurn {
        line,
        turn: Turn::Tick(BootTime(0)),
        missed: false,
        losses: None,
        boot_unix_ns: None,
        answers,
    }
}

const FLOW: Flow = Flow {
    remote: None,
    port: 80,
    protocol: 6,
};

#[test]
fn answers_are_found_by_question_then_by_turn_then_by_what_stays_so() {
    let holder = Holder {
        process: process(3),
        parent: 1,
        comm: "nc".into(),
        path: None,
        host_path: false,
        program: Program::default(),
        descriptors: vec![],
    };
    let pipe = Stream::Pipe { inode: 5 };
    let alive = |pid, answer| (Question::IsAlive(process(pid)), Answer::Is(answer));
    let world = RecordedWorld::default();
    world.turn(&mut turn(
        2,
        vec![
            (Question::HoldsSocket(process(1), 7), Answer::Is(false)),
            alive(2, true),
            (Question::Opposite(pipe.clone()), Answer::Holders(vec![holder.clone()])),
            alive(2, false),
            (Question::Delivered(FLOW), Answer::Delivery(Delivery::Command)),
        ],
    ));
    // In another order; one question is not asked at all.
    assert_eq!(world.delivered(FLOW, BootTime(9), &[]), Delivery::Command);
    assert!(world.is_alive(process(2)));
    assert!(!world.is_alive(process(2)), "the same question has its second answer");
    assert!(!world.is_alive(process(2)), "and keeps it");
    assert_eq!(world.opposite(&pipe), [holder]);
    assert_eq!(world.unanswered(), None);

    world.turn(&mut turn(9, vec![alive(4, false)]));
    assert!(!world.is_alive(process(4)));
    assert_eq!(world.unanswered(), None);
    assert!(!world.is_alive(process(2)), "who is gone stays so");
    assert_eq!(world.unanswered(), Some(9));
    assert!(!world.holds_socket(process(4), 1));
    assert!(world.holds_socket(process(1), 7), "nobody was told that it does not");
    assert!(world.is_alive(process(5)) && world.holds_socket(process(5), 7));
    assert_eq!(world.opposite(&pipe), []);
    assert_eq!(world.delivered(FLOW, BootTime(0), &[]), Delivery::Unwatched);

    let exit = Exit {
        time: BootTime(0),
        process: process(5),
        status: 0,
    };
    let mut exited = turn(12, vec![]);
    exited.turn = Turn::Observe(Observation::Exit(exit));
    world.turn(&mut exited);
    world.unrecorded_turn(13);
    assert!(!world.is_alive(process(5)) && !world.holds_socket(process(5), 7));
    assert_eq!(world.unanswered(), Some(9), "the first is what counts");
}
