//! What a finding is written as: its names are those of `--format` and of the configuration file.

use clap::ValueEnum;

/// How findings are written.
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
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::value_variants().iter().map(|format| format.name())
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::value_variants().iter();
        all.find(|format| format.name() == name).copied()
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Human => "human",
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_has_the_same_names() {
        for format in Format::value_variants() {
            let option = format.to_possible_value();
            assert_eq!(option.as_ref().map(|value| value.get_name()), Some(format.name()));
            assert_eq!(Format::named(format.name()), Some(*format));
        }
    }
}
