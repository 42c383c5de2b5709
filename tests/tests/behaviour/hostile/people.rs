//! Has the hostile finding shown to people: the table, the story on a terminal, as a page and as a picture.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use sensor_tests::{
    hostile::{Hostile, MARKUP, harmless},
    process::command,
    sensor::{Sensor, binary},
    tools,
};
use serde_json::Value;

/// Has a program say something, on a terminal or not.
fn said(mut program: Command) -> Result<Vec<u8>> {
    let Output { status, stdout, stderr } = program.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    ensure!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    Ok(stdout)
}

pub fn shown() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let state = dir.path().join("state");
    let state = state.to_str().context("an odd path")?;
    let sensor = Sensor::start_with(&["--state-directory", state, "--with-environment"])?;
    let hostile = Hostile::start()?;
    let ends = hostile.takeover.ends();
    let finding = sensor.wait_line("a finding with a command and its surroundings", 0, |line| {
        line.has(ends) && line.property("posture").is_some() && line.number("commandCount").is_ok_and(|count| count > 0)
    })?;
    let id = finding.id();
    let program = binary()?;
    let program = program.to_str().context("an odd path")?;
    for told in [
        vec!["findings", "--limit", "1000"],
        vec!["findings", "--format", "human"],
        vec!["explain", id],
    ] {
        let plain = || {
            let mut plain = command(program);
            plain.args(&told).args(["--state-directory", state]);
            plain
        };
        let text = said(plain())?;
        harmless(&text, false).with_context(|| format!("{told:?}"))?;
        let text = String::from_utf8(text)?;
        ensure!(
            text.contains(&id[..8]) && text.contains("\\u{1b}[2J"),
            "{told:?}: {text}"
        );
        let mut terminal = command(tools::find("script")?);
        terminal
            .args([
                "-qec",
                &format!("exec {program} {} --state-directory {state}", told.join(" ")),
                "/dev/null",
            ])
            .env("TERM", "xterm");
        let text = said(terminal)?;
        harmless(&text, true).with_context(|| format!("{told:?} on a terminal"))?;
        ensure!(text.contains(&b'\x1b'), "{told:?} has no colour on a terminal");
    }
    let table = String::from_utf8(said({
        let mut table = command(program);
        table.args(["findings", "--state-directory", state]);
        table
    })?)?;
    let rows = table.lines().filter(|row| row.starts_with(&id[..8])).count();
    ensure!(rows == 1, "{rows} rows: {table}");
    for form in ["html", "svg", "json"] {
        let mut explain = command(program);
        explain.args(["explain", id, "--format", form, "--state-directory", state]);
        let text = said(explain)?;
        harmless(&text, false).with_context(|| form.to_owned())?;
        fs::write(dir.path().join(form), text)?;
    }
    let story: Value = serde_json::from_slice(&fs::read(dir.path().join("json"))?)?;
    ensure!(story["id"] == id, "another story: {story:#}");
    let mut pages = Command::new(std::env::var_os("SENSOR_TEST_PYTHON").context("no SENSOR_TEST_PYTHON")?);
    pages.args(["-c", include_str!("../../../programs/pages.py")]);
    pages
        .arg(dir.path().join("html"))
        .arg(dir.path().join("svg"))
        .arg(MARKUP);
    said(pages)?;
    hostile.takeover.end()?;
    sensor.stop()
}
