//! Which findings a reader asks for.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

use crate::{
    detect::{Severity, State},
    finding::Report,
    model::Endpoint,
};

/// Which findings are asked for. A condition that is `None` holds for every finding.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Changed at this time or later, in nanoseconds of Unix time.
    pub since: Option<i64>,
    /// Changed at this time or before.
    pub until: Option<i64>,
    /// The lowest severity.
    pub min_severity: Option<Severity>,
    /// A part of the container's id or name.
    pub container: Option<String>,
    /// One of the connections has this peer.
    pub peer: Option<Peer>,
    /// How far the finding has come.
    pub standing: Option<Standing>,
    /// At most so many findings, the newest.
    pub limit: Option<usize>,
}

/// How far a finding has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The takeover goes on.
    Open,
    /// The takeover has ended, and nobody has closed the finding.
    Ended,
    /// Somebody has closed the finding.
    Closed,
}

impl Standing {
    /// How far this finding has come.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        match report.incident.state {
            _ if report.closed.is_some() => Self::Closed,
            State::Active => Self::Open,
            State::Inactive => Self::Ended,
        }
    }
}

/// Peers on the network: `203.0.113.7`, `203.0.113.7:4444`, `[2001:db8::7]:4444`, or the network `203.0.113.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    network: IpNet,
    port: Option<u16>,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self {
            network: address.to_canonical().into(),
            port: None,
        }
    }
}

impl FromStr for Peer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(address.into());
        }
        if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
            return Ok(Self {
                port: Some(socket.port()),
                ..socket.ip().into()
            });
        }
        text.parse()
            .map(|network| Self { network, port: None })
            .map_err(|_| "write an address (203.0.113.7), one with a port (203.0.113.7:4444, [::1]:22) or a network (203.0.113.0/24)")
    }
}

impl Peer {
    fn is(&self, endpoint: &Endpoint) -> bool {
        let Endpoint::Ip(socket) = endpoint else { return false };
        self.network.contains(&socket.ip().to_canonical()) && self.port.is_none_or(|port| port == socket.port())
    }
}

impl Filter {
    /// Returns true if every condition holds for this state of a finding. The limit is no condition.
    #[must_use]
    pub fn lets_through(&self, report: &Report) -> bool {
        let (incident, updated) = (&report.incident, updated(report));
        let container = incident.shell.container.as_ref();
        let in_container = |part: &String| {
            container.is_some_and(|container| {
                container.id.contains(part) || container.name.as_ref().is_some_and(|name| name.contains(part))
            })
        };
        self.since.is_none_or(|since| updated >= since)
            && self.until.is_none_or(|until| updated <= until)
            && self.min_severity.is_none_or(|least| incident.severity >= least)
            && self.standing.is_none_or(|standing| Standing::of(report) == standing)
            && self.container.as_ref().is_none_or(in_container)
            && self
                .peer
                .is_none_or(|peer| incident.sockets.iter().any(|socket| peer.is(&socket.remote)))
    }
}

/// When the finding last changed, in nanoseconds of Unix time.
pub(super) fn updated(report: &Report) -> i64 {
    let since_boot = i64::try_from(report.incident.updated.0).unwrap_or(i64::MAX);
    report.host.boot_unix_ns.saturating_add(since_boot)
}
