//! What is reported and how: the options that `run`, `record` and `replay` share, and the way from what happens to the engine
//! to the text of findings, which is the same for a live machine and for a recording.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use tracing::warn;

use super::enrichment::{self, Enrichment};
use crate::{
    config,
    detect::{Engine, Incident, Settings, Severity},
    enrich::Contexts,
    finding::{self, Report},
    model::{Host, Losses},
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

/// How findings are written to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
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
enum MinSeverity {
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
    /// What the engine is told and what findings say beside the evidence, by the command line and the configuration file.
    ///
    /// # Errors
    /// The configuration file can't be read, or is wrong.
    pub(super) fn settings(&self) -> anyhow::Result<(Settings, Enrichment)> {
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
        Ok((settings, enrichment))
    }

    /// An engine that reports on `host`.
    pub(super) fn reporting(&self, settings: Settings, host: Host, arguments: bool, contexts: Contexts) -> Reporting {
        let terminal = io::stdout().is_terminal();
        Reporting {
            engine: Engine::new(settings),
            host,
            arguments,
            contexts,
            format: match self.format {
                Format::Auto if terminal => Format::Human,
                Format::Auto => Format::Json,
                format => format,
            },
            colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

/// The engine, and what its incidents become.
pub(super) struct Reporting {
    pub(super) engine: Engine,
    pub(super) host: Host,
    /// Findings have arguments.
    arguments: bool,
    /// What is known beside the evidence.
    pub(super) contexts: Contexts,
    /// Never [`Format::Auto`].
    format: Format,
    /// With colours, if for people.
    colour: bool,
}

impl Reporting {
    /// An incident's identity and its text, newlines included.
    pub(super) fn text(&mut self, incident: Incident, losses: Losses) -> Option<(String, String)> {
        let mut report = Report::new(incident, &self.host, losses);
        if !self.arguments {
            report.remove_arguments();
        }
        self.contexts.add(&mut report);
        self.text_of(report)
    }

    /// Likewise of what was reported before, and of which more is known now.
    pub(super) fn text_of(&self, report: Report) -> Option<(String, String)> {
        let line = match self.format {
            Format::Human => return Some((report.id.clone(), finding::human(&report, self.colour))),
            Format::Auto | Format::Json => serde_json::to_string(&finding::scc(&report)),
            Format::Ocsf => serde_json::to_string(&finding::ocsf(&report)),
            Format::Ecs => serde_json::to_string(&finding::ecs(&report)),
        };
        let text = match line {
            Ok(line) => line + "\n",
            Err(error) => {
                warn!("a finding can't be written as JSON: {error}");
                return None;
            }
        };
        Some((report.id, text))
    }
}
