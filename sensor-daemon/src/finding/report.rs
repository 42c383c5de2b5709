//! All that is known of a takeover at one moment: what every format is made of, and what the store keeps.

use serde::{Deserialize, Serialize};

use crate::{
    detect::Snapshot,
    model::{Context, Coverage, Host, Losses, Text, secrets::mask_arguments},
};

use super::id::finding_id;

/// One state of one finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of the finding: the same for all its states ([`finding_id`]).
    pub id: String,
    /// What was seen.
    pub incident: Snapshot,
    /// Where.
    pub host: Host,
    /// What the sensor had lost by then.
    pub losses: Losses,
    /// What the source of the observations could see, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// What else is known of it.
    #[serde(default)]
    pub context: Context,
    /// Whether somebody has dealt with the finding. A takeover that has ended is not dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

/// Somebody said that a finding is dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closed {
    /// When, in nanoseconds of Unix time.
    pub unix_ns: i64,
    /// Why, in that person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Report {
    /// A report of which nothing but the evidence is known.
    #[must_use]
    pub fn new(incident: Snapshot, host: &Host, losses: Losses) -> Self {
        Self {
            id: finding_id(&incident, host),
            incident,
            host: host.clone(),
            losses,
            coverage: None,
            context: Context::default(),
            closed: None,
        }
    }

    /// How the finding stands, as one word: `ACTIVE` while the takeover goes on, `ENDED`, or `CLOSED` once somebody has dealt with it.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (&self.closed, self.incident.ended) {
            (Some(_), _) => "CLOSED",
            (None, Some(_)) => "ENDED",
            (None, None) => "ACTIVE",
        }
    }

    /// Masks secrets in the arguments of every process, or takes the arguments out. That there were some is still said.
    pub fn show_arguments(&mut self, arguments: Arguments) {
        let change = |argv: &mut Vec<Text>, truncated: &mut bool| match arguments {
            Arguments::Raw => {}
            Arguments::Masked => mask_arguments(argv),
            Arguments::Removed => {
                *truncated |= !argv.is_empty();
                argv.clear();
            }
        };
        let shell = &mut self.incident.shell;
        change(&mut shell.argv, &mut shell.argv_truncated);
        for command in &mut self.incident.commands {
            change(&mut command.argv, &mut command.argv_truncated);
        }
        for ancestor in &mut self.incident.shell.ancestors {
            change(&mut ancestor.argv, &mut false);
        }
    }
}

/// What findings show of arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arguments {
    /// All of them, secrets masked.
    #[default]
    Masked,
    /// All of them, as they are.
    Raw,
    /// None.
    Removed,
}
