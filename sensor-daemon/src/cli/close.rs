//! `sensor-daemon close`: says that a finding is dealt with.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use jiff::Timestamp;

use super::stored;
use crate::{finding::Closed, store};

/// Longest reason, in bytes.
const REASON_MAX: usize = 512;
/// How long a sensor that runs may take: it looks every few seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Arguments of `close`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The finding's id, or the beginning of it that no other has
    #[arg(value_name = "ID")]
    id: String,
    /// Why, in one line; part of the finding from now on
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    store: stored::Options,
}

pub(super) fn close(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let directory = arguments.store.directory()?;
    let report = stored::by_id(&arguments.store.open()?, &arguments.id)?;
    let closed = Closed {
        unix_ns: i64::try_from(Timestamp::now().as_nanosecond())?,
        reason: arguments.reason.clone(),
    };
    let id = &report.id;
    let said = if report.closed.is_some() && closed.reason.is_none() {
        format!("{id} was closed before")
    } else if store::close(&directory, id, &closed, PATIENCE)? {
        format!("{id} is closed")
    } else {
        format!("{id} will be closed as soon as the sensor can write its record")
    };
    match writeln!(io::stdout(), "{said}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > REASON_MAX || text.chars().any(char::is_control) {
        return Err(format!("write one line of at most {REASON_MAX} bytes"));
    }
    Ok(text.to_owned())
}
