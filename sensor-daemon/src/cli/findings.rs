//! `sensor-daemon findings`: what the sensor has kept.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};

use super::{
    colour,
    reporting::MinSeverity,
    stored::{self, moment},
    table::Table,
};
use crate::{
    detect::State,
    finding::{Encoding, Report},
    store::{Filter, Stored},
};

/// Time between two looks for new states.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// States read at once.
const BATCH: usize = 256;

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
    let encoding = arguments.format.encoding();
    let mut out = io::stdout().lock();
    // This is read before the list, so that no state falls between the two.
    let mut last = if arguments.follow { reader.last()? } else { 0 };
    let mut shown = || -> anyhow::Result<()> {
        let listed = reader.findings(&filter)?;
        let table = Table::new(listed.iter().map(|stored| &stored.report), colour(&io::stdout()));
        let write = |report: &Report| encoding.map_or_else(|| table.row(report), |encoding| encoding.text(report));
        if encoding.is_none() {
            out.write_all(table.header().as_bytes())?;
        }
        for Stored { report, .. } in &listed {
            out.write_all(write(report).as_bytes())?;
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
        // The reader has closed its end.
        Err(error) if is_closed(&error) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Style {
    /// Writes findings so. `None` for the table.
    fn encoding(self) -> Option<Encoding> {
        Some(match self {
            Self::Table => return None,
            Self::Human => Encoding::Human {
                colour: colour(&io::stdout()),
            },
            Self::Json => Encoding::Json,
            Self::Ocsf => Encoding::Ocsf,
            Self::Ecs => Encoding::Ecs,
        })
    }
}
