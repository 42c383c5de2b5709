//! `sensor-daemon findings`: what the sensor has kept.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};

use super::{console::colour, reporting::MinSeverity, stored, table::Table};
use crate::{
    finding::{Encoding, Report},
    store::{Filter, Peer, Standing, Stored},
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
    /// Only findings that changed since then: 15m, 2h, 7d (ago), a date (2026-01-31), or a time such as 2026-01-31T09:00:00Z.
    /// Dates, and times without a zone, are in UTC
    #[arg(long, value_name = "WHEN", value_parser = stored::since)]
    since: Option<i64>,
    /// Only findings that changed no later than then; for a date, by its end
    #[arg(long, value_name = "WHEN", value_parser = stored::until)]
    until: Option<i64>,
    /// Only findings of this severity or a higher one
    #[arg(long, value_enum)]
    severity: Option<MinSeverity>,
    /// Only findings in containers whose id or name holds this
    #[arg(long, value_name = "TEXT")]
    container: Option<String>,
    /// Only findings with a connection to this peer: an address (203.0.113.7), one with a port (203.0.113.7:4444, [::1]:22), or
    /// a network (203.0.113.0/24)
    #[arg(long, value_name = "PEER")]
    peer: Option<Peer>,
    /// Only findings that have come so far
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
    /// The takeover goes on
    Open,
    /// The takeover has ended, and nobody has closed the finding
    Ended,
    /// Somebody has closed the finding: `sensor-daemon close`
    Closed,
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
        peer: arguments.peer,
        standing: arguments.state.map(|state| match state {
            StateName::Open => Standing::Open,
            StateName::Ended => Standing::Ended,
            StateName::Closed => Standing::Closed,
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
            let (new, next) = reader.after(last, BATCH)?;
            let is_more = next > last;
            last = next;
            for Stored { report, .. } in new {
                if filter.lets_through(&report) {
                    out.write_all(write(&report).as_bytes())?;
                }
            }
            out.flush()?;
            if !is_more {
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
