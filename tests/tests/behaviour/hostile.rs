//! A takeover that would harm whoever shows it, through every output and format at once, and to those who read them.

use std::{
    collections::HashSet,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use sensor_tests::{
    collector::{Collector, Message, Transport},
    deadline::wait_for,
    hostile::{Hostile, MARKUP, bytes_of, harmless, words_of},
    journal::{Entry, Journal},
    peer::Ends,
    process::command,
    sensor::{Sensor, binary},
    suite::{Alone, Format},
    tools,
};
use serde_json::Value;

/// `MESSAGE_ID` of every finding.
const MESSAGE_ID: &str = "6b9c4d0f8a3e4c5bb2d7e19f50c8a7d4";
/// The fields of an entry after `FINDING_`, all but the JSON, and in lower case the parameters of a syslog message.
const FIELDS: [&str; 27] = [
    "ID",
    "CATEGORY",
    "SEVERITY",
    "STATE",
    "UPDATE",
    "TECHNIQUE",
    "LINK",
    "REMOTE_ADDRESS",
    "REMOTE_PORT",
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
];
/// A cut text ends with it.
const CUT: char = '…';

/// Where things are in a line.
#[derive(Clone, Copy)]
struct Layout {
    port: &'static str,
    over: fn(&Value) -> bool,
    environment: &'static str,
}

fn layout(format: Format) -> Layout {
    match format {
        Format::Scc => Layout {
            port: "/finding/connections/0/destinationPort",
            over: |line| line["finding"]["state"] == "INACTIVE",
            environment: "/finding/processes/0/envVariables",
        },
        Format::Ocsf => Layout {
            port: "/evidences/0/dst_endpoint/port",
            over: |line| line["activity_id"] == 3,
            environment: "/evidences/0/process/environment_variables",
        },
        Format::Ecs => Layout {
            port: "/destination/port",
            over: |line| line["event"]["end"].is_string(),
            environment: "/process/env_vars",
        },
    }
}

/// Id and number of the state that a line is about.
fn state(format: Format, line: &Value) -> (String, u64) {
    let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let number = |pointer: &str| line.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    match format {
        Format::Scc => {
            let name = text("/finding/name").rsplit('/').next().unwrap_or_default();
            (name.to_owned(), number("/finding/sourceProperties/update"))
        }
        Format::Ocsf => (text("/finding_info/uid").to_owned(), number("/metadata/sequence")),
        Format::Ecs => {
            let id = text("/event/id").split('-').next().unwrap_or_default();
            (id.to_owned(), number("/event/sequence"))
        }
    }
}

/// What the sensor wrote to standard output, every line of it JSON.
fn printed(sensor: &Sensor) -> Result<Vec<(Vec<u8>, Value)>> {
    let raw: Vec<Vec<u8>> = sensor.lines(0, |lines| lines.iter().map(|line| line.raw.clone()).collect());
    parsed(raw)
}

fn parsed(lines: Vec<Vec<u8>>) -> Result<Vec<(Vec<u8>, Value)>> {
    let value = |raw: Vec<u8>| {
        let value: Value = serde_json::from_slice(&raw).with_context(|| String::from_utf8_lossy(&raw).into_owned())?;
        ensure!(raw.len() <= 47 * 1024, "a line of {} bytes", raw.len());
        ensure!(!raw.contains(&b'\x1b'), "an escape in a line");
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

    in_journal(&journal, &id, count, &shell)?;
    let messages = wait_for("every message of syslog", || {
        let messages = collector.messages()?;
        let about = messages
            .into_iter()
            .filter(|message| parameter(message, "id") == Some(&id));
        let about: Vec<Message> = about.collect();
        Ok((about.len() as u64 >= count).then_some(about))
    })?;
    in_syslog(&messages, count)
}

/// What is known of the shell.
struct Shell<'a> {
    whole: &'a [Vec<u8>],
    long: &'a [u8],
    path: &'a [u8],
    directory: &'a [u8],
    variable: (&'a [u8], &'a [u8]),
}

impl Shell<'_> {
    /// The arguments of a line: all that are whole, and at most the beginning of the long one.
    fn are_arguments(&self, shown: &[Vec<u8>]) -> Result<()> {
        let (whole, cut) = shown.split_at_checked(self.whole.len()).context("too few arguments")?;
        ensure!(whole == self.whole, "{whole:?} is not {:?}", self.whole);
        let is_beginning = |rest: &[u8]| rest == CUT.to_string().as_bytes() || self.long.starts_with(rest);
        ensure!(
            cut.len() <= 2 && cut.iter().all(|rest| is_beginning(rest)),
            "{cut:?} at the end"
        );
        Ok(())
    }

    /// Whether these are the arguments of the command that ran: the beginning of them, and at least so many whole ones.
    fn is_command(&self, shown: &[Vec<u8>], least: usize) -> bool {
        let mut expected = vec![self.path, b"-c", b":"];
        // The shell's own name, `-s` and `--` come before what it handed on.
        expected.extend(self.whole.iter().skip(3).map(Vec::as_slice));
        let pairs = shown.iter().zip(&expected);
        let same = pairs.take_while(|(shown, expected)| shown == *expected).count();
        // One more may be cut, and be followed by a mark.
        same >= least && shown.len() <= same + 2
    }

    /// Everything that it chose comes out of a line as it was.
    fn check(&self, format: Format, line: &Value) -> Result<()> {
        let get = |pointer: &str| line.pointer(pointer).with_context(|| format!("no {pointer}: {line:#}"));
        let text = |pointer: &str| get(pointer)?.as_str().with_context(|| format!("{pointer} is no text"));
        let strings = |pointer: &str| -> Result<Vec<Vec<u8>>> {
            let list = get(pointer)?.as_array().context("no list")?;
            list.iter()
                .map(|item| bytes_of(item.as_str().context("no text")?))
                .collect()
        };
        let own = match format {
            Format::Scc => "/finding/sourceProperties",
            Format::Ocsf => "/unmapped",
            Format::Ecs => "/sensor_daemon",
        };
        let (name, path, directory) = match format {
            Format::Scc => ("/finding/processes/0/name", "/finding/processes/0/binary/path", None),
            Format::Ocsf => (
                "/evidences/0/process/name",
                "/evidences/0/process/file/path",
                Some("/evidences/0/process/working_directory"),
            ),
            Format::Ecs => (
                "/process/name",
                "/process/executable",
                Some("/process/working_directory"),
            ),
        };
        let comm: Vec<u8> = self
            .whole
            .first()
            .context("no name")?
            .iter()
            .take(15)
            .copied()
            .collect();
        ensure!(bytes_of(text(name)?)? == comm, "another name: {line:#}");
        ensure!(bytes_of(text(path)?)? == self.path, "another path: {line:#}");
        let own_directory = format!("{own}/execution/workingDirectory");
        for pointer in directory.into_iter().chain([own_directory.as_str()]) {
            ensure!(
                bytes_of(text(pointer)?)? == self.directory,
                "another directory: {line:#}"
            );
        }
        let (list, arguments) = match format {
            Format::Scc => {
                self.are_arguments(&strings("/finding/processes/0/args")?)?;
                let truncated = get("/finding/processes/0/argumentsTruncated")?;
                ensure!(truncated == true, "not said to be cut: {line:#}");
                ("/finding/processes", "/args")
            }
            Format::Ocsf => {
                self.are_arguments(&words_of(text("/evidences/0/process/cmd_line")?)?)?;
                ("/evidences", "/process/cmd_line")
            }
            Format::Ecs => {
                self.are_arguments(&strings("/process/args")?)?;
                self.are_arguments(&words_of(text("/process/command_line")?)?)?;
                ("/sensor_daemon/commands", "/command_line")
            }
        };
        let mut found = 0;
        for at in 0..get(list)?.as_array().context("no list")?.len() {
            let pointer = format!("{list}/{at}{arguments}");
            let words = match line.pointer(&pointer) {
                Some(Value::Array(_)) => strings(&pointer)?,
                Some(Value::String(words)) => words_of(words)?,
                _ => continue,
            };
            // Half of the room for a line is for its quotation.
            found += usize::from(self.is_command(&words, 3));
        }
        ensure!(found == 1, "{found} commands as they were: {line:#}");
        let variables = get(layout(format).environment)?.as_array().context("no list")?;
        let variables: Result<Vec<(Vec<u8>, Vec<u8>)>> = variables
            .iter()
            .map(|variable| {
                let (name, value) = match format {
                    Format::Scc => (variable["name"].as_str(), variable["val"].as_str()),
                    Format::Ocsf => (variable["name"].as_str(), variable["value"].as_str()),
                    Format::Ecs => variable.as_str().and_then(|text| text.split_once('=')).unzip(),
                };
                Ok((
                    bytes_of(name.context("no name")?)?,
                    bytes_of(value.unwrap_or_default())?,
                ))
            })
            .collect();
        let (name, value) = self.variable;
        ensure!(
            variables?.contains(&(name.to_vec(), value.to_vec())),
            "the variable is not there: {line:#}"
        );
        Ok(())
    }
}

/// The one value of a field.
fn field<'a>(entry: &'a Entry, name: &str) -> Result<Option<&'a str>> {
    let mut values = entry.iter().filter(|(field, _)| field == name);
    let value = values.next().map(|(_, value)| std::str::from_utf8(value)).transpose()?;
    ensure!(values.next().is_none(), "{name} comes twice");
    Ok(value)
}

fn in_journal(journal: &Journal, id: &str, count: u64, shell: &Shell<'_>) -> Result<()> {
    let entries = wait_for("every entry of the journal", || {
        let entries = journal.entries(&[&format!("FINDING_ID={id}")])?;
        Ok((entries.len() as u64 >= count).then_some(entries))
    })?;
    ensure!(
        entries.len() as u64 == count,
        "{} entries instead of {count}",
        entries.len()
    );
    let mut states = HashSet::new();
    for entry in &entries {
        for (name, value) in entry {
            let known = name.starts_with('_')
                || ["MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER", "FINDING_JSON"].contains(&name.as_str())
                || name.strip_prefix("FINDING_").is_some_and(|name| FIELDS.contains(&name));
            ensure!(known, "an entry with a field {name}");
            ensure!(
                value.len() < 4096 || name == "FINDING_JSON",
                "{name} has {} bytes",
                value.len()
            );
        }
        let one = |name: &str| field(entry, name)?.with_context(|| format!("no {name}: {entry:?}"));
        ensure!(one("FINDING_SEVERITY")? == "CRITICAL", "{entry:?}");
        ensure!(one("MESSAGE_ID")? == MESSAGE_ID, "{entry:?}");
        harmless(one("MESSAGE")?.as_bytes(), false)?;
        ensure!(bytes_of(one("FINDING_BINARY")?)? == shell.path, "{entry:?}");
        shell.are_arguments(&words_of(one("FINDING_ARGS")?)?)?;
        if let Some(command) = field(entry, "FINDING_LAST_COMMAND")? {
            ensure!(!command.is_empty(), "{entry:?}");
        }
        let json: Value = serde_json::from_str(one("FINDING_JSON")?)?;
        let (json_id, update) = state(Format::Scc, &json);
        ensure!(
            json_id == id && one("FINDING_UPDATE")? == update.to_string(),
            "{entry:?}"
        );
        let over = one("FINDING_STATE")? == "INACTIVE";
        ensure!(over == (update == count), "state {update} of {count}: {entry:?}");
        if over {
            shell.check(Format::Scc, &json)?;
            let command = words_of(one("FINDING_LAST_COMMAND")?)?;
            ensure!(
                shell.is_command(&command, shell.whole.len()),
                "{command:?} of {entry:?}"
            );
        }
        ensure!(states.insert(update), "state {update} is there twice");
    }
    for evil in ["FINDING_ID=evil", "INJECTED=1", "MESSAGE=evil"] {
        ensure!(journal.entries(&[evil])?.is_empty(), "{evil} is there");
    }
    for entry in journal.entries(&["SYSLOG_IDENTIFIER=sensor-daemon"])? {
        let of_a_finding = field(&entry, "FINDING_ID")?.is_some_and(|id| id.len() == 32);
        ensure!(of_a_finding, "an entry of no finding: {entry:?}");
    }
    Ok(())
}

fn parameter<'a>(message: &'a Message, name: &str) -> Option<&'a String> {
    let (_, parameters) = message.data.first()?;
    parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn in_syslog(messages: &[Message], count: u64) -> Result<()> {
    ensure!(
        messages.len() as u64 == count,
        "{} messages instead of {count}",
        messages.len()
    );
    for (number, message) in (1..).zip(messages) {
        // authpriv.crit
        ensure!(message.priority == 82, "{message:?}");
        let [_, _, program, _, kind] = &message.header;
        ensure!(program == "sensor-daemon" && kind == "FINDING", "{message:?}");
        let [(element, parameters)] = message.data.as_slice() else {
            anyhow::bail!("not one element: {message:?}");
        };
        ensure!(element == "finding@32473", "{message:?}");
        let mut names = HashSet::new();
        for (name, value) in parameters {
            ensure!(FIELDS.contains(&name.to_uppercase().as_str()), "a parameter {name}");
            ensure!(names.insert(name), "{name} comes twice");
            harmless(value.as_bytes(), false)?;
            ensure!(!value.contains(['\n', '\r']), "{name} has several lines");
        }
        harmless(message.text.as_bytes(), false)?;
        ensure!(!message.text.contains(['\n', '\r']), "several lines: {message:?}");
        ensure!(parameter(message, "update") == Some(&number.to_string()), "{message:?}");
        ensure!(
            parameter(message, "severity").is_some_and(|severity| severity == "CRITICAL"),
            "{message:?}"
        );
        let binary = parameter(message, "binary").context("no binary")?;
        ensure!(binary.starts_with("$'/") && binary.contains("\\n"), "{binary:?}");
    }
    let last = messages.last().context("no message")?;
    ensure!(
        parameter(last, "state").is_some_and(|state| state == "INACTIVE"),
        "{last:?}"
    );
    Ok(())
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

/// Has a program say something, on a terminal or not.
fn said(mut program: Command) -> Result<Vec<u8>> {
    let Output { status, stdout, stderr } = program.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    ensure!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    Ok(stdout)
}

/// Whoever looks at it afterwards: the table, the story on a terminal, as a page and as a picture.
fn shown_to_people() -> Result<()> {
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
    pages.args(["-c", include_str!("../../programs/pages.py")]);
    pages
        .arg(dir.path().join("html"))
        .arg(dir.path().join("svg"))
        .arg(MARKUP);
    said(pages)?;
    hostile.takeover.end()?;
    sensor.stop()
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("hostile::security_command_center", security_command_center),
        ("hostile::ocsf", ocsf),
        ("hostile::ecs", ecs),
        ("hostile::cloud_logging", cloud_logging),
        ("hostile::shown_to_people", shown_to_people),
    ]
}
