//! `sensor-daemon outputs`: how each place is doing that findings go to.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::stored;
use crate::{model::Text, store::OutputState};

/// Arguments of `outputs`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    store: stored::Options,
    /// How to write them
    #[arg(long, value_enum, default_value = "table")]
    format: Style,
}

/// How they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Style {
    /// A line each, for people
    Table,
    /// One JSON object a line
    Json,
}

pub(super) fn outputs(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let outputs = arguments.store.open()?.outputs()?;
    let text = match arguments.format {
        Style::Table => table(&outputs),
        Style::Json => outputs.iter().map(line).collect(),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads has enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(verdict(&outputs)),
    }
}

/// Whether all of them take findings, for scripts.
fn verdict(outputs: &[OutputState]) -> ExitCode {
    let all_well = outputs.iter().all(|output| output.failing.is_none() && !output.closed);
    ExitCode::from(u8::from(!all_well))
}

fn table(outputs: &[OutputState]) -> String {
    let names: Vec<String> = outputs.iter().map(|output| shown(&output.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(6);
    let mut text = format!("{:width$} WAITING  STATE\n", "OUTPUT");
    for (output, name) in outputs.iter().zip(names) {
        let state = match &output.failing {
            Some(why) if output.closed => format!("closed{}: {}", since(output), shown(why)),
            Some(why) => format!("failing{}: {}", since(output), shown(why)),
            None if output.closed => "closed".to_owned(),
            None => "ok".to_owned(),
        };
        text += &format!("{name:width$} {:>7}  {state}\n", output.waiting);
    }
    text
}

fn line(output: &OutputState) -> String {
    let state = match (&output.failing, output.closed) {
        (_, true) => "closed",
        (Some(_), false) => "failing",
        (None, false) => "ok",
    };
    let since = output.failing_since.and_then(time).map(|time| time.to_string());
    let object = json!({
        "output": output.name,
        "waiting": output.waiting,
        "state": state,
        "reason": output.failing,
        "since": since,
    });
    format!("{object}\n")
}

fn since(output: &OutputState) -> String {
    let time = output.failing_since.and_then(time);
    time.map(|time| format!(" since {time:.0}")).unwrap_or_default()
}

fn time(unix_ns: i64) -> Option<Timestamp> {
    Timestamp::from_nanosecond(unix_ns.into()).ok()
}

fn shown(text: &str) -> String {
    Text::from(text).for_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, waiting: u64, closed: bool, failing: Option<&str>) -> OutputState {
        OutputState {
            name: name.into(),
            waiting,
            closed,
            failing: failing.map(str::to_owned),
            failing_since: failing.map(|_| 1_000_000_000),
        }
    }

    #[test]
    fn each_has_a_line() {
        let outputs = [
            output("file=/logs/\u{1b}[2J", 12, false, Some("No space left on device")),
            output("journald", 0, false, None),
            output("stdout", 3, true, Some("Broken pipe")),
        ];
        assert_eq!(
            table(&outputs),
            "\
OUTPUT               WAITING  STATE
file=/logs/\\u{1b}[2J      12  failing since 1970-01-01T00:00:01Z: No space left on device
journald                   0  ok
stdout                     3  closed since 1970-01-01T00:00:01Z: Broken pipe
"
        );
        assert_eq!(
            line(&outputs[2]),
            "{\"output\":\"stdout\",\"reason\":\"Broken pipe\",\"since\":\"1970-01-01T00:00:01Z\",\"state\":\"closed\",\"waiting\":3}\n"
        );
        assert_eq!(
            format!("{:?}", verdict(&outputs[1..2])),
            format!("{:?}", ExitCode::SUCCESS)
        );
        assert_eq!(format!("{:?}", verdict(&outputs)), format!("{:?}", ExitCode::FAILURE));
    }
}
