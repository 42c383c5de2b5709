//! All that is known of a takeover at one moment: what every format is made of, and what the store keeps.

use serde::{Deserialize, Serialize};

use crate::{
    detect::Incident,
    model::{Context, Host, Losses, Text},
};

use super::id::finding_id;

/// One state of one finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of the finding: the same for all its states ([`finding_id`]).
    pub id: String,
    /// What was seen.
    pub incident: Incident,
    /// Where.
    pub host: Host,
    /// What the sensor had lost by then.
    pub losses: Losses,
    /// What else is known of it.
    #[serde(default)]
    pub context: Context,
}

impl Report {
    /// A report of which nothing but the evidence is known.
    #[must_use]
    pub fn new(incident: Incident, host: &Host, losses: Losses) -> Self {
        Self {
            id: finding_id(&incident, host),
            incident,
            host: host.clone(),
            losses,
            context: Context::default(),
        }
    }

    /// Takes the arguments of every process out, so that no format shows any. That there were some is still said.
    pub fn remove_arguments(&mut self) {
        let shell = &mut self.incident.shell;
        remove(&mut shell.argv, &mut shell.argv_truncated);
        for command in &mut self.incident.commands {
            remove(&mut command.argv, &mut command.argv_truncated);
        }
        for ancestor in &mut self.incident.shell.ancestors {
            ancestor.argv.clear();
        }
    }
}

fn remove(argv: &mut Vec<Text>, truncated: &mut bool) {
    *truncated |= !argv.is_empty();
    argv.clear();
}
