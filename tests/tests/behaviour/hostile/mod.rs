//! A takeover that would harm whoever shows it, through every output and format at once, and to those who read them.

mod journal;
mod layout;
mod people;
mod shell;
mod syslog;

use std::{fs, os::unix::ffi::OsStrExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use sensor_tests::{
    collector::{Collector, Transport},
    deadline::wait_for,
    hostile::{Hostile, acts_unseen, harmless},
    journal::Journal,
    peer::Ends,
    sensor::{Sensor, binary},
    suite::{Alone, Format},
};
use serde_json::Value;

use layout::{Layout, layout, state};
use shell::Shell;

/// The fields of an entry after `FINDING_`, all but the JSON, and in lower case the members of a syslog message.
const FIELDS: [&str; 35] = [
    "ID",
    "CATEGORY",
    "SEVERITY",
    "STATE",
    "UPDATE",
    "START",
    "END",
    "END_REASON",
    "CLOSE_REASON",
    "TECHNIQUE",
    "LINK",
    "DIRECTION",
    "REMOTE_ADDRESS",
    "REMOTE_PORT",
    "LOCAL_ADDRESS",
    "LOCAL_PORT",
    "TRANSPORT",
    "BINARY",
    "SCRIPT",
    "ARGS",
    "PID",
    "PARENT_PID",
    "UID",
    "USER",
    "SHA256",
    "COMMAND_COUNT",
    "LAST_COMMAND",
    "CONTAINER_ID",
    "CONTAINER_NAME",
    "CONTAINER_IMAGE",
    "POD_NAMESPACE",
    "POD_NAME",
    "RESOURCE",
    "HOSTNAME",
    "VERSION",
];

/// What the sensor wrote to standard output, every line of it JSON.
fn printed(sensor: &Sensor) -> Result<Vec<(Vec<u8>, Value)>> {
    let raw: Vec<Vec<u8>> = sensor.lines(0, |lines| lines.iter().map(|line| line.raw.clone()).collect());
    parsed(raw)
}

fn parsed(lines: Vec<Vec<u8>>) -> Result<Vec<(Vec<u8>, Value)>> {
    let value = |raw: Vec<u8>| {
        let value: Value = serde_json::from_slice(&raw).with_context(|| String::from_utf8_lossy(&raw).into_owned())?;
        ensure!(raw.len() <= 47 * 1024, "a line of {} bytes", raw.len());
        let acts = std::str::from_utf8(&raw)?.find(acts_unseen);
        ensure!(acts.is_none(), "something at {acts:?} acts on a terminal: {value:#}");
        Ok((raw, value))
    };
    lines.into_iter().map(value).collect()
}

fn is_about(line: &Value, format: Format, ends: Ends) -> bool {
    line.pointer(layout(format).port).and_then(Value::as_u64) == Some(ends.peer.port().into())
}

/// The whole way: all outputs at once, one takeover from its beginning to its end, and each output read back.
fn everywhere(format: Format, cloud_logging: bool, transport: fn(&Path) -> Transport) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let journal = Journal::start()?;
    let collector = Collector::start(transport(dir.path()))?;
    let file = dir.path().join("findings");
    let mut run = journal.beside(binary()?)?;
    run.args([
        "run",
        "--with-environment",
        "--format",
        format.name(),
        "--state-directory",
    ])
    .arg(dir.path().join("state"))
    .args([
        "--output",
        "stdout",
        "--output",
        "journald",
        "--output",
        &collector.output,
    ])
    .args(["--output", &format!("file={}", file.display())])
    .args(cloud_logging.then_some("--cloud-logging"));
    let sensor = Sensor::start_unread(run)?;
    sensor.read()?;
    let hostile = Hostile::start()?;
    let ends = hostile.takeover.ends();
    let Layout { over, environment, .. } = layout(format);
    let first = wait_for("a finding with its environment", || {
        let lines = printed(&sensor)?.into_iter();
        let mut about = lines.filter(|(_, line)| is_about(line, format, ends) && line.pointer(environment).is_some());
        Ok(about.next())
    })?;
    let (id, _) = state(format, &first.1);
    let shell = Shell {
        whole: &hostile.arguments,
        long: &hostile.long,
        path: hostile.path.as_os_str().as_bytes(),
        directory: hostile.directory.as_os_str().as_bytes(),
        variable: hostile.variable,
    };
    let ours = |lines: Vec<(Vec<u8>, Value)>| -> Vec<(Vec<u8>, Value)> {
        let ours = lines.into_iter().filter(|(_, line)| state(format, line).0 == id);
        ours.collect()
    };
    hostile.takeover.end()?;
    wait_for("the end of the finding", || {
        Ok(ours(printed(&sensor)?).iter().any(|(_, line)| over(line)).then_some(()))
    })?;
    sensor.stop()?;
    for line in sensor.diagnostics() {
        harmless(line.as_bytes(), false)?;
    }

    let all = printed(&sensor)?;
    let lines = ours(all.clone());
    let count = lines.len() as u64;
    let states: Vec<u64> = lines.iter().map(|(_, line)| state(format, line).1).collect();
    ensure!(states == (1..=count).collect::<Vec<_>>(), "the states are {states:?}");
    let last = &lines.last().context("no line")?.1;
    ensure!(over(last), "the last state is not the end: {last:#}");
    shell.check(format, last)?;

    let text = fs::read(&file)?;
    let text = text.strip_suffix(b"\n").context("a torn line in the file")?;
    let in_file = parsed(text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect())?;
    let officially = dir.path().join("lines");
    fs::write(&officially, text)?;
    format.parse_officially(&officially, in_file.len())?;
    if cloud_logging {
        for (_, line) in &lines {
            let labels = &line["logging.googleapis.com/labels"];
            ensure!(labels["finding_id"] == id.as_str(), "{line:#}");
            ensure!(
                line["severity"] == "CRITICAL" || over(line) && line["severity"] == "NOTICE",
                "{line:#}"
            );
        }
        // What is left without Google's additions is the finding, and nothing else.
        let mut bare: Vec<Value> = lines.iter().map(|(_, line)| line.clone()).collect();
        for line in &mut bare {
            let members = line.as_object_mut().context("no object")?;
            members.retain(|name, _| {
                !name.starts_with("logging.") && !["severity", "message", "time"].contains(&name.as_str())
            });
        }
        let in_file: Vec<Value> = ours(in_file).into_iter().map(|(_, line)| line).collect();
        ensure!(bare == in_file, "{bare:#?} is not {in_file:#?}");
    } else {
        ensure!(ours(in_file) == lines, "the file has other lines than standard output");
    }

    journal::check(&journal, &id, count, &shell)?;
    syslog::check(&collector, &id, count)
}

fn security_command_center() -> Result<()> {
    everywhere(Format::Scc, false, |dir| Transport::Unix(dir.join("log")))
}

fn ocsf() -> Result<()> {
    everywhere(Format::Ocsf, false, |_| Transport::Udp)
}

fn ecs() -> Result<()> {
    everywhere(Format::Ecs, false, |_| Transport::Tcp)
}

fn cloud_logging() -> Result<()> {
    everywhere(Format::Scc, true, |_| Transport::Tcp)
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("hostile::security_command_center", security_command_center),
        ("hostile::ocsf", ocsf),
        ("hostile::ecs", ecs),
        ("hostile::cloud_logging", cloud_logging),
        ("hostile::shown_to_people", people::shown),
    ]
}
