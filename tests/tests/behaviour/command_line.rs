//! What the command line says.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use sensor_tests::{process::command, sensor::binary, suite::Alone};

/// Runs the sensor to its end.
pub fn sensor(arguments: &[&str]) -> Result<Output> {
    output(command(binary()?).args(arguments))
}

/// Runs `command` to its end, and demands what holds for every end: no panic, no log of the verifier.
pub fn output(command: &mut Command) -> Result<Output> {
    // `output` would leave the null devices in place.
    let output = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    for noise in ["panicked", "processed 0 insns", "R1=ctx", "stack backtrace"] {
        ensure!(!said.contains(noise), "{command:?} says: {said}");
    }
    Ok(output)
}

/// Everything that a run of the sensor printed.
pub fn all(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn help() -> Result<()> {
    let output = sensor(&["--help"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "it ends with {}", output.status);
    for word in ["run", "record", "replay", "doctor", "man", "--help", "--version"] {
        ensure!(text.contains(word), "`{word}` is missing: {text}");
    }
    Ok(())
}

fn help_of_run() -> Result<()> {
    let output = sensor(&["run", "--help"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "it ends with {}", output.status);
    for word in ["--format", "json", "--min-severity", "critical"] {
        ensure!(text.contains(word), "`{word}` is missing: {text}");
    }
    Ok(())
}

fn version() -> Result<()> {
    let output = sensor(&["--version"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "it ends with {}", output.status);
    // The commit may follow.
    let version = concat!("sensor-daemon ", env!("CARGO_PKG_VERSION"));
    ensure!(text.trim().split('+').next() == Some(version), "an odd version: {text}");
    Ok(())
}

fn mistakes() -> Result<()> {
    for (arguments, hint) in [
        (&["run", "--min-severity", "urgent"][..], "medium"),
        (&["run", "--formt", "json"], "--format"),
        (&["watch"], "--help"),
        (&[], "doctor"),
    ] {
        let output = sensor(arguments)?;
        ensure!(
            output.status.code() == Some(2),
            "{arguments:?} ends with {}",
            output.status
        );
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            said.contains(hint) && output.stdout.is_empty(),
            "{arguments:?} does not name {hint}: {said}"
        );
    }
    Ok(())
}

fn doctor() -> Result<()> {
    let output = sensor(&["doctor"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "it ends with {}: {}",
        output.status,
        all(&output)
    );
    for prerequisite in [
        "kernel version",
        "BTF",
        "CAP_BPF",
        "CAP_PERFMON",
        "CAP_SYS_PTRACE",
        "ring buffer",
        "exec_streams",
        "process_exit",
        "socket_state",
    ] {
        let line = text.lines().find(|line| line.contains(prerequisite));
        ensure!(
            line.is_some_and(|line| line.starts_with("ok")),
            "{prerequisite} is not ok: {text}"
        );
    }
    Ok(())
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("command_line::help", help),
        ("command_line::help_of_run", help_of_run),
        ("command_line::version", version),
        ("command_line::mistakes", mistakes),
        ("command_line::doctor", doctor),
    ]
}
