//! What the sensor keeps, and what it gives to several outputs: nothing that was found is lost, and nothing is found twice.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::Signal,
};
use sensor_tests::{
    deadline::wait_for,
    finding::{Finding, has_ended},
    process::command,
    sensor::{Sensor, binary},
    suite::Alone,
    takeover::Takeover,
};
use serde_json::Value;

/// How often the sensor is killed.
const KILLS: usize = 100;

fn start(state: &Path, more: &[&str]) -> Result<Sensor> {
    let state = state.to_str().context("a path in UTF-8")?;
    Sensor::start_with(&[&["--state-directory", state], more].concat())
}

fn ask(state: &Path, arguments: &[&str]) -> Result<Output> {
    let mut ask = command(binary()?);
    ask.args(arguments).arg("--state-directory").arg(state);
    Ok(ask.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?)
}

/// What `findings` lists.
fn kept(state: &Path) -> Result<Vec<Value>> {
    let output = ask(state, &["findings", "--format", "json"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
}

/// What `outputs` says of one of them.
fn outputs(state: &Path, name: &str) -> Result<Value> {
    let output = ask(state, &["outputs", "--format", "json"])?;
    let lines: Vec<Value> = String::from_utf8(output.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let all_well = lines.iter().all(|line| line["state"] == "ok");
    ensure!(output.status.success() == all_well, "{:?} for {lines:?}", output.status);
    let one = lines.into_iter().find(|line| line["output"] == name);
    one.with_context(|| format!("nothing is said of {name}"))
}

fn id(finding: &Value) -> &str {
    let name = finding["finding"]["name"].as_str().unwrap_or_default();
    name.rsplit('/').next().unwrap_or_default()
}

/// The peer's port.
fn port(finding: &Value) -> Option<u16> {
    let port = finding["finding"]["connections"][0]["destinationPort"].as_u64();
    port.and_then(|port| port.try_into().ok())
}

/// The sensor is killed in the middle of a takeover, again and again: it is one finding all the same, and what others there
/// were is there.
fn killed_and_started_again() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let state = directory.path().join("state");
    let long = Takeover::start()?;
    let mut ids = Vec::new();
    let mut found = Vec::new();
    let mut ports = vec![long.ends().peer.port()];
    for _ in 0..KILLS {
        let sensor = start(&state, &[])?;
        let ends = long.ends();
        // The first sensor finds it running as well.
        let of_long = wait_for("the finding of the long takeover", || {
            let is_long = |finding: &Value| port(finding) == Some(ends.peer.port());
            let found = kept(&state)?.into_iter();
            Ok(found.filter(is_long).find(|finding| !has_ended(finding)))
        })?;
        ids.push(id(&of_long).to_owned());
        let short = Takeover::start()?;
        let ends = short.ends();
        let finding: Finding = sensor.wait_line("a finding", 0, |finding| finding.has(ends))?;
        found.push(finding.id().to_owned());
        ports.push(ends.peer.port());
        sensor.signal(Signal::KILL)?;
        sensor.wait()?;
        short.end()?;
    }
    ids.dedup();
    ensure!(ids.len() == 1, "one takeover has several findings: {ids:?}");
    long.end()?;
    // What ended while nobody watched.
    let sensor = start(&state, &[])?;
    wait_for("the end of every finding", || {
        Ok(kept(&state)?.iter().all(has_ended).then_some(()))
    })?;
    // Whoever else is taken over on this machine meanwhile is found as well.
    let ours = kept(&state)?
        .into_iter()
        .filter(|finding| port(finding).is_some_and(|port| ports.contains(&port)));
    let all: Vec<String> = ours.map(|finding| id(&finding).to_owned()).collect();
    for one in ids.iter().chain(&found) {
        let times = all.iter().filter(|id| *id == one).count();
        ensure!(times == 1, "{one} is there {times} times");
    }
    ensure!(
        all.len() == 1 + KILLS,
        "{} findings instead of {}",
        all.len(),
        1 + KILLS
    );
    sensor.stop()
}

/// On a full disk detection goes on, the sensor says so once, and the file has everything in the end.
fn a_full_disk() -> Result<()> {
    let disk = tempfile::tempdir()?;
    mount("tmpfs", disk.path(), "tmpfs", MountFlags::empty(), Some(c"size=4m"))?;
    let result = on_a_full_disk(disk.path());
    unmount(disk.path(), UnmountFlags::DETACH)?;
    result
}

fn on_a_full_disk(disk: &Path) -> Result<()> {
    let state = disk.join("state");
    let sensor = start(&state, &[])?;
    let before = Takeover::start()?;
    let first: Finding = sensor.wait_line("a finding", 0, |finding| finding.has(before.ends()))?;
    let filler = disk.join("filler");
    let mut file = fs::File::create(&filler)?;
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let meanwhile = Takeover::start()?;
    let second: Finding = sensor.wait_line("a finding", 0, |finding| finding.has(meanwhile.ends()))?;
    meanwhile.end()?;
    let is_end = |line: &Finding| line.id() == second.id() && line.has_ended();
    sensor.wait_line("its end", 0, is_end)?;
    let said = sensor.diagnostics();
    let warnings = said
        .iter()
        .filter(|line| line.contains("memory keeps findings"))
        .count();
    ensure!(warnings == 1, "{said:?}");
    ensure!(
        kept(&state)?.iter().any(|finding| id(finding) == first.id()),
        "what was there is not"
    );
    fs::remove_file(&filler)?;
    sensor.stop()?;
    before.end()?;
    let kept = kept(&state)?;
    for finding in [first, second] {
        ensure!(
            kept.iter().any(|kept| id(kept) == finding.id()),
            "{} is not there",
            finding.id()
        );
    }
    Ok(())
}

/// An output that can't be written to holds up nobody, and gets everything when it can.
fn an_output_that_fails_catches_up() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let logs = directory.path().join("logs");
    let file = logs.join("findings.json");
    let sensor = start(
        &directory.path().join("state"),
        &["--output", "stdout", "--output", &format!("file={}", file.display())],
    )?;
    let takeover = Takeover::start()?;
    let ends = takeover.ends();
    let finding = sensor.wait_line("a finding", 0, |finding| finding.has(ends))?;
    takeover.end()?;
    sensor.wait_line("its end", 0, |line| line.id() == finding.id() && line.has_ended())?;
    wait_for("a warning about the file", || {
        let said = sensor.diagnostics();
        Ok(said
            .iter()
            .any(|line| line.contains("does not take findings"))
            .then_some(()))
    })?;
    let name = format!("file={}", file.display());
    let of_file = outputs(&directory.path().join("state"), &name)?;
    ensure!(
        of_file["state"] == "failing" && of_file["waiting"].as_u64() > Some(0) && of_file["reason"].is_string(),
        "{of_file}"
    );
    fs::create_dir(&logs)?;
    let ended = |path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .any(|line| line.contains(finding.id()) && line.contains("\"endTime\""))
    };
    wait_for("what the file had missed", || Ok(ended(&file).then_some(())))?;
    wait_for("the file's good state", || {
        let of_file = outputs(&directory.path().join("state"), &name)?;
        Ok((of_file["state"] == "ok" && of_file["waiting"] == 0).then_some(()))
    })?;
    // As logrotate does it.
    let rotated = logs.join("findings.json.1");
    fs::rename(&file, &rotated)?;
    sensor.signal(Signal::HUP)?;
    let before = fs::read(&rotated)?;
    let second = Takeover::start()?;
    let ends = second.ends();
    let later = sensor.wait_line("another finding", 0, |finding| finding.has(ends))?;
    second.end()?;
    wait_for("it in a new file", || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        Ok(text.contains(later.id()).then_some(()))
    })?;
    ensure!(fs::read(&rotated)? == before, "the old file is written to");
    sensor.stop()
}

/// What logging agents of Google's cloud take out of a line.
fn lines_for_cloud_logging() -> Result<()> {
    let sensor = Sensor::start_with(&["--cloud-logging"])?;
    let takeover = Takeover::start()?;
    let ends = takeover.ends();
    let finding = sensor.wait_line("a finding", 0, |finding| finding.has(ends))?;
    takeover.end()?;
    let raw = sensor.lines(0, |lines| {
        let line = lines
            .iter()
            .find(|line| line.finding.as_ref().is_ok_and(|found| found.id() == finding.id()));
        line.map(|line| line.raw.clone())
    });
    let line: Value = serde_json::from_slice(&raw.context("the line")?)?;
    ensure!(line["severity"] == "CRITICAL", "{line}");
    ensure!(line["message"] == line["finding"]["description"], "{line}");
    ensure!(line["time"] == line["finding"]["eventTime"], "{line}");
    ensure!(
        line["logging.googleapis.com/labels"]["finding_id"] == finding.id(),
        "{line}"
    );
    ensure!(line["logging.googleapis.com/insertId"].is_string(), "{line}");
    sensor.stop()
}

/// `findings` and `explain` read while the sensor writes, and say in one line what is wrong.
fn read_while_it_runs() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let state = directory.path().join("state");
    let nothing = ask(&state, &["findings"])?;
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    ensure!(!nothing.status.success() && said.lines().count() == 1, "{said}");
    let sensor = start(&state, &[])?;
    let takeover = Takeover::start_named("\u{1b}[2Jsh")?;
    let ends = takeover.ends();
    let finding = sensor.wait_line("a finding", 0, |finding| finding.has(ends))?;
    let table = ask(
        &state,
        &["findings", "--state", "open", "--since", "1h", "--peer", "127.0.0.0/8"],
    )?;
    let table = String::from_utf8(table.stdout)?;
    ensure!(table.contains(&finding.id()[..8]), "{table}");
    ensure!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    for form in ["text", "html", "svg", "json"] {
        let told = ask(&state, &["explain", &finding.id()[..8], "--format", form])?;
        let text = String::from_utf8(told.stdout)?;
        ensure!(told.status.success() && text.contains(finding.id()), "{form}: {text}");
        ensure!(!text.contains('\u{1b}'), "an escape in {form}");
    }
    let unknown = ask(&state, &["explain", "zz"])?;
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    ensure!(!unknown.status.success() && said.lines().count() == 1, "{said}");
    takeover.end()?;
    sensor.stop()
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("store::killed_and_started_again", killed_and_started_again),
        (
            "store::an_output_that_fails_catches_up",
            an_output_that_fails_catches_up,
        ),
        ("store::a_full_disk", a_full_disk),
        ("store::lines_for_cloud_logging", lines_for_cloud_logging),
        ("store::read_while_it_runs", read_while_it_runs),
    ]
}
