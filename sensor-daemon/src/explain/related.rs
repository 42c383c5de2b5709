//! Which other findings a reader should see: of the same container or unit at about the same time, and of the same peer.

use serde::Serialize;

use crate::{
    detect::{Severity, State},
    finding::{Report, human, time},
    model::Endpoint,
};

use super::story::{place, safe};

/// How far apart findings of one place may be, in nanoseconds: an hour.
pub const RELATED_NS: i64 = 3_600 * 1_000_000_000;
/// Most of them kept.
const SHOWN_MAX: usize = 20;

/// Another finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Related {
    /// Its id.
    pub id: String,
    /// When it opened, RFC 3339.
    pub opened: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it goes on.
    pub state: State,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Where.
    pub place: String,
    /// What it has in common: `same container`, `same unit`, `same peer`.
    pub why: &'static str,
}

/// The related ones among `others`, the newest first, and how many more there are. Of several states of one finding the
/// last given counts.
pub(super) fn related(report: &Report, others: &[Report]) -> (Vec<Related>, usize) {
    let mut found: Vec<(i128, Related)> = Vec::new();
    for (at, other) in others.iter().enumerate() {
        let newer = others[at + 1..].iter().any(|later| later.id == other.id);
        if other.id == report.id || newer {
            continue;
        }
        let Some(why) = why(report, other) else {
            continue;
        };
        let opened = time::calendar(other.incident.opened, &other.host);
        found.push((
            opened.as_nanosecond(),
            Related {
                id: safe(&other.id),
                opened: opened.to_string(),
                severity: other.incident.severity,
                state: other.incident.state,
                title: human::title(other.incident.technique),
                place: place(other),
                why,
            },
        ));
    }
    found.sort_by_key(|(opened, _)| std::cmp::Reverse(*opened));
    let hidden = found.len().saturating_sub(SHOWN_MAX);
    found.truncate(SHOWN_MAX);
    (found.into_iter().map(|(_, related)| related).collect(), hidden)
}

fn why(report: &Report, other: &Report) -> Option<&'static str> {
    let (here, there) = (&report.incident.shell, &other.incident.shell);
    let near = {
        let (start, end) = span(report);
        let (from, to) = span(other);
        from <= end + i128::from(RELATED_NS) && to >= start - i128::from(RELATED_NS)
    };
    let same_peer = peers(report).any(|peer| peers(other).any(|theirs| theirs == peer));
    match (&here.container, &there.container) {
        (Some(ours), Some(theirs)) if near && ours.id == theirs.id => Some("same container"),
        (None, None) if near && here.cgroup.id == there.cgroup.id && report.host.boot_id == other.host.boot_id => {
            Some("same unit")
        }
        _ => same_peer.then_some("same peer"),
    }
}

/// Unix nanoseconds of its first and last change.
fn span(report: &Report) -> (i128, i128) {
    let at = |time| time::calendar(time, &report.host).as_nanosecond();
    (at(report.incident.opened), at(report.incident.updated))
}

/// Whom it talked to. A port says little: a peer is its address. Loopback is nobody.
fn peers(report: &Report) -> impl Iterator<Item = String> {
    let sockets = report
        .incident
        .sockets
        .iter()
        .filter(|socket| !socket.remote.is_loopback());
    sockets.map(|socket| match socket.remote {
        Endpoint::Ip(address) => address.ip().to_string(),
        Endpoint::Vsock { cid, .. } => format!("vsock:{cid}"),
    })
}
