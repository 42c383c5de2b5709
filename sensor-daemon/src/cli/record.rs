//! `sensor-daemon record`: `run`, with a recording beside it.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{delivery, reporting::Options, run};

/// Arguments of `record`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to write; it must not exist
    #[arg(value_name = "RECORDING")]
    file: PathBuf,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    delivery: delivery::Options,
}

pub(super) fn record(arguments: &Arguments, kernel_log: bool) -> anyhow::Result<ExitCode> {
    run::watch(
        &arguments.options,
        &arguments.delivery,
        Some(&arguments.file),
        kernel_log,
    )
}
