//! The streams of the command line: what goes to standard output, and diagnostics on standard error.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Whether `stream` takes colours: it is a terminal, and NO_COLOR is not set.
pub(super) fn colour(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes to standard output. That its reader has closed it is no failure.
pub(super) fn print(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output can't be written to")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Diagnostics go to standard error; standard output belongs to findings.
pub(super) fn start_diagnostics(verbose: u8) {
    let default = match verbose {
        0 => "info,aya=warn,aya_obj=warn",
        1 => "info,sensor_daemon=debug",
        _ => "debug,sensor_daemon=trace",
    };
    let asked = std::env::var(EnvFilter::DEFAULT_ENV)
        .ok()
        .filter(|text| !text.is_empty());
    let (filter, refused) = match asked.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(default), Some(error)),
        None => (EnvFilter::new(default), None),
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colour(&io::stderr()))
        .with_target(verbose > 0);
    // Journald stamps lines itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let registry = tracing_subscriber::registry().with(filter);
    // Only a second call can fail, and there is none.
    let _ = if journal {
        registry.with(layer.without_time()).try_init()
    } else {
        registry.with(layer).try_init()
    };
    if let Some(error) = refused {
        tracing::warn!("RUST_LOG is not understood and left out: {error}");
    }
}
