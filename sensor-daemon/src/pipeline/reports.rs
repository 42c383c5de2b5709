//! Makes incidents into reports: adds the host, the losses and what is known of the surroundings, and removes what findings
//! must not say.

use super::Contexts;
use crate::{
    detect::Snapshot,
    finding::{Arguments, Report},
    model::{BootTime, Coverage, Host, Losses},
};

/// Makes incidents into reports.
pub struct Reports {
    /// The machine that is watched.
    pub host: Host,
    /// What the source of the observations can see, if that is known.
    pub coverage: Option<Coverage>,
    /// What reports show of arguments.
    arguments: Arguments,
    /// What is known beside the evidence.
    pub contexts: Contexts,
}

impl Reports {
    /// Reports on `host`.
    #[must_use]
    pub fn new(host: Host, arguments: Arguments, contexts: Contexts) -> Self {
        Self {
            host,
            coverage: None,
            arguments,
            contexts,
        }
    }

    /// The reports to be given out now that the engine has emitted this snapshot. A finding's first report may be kept back for a
    /// moment: [`Contexts::overdue`] and [`Contexts::learn`] give it back.
    pub fn due(&mut self, snapshot: Snapshot, losses: Losses, now: BootTime) -> Vec<Report> {
        let report = self.report(snapshot, losses);
        let earlier = self.contexts.release(&report.id);
        let report = (!self.contexts.keep_back(&report, now)).then_some(report);
        earlier.into_iter().chain(report).collect()
    }

    /// A report with all that is known by now.
    pub fn report(&mut self, snapshot: Snapshot, losses: Losses) -> Report {
        let mut report = Report::new(snapshot, &self.host, losses);
        report.show_arguments(self.arguments);
        report.coverage = self.coverage;
        self.contexts.add(&mut report);
        report
    }
}
