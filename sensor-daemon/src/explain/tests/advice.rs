//! Commands to copy.

use std::process::Command;

use super::{SECOND, full, process, relayed, reverse_shell, socket};
use crate::{
    detect::{Link, State},
    explain::{
        Story,
        shell::{container, id, word},
        text,
    },
    finding::Report,
    model::{BootTime, Hop, ProcessId},
};

#[test]
fn values_are_harmless_or_left_out() {
    for (value, expected) in [
        ("web.service", Some("web.service")),
        ("a\\x2db.service", Some("'a\\x2db.service'")),
        ("it's", Some("'it'\\''s'")),
        ("$(reboot)", Some("'$(reboot)'")),
        ("-rf", None),
        ("", None),
        ("a b", None),
        ("a\nb", None),
        ("caf\u{e9}", None),
        ("\u{202e}x", None),
    ] {
        assert_eq!(word(value).as_deref(), expected, "{value:?}");
    }
    assert_eq!(word(&"a".repeat(67)), None);
    assert_eq!(word(&"'".repeat(60)), None);
    for (value, fits) in [
        ("0a-1", true),
        ("-a", false),
        ("a/b", false),
        ("", false),
        ("a;b", false),
    ] {
        assert_eq!(id(value).is_some(), fits, "{value:?}");
    }
    assert_eq!(container(&"0a".repeat(32)), Some("0a0a0a0a0a0a"));
    assert_eq!(container("web-1"), Some("web-1"));
}

/// What is shown under the heading, as it would be copied.
fn copied(report: &Report) -> String {
    let shown = text(&Story::new(report, &[]), false);
    let (_, list) = shown.split_once("\nWhat to do now").unwrap();
    list.split_once('\n').unwrap().1.to_owned()
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-euc", script]).output().unwrap();
    assert!(output.status.success(), "{script}\n{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The whole list parses as it is shown, with its comments and its broken lines.
#[test]
fn a_shell_takes_what_is_shown() {
    for report in [reverse_shell(), relayed(), full(), everything_wide()] {
        let list = copied(&report);
        assert!(list.lines().count() > 5, "{list}");
        assert!(!list.contains('…'), "a command is cut:\n{list}");
        sh(&format!("set -n\n{list}"));
    }
}

/// Six long process ids, IPv6 peers, long names.
fn everything_wide() -> Report {
    let mut report = full();
    let incident = &mut report.incident;
    incident.relays = (0..8)
        .map(|at| Hop {
            process: process(4_194_000 + at),
            ..incident.relays[0].clone()
        })
        .collect();
    let peer = |at| socket(&format!("[2001:db8:1111:2222:3333:4444:5555:{at}]:65535"), at);
    incident.sockets = (6001..6005).map(peer).collect();
    let pod = report.context.pod.as_mut().unwrap();
    (pod.namespace, pod.name) = (Some("n".repeat(63)), Some("p".repeat(63)));
    report
}

#[test]
fn a_process_is_touched_only_if_it_is_the_same() {
    let list = copied(&reverse_shell());
    for line in [
        "on 'kill -STOP $p' ",
        "on 'kill -KILL $p' ",
        "iptables -I OUTPUT -d 203.0.113.7 -j DROP",
        "ss -Kt dst 203.0.113.7:4444",
    ] {
        assert!(list.contains(&format!("\n  {line}")), "no {line}:\n{list}");
    }
    // The guard itself, on this very process and on others that have, or once had, its number.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let start: u64 = stat
        .rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(19)
        .unwrap()
        .parse()
        .unwrap();
    let pid = std::process::id();
    for (start, told) in [(start, format!("{pid}\n")), (start + 1, String::new())] {
        let mut report = reverse_shell();
        report.incident.shell.process = ProcessId {
            pid,
            start: BootTime(start * SECOND / 100),
        };
        let list = copied(&report);
        let (_, rest) = list.split_once("on() {").unwrap();
        let (body, _) = rest.split_once("done; }").unwrap();
        let script = format!("set +e\non() {{{body}done; }}\non 'echo \\\n  $p' 2>&1\nexit 0");
        assert_eq!(sh(&script), told);
    }
}

/// The command that keeps the page reads the record that this story was read from.
#[test]
fn a_record_elsewhere_is_named() {
    for (directory, expected) in [
        (
            "/tmp/it's",
            Some("sensor-daemon explain --state-directory '/tmp/it'\\''s' f3aafca5de2d --format html > finding.html"),
        ),
        ("/tmp/a b", None),
    ] {
        let story = Story::new(&full(), &[]).kept_in(directory.as_ref());
        let commands = story.steps.iter().flat_map(|step| &step.commands);
        let reads: Vec<String> = commands
            .map(|line| line.joined())
            .filter(|line| line.contains("sensor-daemon"))
            .collect();
        assert_eq!(reads.first().map(String::as_str), expected);
        sh(&format!(
            "set -n\n{}",
            text(&story, false).split_once("in this order:\n").unwrap().1
        ));
    }
}

/// What `ss` sees and what `iptables` meets differ inside a network namespace.
#[test]
fn a_connection_is_cut_where_it_is() {
    let list = copied(&full());
    assert!(
        list.contains("\n  on 'nsenter -t $p -n ss -Kt dst 203.0.113.7:4444'"),
        "{list}"
    );
    assert!(list.contains("for c in INPUT FORWARD; do iptables -I $c -s 203.0.113.7 -j DROP; done"));
    let list = copied(&everything_wide());
    assert!(
        list.contains("\"[2001:db8:1111:2222:3333:4444:5555:6001]:65535\"'"),
        "{list}"
    );
    assert!(list.contains("ip6tables"), "{list}");
    let mut report = full();
    report.context.posture.as_mut().unwrap().host_namespaces = vec!["net".into()];
    let list = copied(&report);
    assert!(list.contains("\n  ss -Kt dst 203.0.113.7:4444"), "{list}");
    assert!(!list.contains("FORWARD"), "{list}");
}

#[test]
fn nothing_is_killed_that_has_ended() {
    let story = Story::new(&relayed(), &[]);
    assert!(
        !story
            .steps
            .iter()
            .flat_map(|step| &step.commands)
            .any(|line| line.joined().contains("kill "))
    );
    let logs: Vec<String> = story
        .logs
        .iter()
        .flat_map(|step| &step.commands)
        .map(|line| line.joined())
        .collect();
    assert!(
        logs[0].starts_with("crictl logs --timestamps --since=2026-"),
        "{logs:?}"
    );
    assert_eq!(logs[1], "ls -l /var/log/pods/*_1b2c3d4e-0000-4111-8222-933334444555/*/");
}

/// An editor or a web server that holds a connection and a shell may be at its ordinary work: the first step is to look at it, and
/// who runs the whole list changes nothing.
#[test]
fn what_may_be_innocent_is_looked_at_first_and_not_stopped() {
    let mut report = everything_wide();
    report.incident.link = Link::Held;
    for state in [State::Active, State::Inactive] {
        report.incident.state = state;
        let story = Story::new(&report, &[]);
        assert!(story.steps[0].what.contains("innocent"), "{:?}", story.steps[0]);
        let (_, list) = text(&story, false)
            .split_once("in this order:\n")
            .map(|(head, list)| (head.to_owned(), list.to_owned()))
            .unwrap();
        sh(&format!("set -n\n{list}"));
        let run: Vec<&str> = list
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .collect();
        for word in ["kill", "tables", "quarantine", "ss -K"] {
            assert!(!run.iter().any(|line| line.contains(word)), "{word}:\n{list}");
        }
        assert_eq!(list.contains("# on 'kill -KILL $p'"), state == State::Active, "{list}");
    }
}
