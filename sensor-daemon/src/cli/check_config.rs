//! `sensor-daemon check-config`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use super::exceptions::count;
use crate::{
    config::{self, Config, DEFAULT_PATH, Delivery},
    detect::exceptions::Origin,
    model::Text,
};

/// Arguments of `check-config`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file. Without it, /etc/sensor-daemon/config.toml
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn check_config(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = config::load(arguments.file.as_deref())?;
    let Some(path) = &config.path else {
        writeln!(
            io::stdout().lock(),
            "OK: there is no {DEFAULT_PATH}: the defaults hold."
        )?;
        return Ok(ExitCode::SUCCESS);
    };
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
    let shown = |text: String| Text::from(text.as_str()).for_terminal();
    writeln!(
        io::stdout().lock(),
        "OK: {}: {}{} added, {} disabled{}; {severity}{}.",
        shown(path.display().to_string()),
        count(own.len()),
        list(&own),
        disabled.len(),
        list(&disabled),
        shown(delivery(&config)),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What the file says of where findings go and are kept; nothing if it says nothing.
fn delivery(config: &Config) -> String {
    let Delivery {
        destinations,
        format,
        cloud_logging,
    } = &config.delivery;
    let mut said = String::new();
    let places: Vec<String> = destinations.iter().map(ToString::to_string).collect();
    for (field, value) in [
        ("output", Some(places.join(", ")).filter(|places| !places.is_empty())),
        ("format", format.map(|format| format.name())),
        ("cloud_logging", cloud_logging.map(|on| on.to_string())),
        (
            "[store] directory",
            config.store.directory.as_ref().map(|path| path.display().to_string()),
        ),
    ] {
        if let Some(value) = value {
            said.push_str(&format!("; {field} is {value}"));
        }
    }
    said
}
