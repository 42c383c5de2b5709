//! What of a report has a column of its own, to be looked for.

use super::Filter;
use crate::{
    detect::{Severity, State},
    finding::Report,
    model::Endpoint,
};

/// The peers' addresses, each between blanks, so that a whole one can be looked for.
pub(super) fn peers(report: &Report) -> String {
    let sockets = report.incident.sockets.iter();
    sockets.map(|socket| format!(" {} ", peer(&socket.remote))).collect()
}

/// The container's id and name.
pub(super) fn container(report: &Report) -> Option<String> {
    let container = report.incident.shell.container.as_ref();
    container.map(|container| format!("{} {}", container.id, container.name.as_deref().unwrap_or("")))
}

impl Filter {
    /// Whether it lets a state through; as the query for the newest ones does.
    #[must_use]
    pub fn lets_through(&self, report: &Report) -> bool {
        let (incident, updated) = (&report.incident, unix(report));
        self.since.is_none_or(|since| updated >= since)
            && self.until.is_none_or(|until| updated <= until)
            && self.min_severity.is_none_or(|least| incident.severity >= least)
            && self.state.is_none_or(|state| incident.state == state)
            && self
                .container
                .as_ref()
                .is_none_or(|part| container(report).is_some_and(|container| container.contains(part)))
            && self
                .peer
                .as_ref()
                .is_none_or(|peer| peers(report).contains(&format!(" {peer} ")))
    }
}

pub(super) fn peer(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Ip(address) => address.ip().to_string(),
        other => other.to_string(),
    }
}

/// When it was last changed, in nanoseconds of Unix time.
pub(super) fn unix(report: &Report) -> i64 {
    let since_boot = i64::try_from(report.incident.updated.0).unwrap_or(i64::MAX);
    report.host.boot_unix_ns.saturating_add(since_boot)
}

pub(super) fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

pub(super) fn of_rank(rank: i64) -> Severity {
    match rank {
        4.. => Severity::Critical,
        3 => Severity::High,
        2 => Severity::Medium,
        _ => Severity::Low,
    }
}

pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Active => "ACTIVE",
        State::Inactive => "INACTIVE",
    }
}
