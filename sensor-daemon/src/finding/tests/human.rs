use super::{
    exec,
    full::{known, largest},
    host, incident_of, on, report, reverse_shell, socket,
};
use crate::{
    detect::Snapshot,
    finding::{Report, human},
    model::{Direction, Losses, Text},
};

#[test]
fn golden_lines() {
    let socket = socket(Direction::Outbound);
    let incident = incident_of(
        vec![
            exec(4321, &["bash", "-i"], on(&socket, [true; 3])),
            exec(4330, &["id", "-u"], on(&socket, [true; 3])),
            exec(4331, &["grep", "a b", "", "it's"], on(&socket, [true; 3])),
        ],
        false,
    );
    let shown = human(&report(&incident), false);
    let id = &super::super::finding_id(&incident, &host())[..8];
    assert_eq!(
        shown,
        format!(
            "\
11:06:44Z CRITICAL UPDATE reverse shell {id}
  bash (/usr/bin/bash, pid 4321, user id 1000) has its input and output on an
  outbound TCP connection to 203.0.113.7:4444: a reverse shell; 2 commands were
  run through it so far.
  connection  TCP 10.0.0.5:51234 -> 203.0.113.7:4444
  shell       4321 bash -i
  started by  python3 (4300) < systemd (1)
  command     11:06:44Z 4330 id -u
  command     11:06:44Z 4331 grep 'a b' '' 'it'\\''s'

"
        )
    );
}

#[test]
fn states() {
    let first_line = |incident: &Snapshot| -> String { human(&report(incident), false).lines().take(1).collect() };
    let mut incident = reverse_shell();
    assert!(first_line(&incident).contains(" CRITICAL NEW "));
    incident.monitoring_ended = true;
    assert!(first_line(&incident).contains(" LEFT OPEN "));
    let socket = socket(Direction::Inbound);
    let ended = incident_of(vec![exec(4321, &["bash"], on(&socket, [true; 3]))], true);
    assert!(first_line(&ended).contains(" HIGH ENDED bind shell "));
}

#[test]
fn no_escape_reaches_the_terminal() {
    let hostile = Text::from(&b"\x1b]0;owned\x07\x9b31m\r\n\xff\x7f\xe2\x80\xae"[..]);
    let mut incident = reverse_shell();
    incident.shell.argv = vec![hostile.clone(), Text::from("\u{9b}31m\u{202e}\n")];
    incident.shell.comm = hostile.clone();
    incident.shell.script = Some(hostile.clone());
    incident.shell.program.name = hostile.to_text().into_owned();
    incident.shell.executable.path = Some(hostile.clone());
    for ancestor in &mut incident.shell.ancestors {
        ancestor.comm = hostile.clone();
        ancestor.program.name = String::new();
    }
    let shown = human(&report(&incident), false);
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    assert!(!shown.contains('\u{202e}'));
    // Nor does it get lines of its own.
    assert!(
        shown
            .lines()
            .skip(1)
            .all(|line| line.is_empty() || line.starts_with("  ")),
        "{shown}"
    );
}

#[test]
fn colours_only_when_asked_for() {
    let incident = reverse_shell();
    assert!(human(&report(&incident), true).contains("\x1b[1;97;41mCRITICAL\x1b[0m"));
    assert!(!human(&report(&incident), false).contains('\x1b'));
}

#[test]
fn lines_keep_to_the_width_and_long_lists_to_the_newest() {
    let socket = socket(Direction::Outbound);
    let mut execs = vec![exec(4321, &["bash", "-i"], on(&socket, [true; 3]))];
    execs.extend((0..90).map(|at| exec(5000 + at, &["id", &"x".repeat(300)], on(&socket, [true; 3]))));
    let incident = incident_of(execs, false);
    let losses = Losses {
        ring_full: 3,
        ..Losses::default()
    };
    let shown = human(&Report::new(incident, &host(), losses), false);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(shown.lines().count() < 20, "{shown}");
    assert!(shown.contains("82 earlier ones not shown"), "{shown}");
    assert!(shown.contains(" 5089 id "), "{shown}");
    assert!(shown.contains("lost        3 events"), "{shown}");
}

#[test]
fn a_first_command_of_a_loop_is_shown_once() {
    let mut socket = socket(Direction::Outbound);
    socket.parent_fd = Some(5);
    let incident = incident_of(vec![exec(4321, &["id"], on(&socket, [false, true, true]))], false);
    let shown = human(&report(&incident), false);
    assert!(!shown.contains("not shown"), "{shown}");
    assert_eq!(shown.matches("4321 id").count(), 1, "{shown}");
}

#[test]
fn where_it_is_takes_a_line_each() {
    let shown = human(&known(reverse_shell()), false);
    for line in [
        "  container   containerd web 0123456789ab registry.example/shop/web:1.2\n",
        "  pod         shop web-0\n",
        "  resource    google.compute.Instance vm1 //compute.googleapis.com/projects/dem",
    ] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
    let hostile = human(&largest(b"\x1b[2J"), false);
    assert!(!hostile.contains('\x1b'), "{hostile}");
    assert!(
        hostile
            .lines()
            .all(|line| line.chars().count() <= 80 || line.starts_with("  ")),
        "{hostile}"
    );
}
