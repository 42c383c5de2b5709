//! What is reported and how: the options that `run`, `record` and `replay` share.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use clap::{Args, ValueEnum};

use super::{
    console::colour,
    enrichment::{self, Enrichment},
};
use crate::{
    config,
    detect::{Settings, Severity},
    finding::{Encoding, Format},
};

/// Options of every command that reports.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// How to write findings. Goes before what the configuration file says; the default is auto
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Leave out findings below this severity; such a takeover is followed silently, in case it rises. Goes before what the
    /// configuration file says; the default is medium
    #[arg(long, value_enum)]
    min_severity: Option<MinSeverity>,
    /// Configuration file: exceptions, the lowest severity, what findings say, where they go and are kept. What the command
    /// line says as well wins. Without it /etc/sensor-daemon/config.toml is read, if there is one. `check-config` says what is
    /// wrong with a file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    enrichment: enrichment::Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MinSeverity {
    Low,
    Medium,
    High,
    Critical,
}

impl From<MinSeverity> for Severity {
    fn from(severity: MinSeverity) -> Self {
        match severity {
            MinSeverity::Low => Self::Low,
            MinSeverity::Medium => Self::Medium,
            MinSeverity::High => Self::High,
            MinSeverity::Critical => Self::Critical,
        }
    }
}

impl Options {
    /// What was told, the command line before the configuration file.
    ///
    /// # Errors
    /// The configuration file can't be read, or is wrong.
    pub(super) fn told(&self) -> anyhow::Result<Told> {
        let config = config::load(self.config.as_deref())?;
        let mut delivery = config.delivery;
        let settings = Settings {
            min_severity: self
                .min_severity
                .map(Into::into)
                .or(config.min_severity)
                .unwrap_or(Settings::default().min_severity),
            exceptions: config.exceptions,
        };
        if self.format.is_some() {
            // It says how standard output is written as well.
            delivery.cloud_logging = None;
        }
        Ok(Told {
            settings,
            enrichment: self.enrichment.over(config.enrichment),
            format: self.format.or(delivery.format).unwrap_or_default(),
            delivery,
            store: config.store,
        })
    }
}

/// What a command that reports was told.
pub(super) struct Told {
    /// What the engine has to know.
    pub(super) settings: Settings,
    /// What findings say beside the evidence.
    pub(super) enrichment: Enrichment,
    /// How they are written.
    pub(super) format: Format,
    /// Where they go, by the configuration file.
    pub(super) delivery: config::Delivery,
    /// Where they are kept and for how long, by the configuration file.
    pub(super) store: config::Store,
}

/// How standard output gets it: for people on a terminal, unless something else was asked for.
pub(super) fn for_stdout(format: Format) -> Encoding {
    match format.encoding() {
        Encoding::Human { .. } => Encoding::Human {
            colour: colour(&io::stdout()),
        },
        Encoding::Json if format == Format::Auto && io::stdout().is_terminal() => Encoding::Human {
            colour: colour(&io::stdout()),
        },
        other => other,
    }
}
