//! Which other findings a reader should see: those of the same peer, and those of the same container or service at about the same
//! time. A login session or a container manager is no such service: what it starts has nothing in common.

use crate::{
    finding::{Report, human, time},
    model::{Endpoint, Exec},
};

use super::{
    facts::place,
    story::{Related, safe},
};

/// How far apart findings of one place may be, in nanoseconds: an hour.
pub const RELATED_NS: i64 = 3_600 * 1_000_000_000;
/// Most of them kept.
const SHOWN_MAX: usize = 20;
/// Services that start the programs of many who have nothing to do with each other: logins, container managers, schedulers.
const SHARED: &str = "atd console-getty containerd cri-docker cri-o crio cron crond docker dropbear getty k3s k3s-agent kubelet \
                      libvirtd podman rke2-agent rke2-server serial-getty ssh sshd user";

/// The related ones among `others`, those of the same peer first, then the newest first, and how many more there are. Of several
/// states of one finding the last given counts.
pub(super) fn related(report: &Report, others: &[Report]) -> (Vec<Related>, usize) {
    let mut found: Vec<((bool, i128), Related)> = Vec::new();
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
            (why.starts_with("same peer"), opened.as_nanosecond()),
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
    found.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
    let hidden = found.len().saturating_sub(SHOWN_MAX);
    found.truncate(SHOWN_MAX);
    (found.into_iter().map(|(_, related)| related).collect(), hidden)
}

/// What both have in common.
fn why(report: &Report, other: &Report) -> Option<&'static str> {
    let (here, there) = (&report.incident.shell, &other.incident.shell);
    let near = {
        let (start, end) = span(report);
        let (from, to) = span(other);
        from <= end + i128::from(RELATED_NS) && to >= start - i128::from(RELATED_NS)
    };
    let peer = peers(report).any(|peer| peers(other).any(|theirs| theirs == peer));
    let (container, unit) = match (&here.container, &there.container) {
        (Some(ours), Some(theirs)) => (near && ours.id == theirs.id, false),
        (None, None) => {
            let same = here.cgroup.id == there.cgroup.id && report.host.boot_id == other.host.boot_id;
            (false, near && same && is_own_service(here))
        }
        _ => (false, false),
    };
    match (peer, container, unit) {
        (true, true, _) => Some("same peer and container"),
        (true, _, true) => Some("same peer and unit"),
        (true, ..) => Some("same peer"),
        (_, true, _) => Some("same container"),
        (_, _, true) => Some("same unit"),
        _ => None,
    }
}

/// Whether it runs in a service that starts its own programs only: `web.service`, not `sshd.service`, `user@1000.service` or
/// `session-3.scope`.
fn is_own_service(exec: &Exec) -> bool {
    let leaf = exec.cgroup.leaf.to_text();
    let Some(name) = leaf.strip_suffix(".service") else {
        return false;
    };
    let name = name.split_once('@').map_or(name, |(template, _)| template);
    !SHARED.split(' ').any(|shared| shared == name)
}

/// Unix nanoseconds of its first and last change.
fn span(report: &Report) -> (i128, i128) {
    let at = |time| time::calendar(time, &report.host).as_nanosecond();
    (at(report.incident.opened), at(report.incident.updated))
}

/// The addresses of its peers, without their ports. Loopback is left out: every takeover through a tunnel has it.
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
