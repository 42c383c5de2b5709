//! `explain` on a terminal of 80 columns, and where there is none: the command itself, on a record of real takeovers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::{fs, path::Path, process::Command};

use common::{hostile, reports};
use sensor_daemon::store::{Place, Retention, Store};

const COLUMNS: usize = 80;

/// What the command writes to a terminal, line ends as they are.
fn on_terminal(state: &Path, id: &str, no_colour: &str) -> String {
    assert!(
        fs::exists("/usr/bin/script").unwrap(),
        "script is not installed: run cargo xtask setup --tests"
    );
    let command = format!(
        "stty cols {COLUMNS} rows 50; exec {} explain --state-directory {} {id}",
        env!("CARGO_BIN_EXE_sensor-daemon"),
        state.display()
    );
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("NO_COLOR", no_colour)
        .env("SHELL", "/bin/sh")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

/// Without the escapes that paint; any other stays.
fn unpainted(text: &str) -> String {
    let mut plain = text.to_owned();
    while let Some(start) = plain.find("\u{1b}[") {
        let sequence = &plain[start + 2..];
        let end = sequence.find(|c: char| c != ';' && !c.is_ascii_digit()).unwrap();
        assert_eq!(&sequence[end..=end], "m", "{text:?}");
        plain.replace_range(start..start + 2 + end + 1, "");
    }
    plain
}

#[test]
fn colours_are_for_terminals_only_and_nothing_is_wider() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention {
        max_age: None,
        ..Retention::default()
    };
    let place = Place::Directory(directory.path().to_owned());
    let store = Store::start(&place, retention, &[]).unwrap();
    let mut told = reports();
    told.push(hostile());
    told.iter().cloned().for_each(|report| store.put(report));
    store.join();
    for report in told {
        let coloured = on_terminal(directory.path(), &report.id, "");
        assert!(coloured.contains("\u{1b}["), "no colour: {coloured}");
        let plain = on_terminal(directory.path(), &report.id, "1");
        let unpainted = unpainted(&coloured);
        let (words, rest) = unpainted.split_once('\n').unwrap();
        let (wanted, same) = plain.split_once('\n').unwrap();
        assert!(words.split_whitespace().eq(wanted.split_whitespace()), "{words}");
        assert_eq!(rest, same);
        let piped = Command::new(env!("CARGO_BIN_EXE_sensor-daemon"))
            .args(["explain", &report.id, "--state-directory"])
            .arg(directory.path())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(piped.stdout).unwrap(), plain);
        for line in plain.lines() {
            // Of what these reports hold, every character takes one column.
            assert!(line.chars().count() <= COLUMNS, "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        assert!(plain.lines().count() <= 50, "{plain}");
    }
}
