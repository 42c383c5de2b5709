//! `sensor-daemon check-config`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use super::exceptions::count;
use crate::{config, detect::exceptions::Origin, model::Text};

/// Arguments of `check-config`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn check_config(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = config::load(Some(&arguments.file))?;
    let ids = |disabled: bool| -> Vec<&str> {
        let own = config
            .exceptions
            .iter()
            .filter(|exception| exception.disabled == disabled && (disabled || exception.origin == Origin::User));
        own.map(|exception| exception.id.as_str()).collect()
    };
    let list = |ids: &[&str]| match ids {
        [] => String::new(),
        ids => format!(" ({})", ids.join(", ")),
    };
    let (own, disabled) = (ids(false), ids(true));
    let severity = config.min_severity.map_or_else(
        || "min_severity is left at its default".to_owned(),
        |severity| format!("min_severity is {}", severity.name().to_ascii_lowercase()),
    );
    writeln!(
        io::stdout().lock(),
        "OK: {}: {}{} added, {} disabled{}; {severity}.",
        Text::from(arguments.file.display().to_string().as_str()).for_terminal(),
        count(own.len()),
        list(&own),
        disabled.len(),
        list(&disabled),
    )?;
    Ok(ExitCode::SUCCESS)
}
