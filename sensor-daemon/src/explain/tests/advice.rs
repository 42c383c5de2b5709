//! Commands to copy.

use std::process::Command;

use super::{relayed, reverse_shell};
use crate::explain::shell::{id, word};

use crate::explain::{Story, text};

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
    assert_eq!(word(&"a".repeat(71)), None);
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
}

/// Every command as it is shown parses; so does the whole list, with its broken lines.
#[test]
fn a_shell_takes_what_is_shown() {
    for report in [reverse_shell(), relayed()] {
        let shown = text(&Story::new(&report, &[]), false);
        let commands: Vec<&str> = shown.lines().filter(|line| line.starts_with("    ")).collect();
        assert!(commands.len() > 5, "{shown}");
        let start = shown.find("What to do now").unwrap();
        let list: Vec<&str> = shown[start..].lines().filter(|line| line.starts_with("    ")).collect();
        let output = Command::new("sh")
            .args(["-n", "-c", &list.join("\n")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_process_is_touched_only_if_it_is_the_same() {
    let story = Story::new(&reverse_shell(), &[]);
    let lines: Vec<String> = story
        .steps
        .iter()
        .flat_map(|step| &step.commands)
        .map(|line| line.joined())
        .collect();
    let kills: Vec<&String> = lines.iter().filter(|line| line.contains("kill -")).collect();
    assert_eq!(
        kills,
        ["same 4321 4321 && kill -STOP 4321", "same 4321 4321 && kill -KILL 4321"]
    );
    assert!(
        lines
            .iter()
            .any(|line| line == "iptables -I OUTPUT -d 203.0.113.7 -j DROP")
    );

    // The guard itself, on this very process and on a start that is not its own.
    let same = lines.iter().find(|line| line.starts_with("same()")).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let start = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap();
    let pid = std::process::id();
    for (start, taken) in [(start, true), ("1", false)] {
        let script = format!("{same}; same {pid} {start}");
        assert_eq!(
            Command::new("sh").args(["-c", &script]).status().unwrap().success(),
            taken
        );
    }
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
