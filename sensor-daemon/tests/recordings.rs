//! Recordings of real takeovers, each with the findings that it has to yield beside it. On a machine of its own, as the sensor
//! is meant to replay: the command itself, without root.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

/// What is reported of a recording under a configuration, and what is said besides.
fn replay(recording: &Path, config: &str) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sensor-daemon"))
        .args(["replay", "--format", "json", "--config"])
        .arg(directory().join(config))
        .arg(recording)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}: {said}", recording.display());
    // Findings of another version are the same findings.
    let findings = String::from_utf8(output.stdout).unwrap();
    (findings.replace(sensor_daemon::model::VERSION, "VERSION"), said)
}

fn recordings() -> Vec<PathBuf> {
    let paths = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    assert!(found.len() >= 2, "only {found:?}");
    found
}

/// If a change of the rule or of the findings is meant, write the new findings with
/// `sensor-daemon replay X.jsonl --format json --config plain.toml >X.findings`.
#[test]
fn they_yield_their_findings() {
    for path in recordings() {
        let (findings, said) = replay(&path, "plain.toml");
        assert!(!said.contains("WARN"), "{}: {said}", path.display());
        let expected = fs::read_to_string(path.with_extension("findings")).unwrap();
        assert!(!expected.is_empty());
        for (at, (is, wanted)) in findings.lines().zip(expected.lines()).enumerate() {
            assert_eq!(is, wanted, "line {} of {}", at + 1, path.display());
        }
        assert!(
            findings == expected,
            "{} yields other lines as well, or fewer",
            path.display()
        );
    }
}

#[test]
fn an_exception_silences_them() {
    for path in recordings() {
        let (findings, said) = replay(&path, "excepted.toml");
        assert_eq!(findings, "", "{}: {said}", path.display());
    }
}

/// How many lines of findings a recording from standard input yields.
fn lines_of(recording: &str) -> usize {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sensor-daemon"))
        .args(["replay", "--format", "json", "--config"])
        .arg(directory().join("plain.toml"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(recording.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().count()
}

/// As if a shell and its command had been excepted when they were recorded: the sensor had no reason to wake up for them.
#[test]
fn deadlines_that_were_none_when_it_was_recorded_are_kept() {
    let text = fs::read_to_string(directory().join("bash-dev-tcp.jsonl")).unwrap();
    let mut recording: String = text.split_inclusive('\n').take(3).collect();
    assert!(recording.ends_with('\n') && recording.matches("{\"observe\":{\"exec\":").count() == 2);
    let year = "{\"finish\":31536000000000000}\n";
    // The shell; its command, a second later; the end.
    assert_eq!(lines_of(&(recording.clone() + year)), 3);
    // A machine that slept through it was not told either.
    recording.push_str("{\"missed\":1}\n");
    assert_eq!(lines_of(&(recording + year)), 2);
}
