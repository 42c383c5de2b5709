//! What a finding can be written as.

use clap::ValueEnum;

use super::{Report, cloud_logging::cloud_logging, ecs, human, json, ocsf, scc};

/// What a user asks for, by the names of `--format` and of the configuration file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people if standard output is a terminal, else JSON
    #[default]
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

impl Format {
    /// Every format's name.
    pub fn names() -> impl Iterator<Item = String> {
        Self::value_variants().iter().map(|format| format.name())
    }

    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::from_str(name, false).ok()
    }

    /// The format's name.
    #[must_use]
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// How a file gets it. A file is no terminal, so `auto` is JSON.
    #[must_use]
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Auto | Self::Json => Encoding::Json,
            Self::Human => Encoding::Human { colour: false },
            Self::Ocsf => Encoding::Ocsf,
            Self::Ecs => Encoding::Ecs,
        }
    }
}

/// What is written, with nothing left to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A few lines for people.
    Human {
        /// With a terminal's escape sequences for colours.
        colour: bool,
    },
    /// Security Command Center's finding.
    Json,
    /// Security Command Center's finding, with what Google Cloud's logging agents read beside it.
    CloudLogging,
    /// An OCSF event.
    Ocsf,
    /// A document of the Elastic Common Schema.
    Ecs,
}

impl Encoding {
    /// The report as text that ends with a newline.
    #[must_use]
    pub fn text(self, report: &Report) -> String {
        let value = match self {
            Self::Human { colour } => return human(report, colour),
            Self::Json => scc(report),
            Self::CloudLogging => cloud_logging(report),
            Self::Ocsf => ocsf(report),
            Self::Ecs => ecs(report),
        };
        json::line(&value) + "\n"
    }
}
