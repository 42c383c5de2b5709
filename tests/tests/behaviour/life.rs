//! Start and end of a running sensor.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use sensor_tests::{sensor::Sensor, suite::Alone, takeover::Takeover};

/// A signal ends it in order: the takeover that goes on gets a last line with all that was seen.
fn ends_on(signal: Signal) -> Result<()> {
    let sensor = Sensor::start()?;
    let mut takeover = Takeover::start()?;
    let ends = takeover.ends();
    let first = sensor.wait_line("a finding", 0, |finding| finding.has(ends))?;
    takeover.peer().id()?;
    takeover.peer().id()?;
    // The commands have been judged, but an update of the finding is not due yet, or just was.
    sensor.fence()?;
    sensor.signal(signal)?;
    let status = sensor.wait()?;
    ensure!(status.success(), "it ends with {status}: {:?}", sensor.diagnostics());
    let last = sensor.lines(0, |lines| {
        let mut findings = lines.iter().filter_map(|line| line.finding.as_ref().ok());
        findings.rfind(|finding| finding.id() == first.id()).cloned()
    });
    let last = last.context("no line")?;
    ensure!(
        last.number("commandCount")? == 2,
        "the last line does not have both commands: {last}"
    );
    let ended = last.property("monitoringEnded");
    ensure!(
        !last.has_ended() && ended == Some(&true.into()),
        "the last line does not say how it stands: {last}"
    );
    takeover.end()
}

fn terminated() -> Result<()> {
    ends_on(Signal::TERM)
}

fn interrupted() -> Result<()> {
    ends_on(Signal::INT)
}

/// What it does to test itself is not reported.
fn says_nothing_by_itself() -> Result<()> {
    let sensor = Sensor::start()?;
    sensor.fence()?;
    let ids = sensor.new_ids(0)?;
    sensor.stop()?;
    ensure!(ids.is_empty(), "findings without a cause: {ids:?}");
    Ok(())
}

/// A takeover that goes on while the sensor is started again is the same finding as soon as it is seen again.
fn restart_keeps_the_identity() -> Result<()> {
    let sensor = Sensor::start()?;
    let takeover = Takeover::start()?;
    let ends = takeover.ends();
    let before = sensor.wait_line("a finding", 0, |finding| finding.has(ends))?;
    sensor.stop()?;
    let sensor = Sensor::start()?;
    let after = sensor.wait_line("a finding after the restart", 0, |finding| finding.has(ends))?;
    ensure!(before.id() == after.id(), "{before} became {after}");
    takeover.end()?;
    sensor.wait_line("its end", 0, |finding| {
        finding.id() == after.id() && finding.has_ended()
    })?;
    sensor.stop()
}

/// A connection that is older than the sensor: who opened it may be unknown, what it is used for is not.
fn connection_older_than_the_sensor() -> Result<()> {
    let mut takeover = Takeover::start()?;
    let ends = takeover.ends();
    let sensor = Sensor::start()?;
    takeover.peer().last_line("exec bash --norc")?;
    takeover.peer().id()?;
    let finding = sensor.wait_line("a finding", 0, |finding| finding.has(ends))?;
    ensure!(
        matches!(finding.text("severity"), "HIGH" | "CRITICAL"),
        "severity is too low: {finding}"
    );
    takeover.end()?;
    sensor.wait_line("its end", 0, |line| line.id() == finding.id() && line.has_ended())?;
    sensor.stop()
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("life::sigterm_writes_the_last_states", terminated),
        ("life::sigint_writes_the_last_states", interrupted),
        ("life::says_nothing_by_itself", says_nothing_by_itself),
        (
            "life::connection_older_than_the_sensor",
            connection_older_than_the_sensor,
        ),
        ("life::restart_keeps_the_identity", restart_keeps_the_identity),
    ]
}
