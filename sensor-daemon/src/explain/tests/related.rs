//! Which findings are related, and why.

use super::{relayed, reverse_shell, socket};
use crate::{
    explain::Story,
    finding::Report,
    model::{BootTime, Stream},
};

/// Another shell in `leaf` at the same time, with a peer of its own.
fn other(id: &str, leaf: &str) -> Report {
    let mut report = reverse_shell();
    report.id = id.into();
    let socket = socket("198.51.100.9:443", 900);
    report.incident.shell.streams = [1, 2, 3].map(|_| Stream::Socket(socket.clone()));
    report.incident.sockets = vec![socket];
    report.incident.shell.cgroup.leaf = leaf.into();
    report
}

fn reasons(report: &Report, others: &[Report]) -> Vec<(String, &'static str)> {
    let related = Story::new(report, others).related;
    related.into_iter().map(|related| (related.id, related.why)).collect()
}

#[test]
fn a_unit_relates_only_if_it_starts_its_own_programs() {
    for (leaf, related) in [
        ("web.service", true),
        ("php@8.service", true),
        ("session-3.scope", false),
        ("user@1000.service", false),
        ("ssh.service", false),
        ("sshd@7-10.0.0.5:22-203.0.113.7:5000.service", false),
        ("containerd.service", false),
        ("user.slice", false),
        ("", false),
    ] {
        let (mut here, there) = (reverse_shell(), other("1", leaf));
        here.incident.shell.cgroup.leaf = leaf.into();
        let wanted: Vec<_> = related.then(|| ("1".to_owned(), "same unit")).into_iter().collect();
        assert_eq!(reasons(&here, &[there]), wanted, "{leaf}");
    }
}

/// A common peer is named also where the place is the same, and comes before what is newer and has the place only.
#[test]
fn the_same_peer_comes_first() {
    let mut newer = other("newer", "web.service");
    newer.incident.opened = BootTime(newer.incident.opened.0 + 5_000_000_000);
    let mut both = reverse_shell();
    both.id = "both".into();
    let mut elsewhere = relayed();
    elsewhere.id = "elsewhere".into();
    elsewhere.incident.opened = BootTime(1);
    assert_eq!(
        reasons(&reverse_shell(), &[newer, elsewhere.clone(), both]),
        [
            ("both".to_owned(), "same peer and unit"),
            ("elsewhere".to_owned(), "same peer"),
            ("newer".to_owned(), "same unit"),
        ]
    );
    assert_eq!(
        reasons(&relayed(), &[elsewhere]),
        [("elsewhere".to_owned(), "same peer and container")]
    );
}
