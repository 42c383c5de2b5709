//! What is reported and how: the options that `run`, `record` and `replay` share.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use serde::Serialize;
use tracing::warn;

use super::enrichment::{self, Enrichment};
use crate::{
    config,
    detect::{Incident, Settings, Severity},
    enrich::Contexts,
    finding::{self, Report},
    model::{Host, Losses},
    sinks::stdout,
    store::Retention,
};

/// Options of every command that reports.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// How to write findings
    #[arg(long, value_enum, default_value = "auto")]
    format: Format,
    /// Leave out findings below this severity; such a takeover is followed silently, in case it rises. Goes before what the
    /// configuration file says; the default is medium
    #[arg(long, value_enum)]
    min_severity: Option<MinSeverity>,
    /// Configuration file: exceptions and the lowest severity. Without it /etc/sensor-daemon/config.toml is read, if there
    /// is one. `check-config` says what is wrong with a file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    enrichment: enrichment::Options,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people if standard output is a terminal, else JSON
    Auto,
    /// One JSON object a line: Google Security Command Center's finding (v2 API, `{finding, resource}`)
    Json,
    /// A few lines for people
    Human,
    /// One JSON object a line: an OCSF 1.8.0 event, class Detection Finding (2004)
    Ocsf,
    /// One JSON object a line: a document of the Elastic Common Schema 9.4.0
    Ecs,
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
    /// What the engine is told, what findings say beside the evidence, and how long they are kept, by the command line and the
    /// configuration file.
    ///
    /// # Errors
    /// The configuration file can't be read, or is wrong.
    pub(super) fn settings(&self) -> anyhow::Result<(Settings, Enrichment, Retention)> {
        let config = config::load(self.config.as_deref())?;
        let enrichment = self.enrichment.over(config.enrichment);
        let settings = Settings {
            min_severity: self
                .min_severity
                .map(Into::into)
                .or(config.min_severity)
                .unwrap_or(Settings::default().min_severity),
            exceptions: config.exceptions,
        };
        Ok((settings, enrichment, config.retention))
    }

    /// How findings are written.
    pub(super) fn format(&self) -> Format {
        self.format
    }
}

impl Format {
    /// For the standard output: with colours on a terminal.
    pub(super) fn for_stdout(self) -> stdout::Format {
        let terminal = io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        match self {
            Self::Auto if terminal => Box::new(move |report| finding::human(report, colour)),
            Self::Human => Box::new(move |report| finding::human(report, colour)),
            other => other.for_lines(),
        }
    }

    /// For a file.
    pub(super) fn for_lines(self) -> stdout::Format {
        match self {
            Self::Human => Box::new(|report| finding::human(report, false)),
            Self::Auto | Self::Json => Box::new(|report| line(&finding::scc(report))),
            Self::Ocsf => Box::new(|report| line(&finding::ocsf(report))),
            Self::Ecs => Box::new(|report| line(&finding::ecs(report))),
        }
    }
}

/// Makes incidents into reports.
pub(super) struct Reports {
    pub(super) host: Host,
    /// Reports have arguments.
    arguments: bool,
    /// What is known beside the evidence.
    pub(super) contexts: Contexts,
}

impl Reports {
    /// Reports on `host`, with arguments or without.
    pub(super) fn new(host: Host, arguments: bool, contexts: Contexts) -> Self {
        Self {
            host,
            arguments,
            contexts,
        }
    }

    /// All that is known by now.
    pub(super) fn report(&mut self, incident: Incident, losses: Losses) -> Report {
        let mut report = Report::new(incident, &self.host, losses);
        if !self.arguments {
            report.remove_arguments();
        }
        self.contexts.add(&mut report);
        report
    }
}

/// One line of JSON.
fn line(value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(line) => line + "\n",
        Err(error) => {
            warn!("a finding can't be written as JSON: {error}");
            String::new()
        }
    }
}
