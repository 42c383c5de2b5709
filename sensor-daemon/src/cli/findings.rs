//! `sensor-daemon findings`: what the sensor has kept.

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};

use super::{
    reporting::MinSeverity,
    stored::{self, moment},
};
use crate::{
    detect::State,
    finding::{self, Encoding, Report},
    model::Endpoint,
    store::{Filter, Stored},
};

/// How often it is looked for what is new.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// States read at once.
const BATCH: usize = 256;
/// Columns of the table, and of its last cell.
const COLUMNS: usize = 80;
const WHAT_MAX: usize = COLUMNS - 8 - 1 - 16 - 1 - 8 - 1 - 5 - 1;

/// Arguments of `findings`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    store: stored::Options,
    /// Only findings that changed since then: 90s, 15m, 2h, 7d (ago), or a time such as 2026-01-31T09:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<i64>,
    /// Only findings that changed no later than then
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<i64>,
    /// Only findings of this severity or a higher one
    #[arg(long, value_enum)]
    severity: Option<MinSeverity>,
    /// Only findings in containers whose id or name holds this
    #[arg(long, value_name = "TEXT")]
    container: Option<String>,
    /// Only findings with a connection to this address
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<String>,
    /// Only findings that go on, or that are over
    #[arg(long, value_enum)]
    state: Option<StateName>,
    /// So many findings at most, the newest
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Go on with what happens from now on, a line for each new state of a finding
    #[arg(long)]
    follow: bool,
    /// How to write them
    #[arg(long, value_enum, default_value = "table")]
    format: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StateName {
    Active,
    Inactive,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Style {
    /// A line each, 80 columns wide
    Table,
    /// A few lines for people
    Human,
    /// One JSON object a line: Google Security Command Center's finding
    Json,
    /// One JSON object a line: an OCSF 1.8.0 event
    Ocsf,
    /// One JSON object a line: a document of the Elastic Common Schema 9.4.0
    Ecs,
}

pub(super) fn findings(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let reader = arguments.store.open()?;
    let filter = Filter {
        since: arguments.since,
        until: arguments.until,
        min_severity: arguments.severity.map(Into::into),
        container: arguments.container.clone(),
        peer: arguments.peer.clone(),
        state: arguments.state.map(|state| match state {
            StateName::Active => State::Active,
            StateName::Inactive => State::Inactive,
        }),
        limit: arguments.limit,
    };
    let write = arguments.format.writer();
    let mut out = io::stdout().lock();
    // Before they are listed, so that nothing is left out between; what is listed already is not shown again.
    let mut last = if arguments.follow { reader.last()? } else { 0 };
    let mut shown = || -> anyhow::Result<()> {
        if arguments.format == Style::Table {
            writeln!(
                out,
                "{:<8} {:<16} {:<8} {:<5} {:<15}",
                "ID", "OPENED (UTC)", "SEVERITY", "STATE", "PEER  WHAT"
            )?;
        }
        for Stored { report, .. } in reader.findings(&filter)? {
            out.write_all(write(&report).as_bytes())?;
        }
        out.flush()?;
        if !arguments.follow {
            return Ok(());
        }
        loop {
            let new = reader.after(last, BATCH)?;
            let whole = new.len() == BATCH;
            for Stored { seq, report } in new {
                last = seq;
                if filter.lets_through(&report) {
                    out.write_all(write(&report).as_bytes())?;
                }
            }
            out.flush()?;
            if !whole {
                std::thread::sleep(FOLLOW_EVERY);
            }
        }
    };
    match shown() {
        // Whoever reads has enough.
        Err(error) if is_closed(&error) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Style {
    fn writer(self) -> Box<dyn Fn(&Report) -> String> {
        let encoding = match self {
            Self::Table => return Box::new(row(colour())),
            Self::Human => Encoding::Human { colour: colour() },
            Self::Json => Encoding::Json,
            Self::Ocsf => Encoding::Ocsf,
            Self::Ecs => Encoding::Ecs,
        };
        Box::new(move |report| encoding.text(report))
    }
}

/// Whether standard output takes colours.
pub(super) fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A line of the table.
fn row(colour: bool) -> impl Fn(&Report) -> String {
    move |report| {
        let incident = &report.incident;
        let state = match incident.state {
            State::Active => "open",
            State::Inactive => "ended",
        };
        let peer = incident.primary().map_or_else(
            || "-".to_owned(),
            |socket| match socket.remote {
                Endpoint::Ip(address) => address.to_string(),
                ref other => other.to_string(),
            },
        );
        let what = format!("{peer}  {}", command(report));
        let (paint, reset) = if colour {
            (finding::human::paint(incident.severity), "\x1b[0m")
        } else {
            ("", "")
        };
        let opened = finding::time::calendar(incident.opened, &report.host).strftime("%Y-%m-%d %H:%M");
        let id: String = report.id.chars().take(8).collect();
        let severity = format!("{:<8}", incident.severity.name());
        format!(
            "{id:<8} {opened} {paint}{severity}{reset} {state:<5} {}\n",
            clipped(&what, WHAT_MAX)
        )
    }
}

/// What was taken over, as it was called.
fn command(report: &Report) -> String {
    let shell = &report.incident.shell;
    if shell.argv.is_empty() {
        return shell.comm.for_terminal();
    }
    finding::human::command_line(&shell.argv, shell.argv_truncated)
}

/// At most so many columns.
fn clipped(text: &str, columns: usize) -> String {
    use unicode_width::UnicodeWidthChar as _;

    let width = |text: &str| text.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>();
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(1);
    let mut clipped = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else {
            break;
        };
        left = rest;
        clipped.push(c);
    }
    clipped.push('…');
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finding::tests::{report, reverse_shell},
        model::Text,
    };

    #[test]
    fn a_row_has_no_more_than_80_columns_and_no_escape() {
        let mut incident = reverse_shell();
        incident.shell.argv = vec![
            Text::from("bash\u{1b}[2J\n"),
            Text::from("\u{4f60}\u{597d}".repeat(60).as_str()),
            Text::from("\u{202e}x"),
        ];
        let row = row(false)(&report(&incident));
        assert_eq!(row.lines().count(), 1);
        assert!(
            !row.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{row:?}"
        );
        assert!(clipped(&row, COLUMNS + 1).trim_end() == row.trim_end(), "{row}");
        assert!(row.contains("203.0.113.7:4444  'bash"), "{row}");
    }
}
