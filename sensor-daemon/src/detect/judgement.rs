//! What the rule makes of an exec, whichever part of it does, and what that rests on.

use crate::model::{Direction, Exec, Socket};

use super::{
    relay::{Relay, Worth},
    rule::{self, Takeover},
    snapshot::{Severity, Technique},
};

/// A judgement, to be adopted.
#[derive(Clone, Debug)]
pub(super) struct Judgement {
    pub(super) severity: Severity,
    pub(super) technique: Technique,
    pub(super) direction: Direction,
    pub(super) proof: Proof,
}

/// What a judgement rests on.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// A standard stream is the socket.
    Streams,
    /// Other processes carry the streams to the socket.
    Relay(Box<Relay>),
    /// The parent holds the socket, which had just delivered the command's text.
    Delivered(Box<Socket>),
    /// The parent holds the socket.
    ParentHolds(Box<Socket>),
}

impl Proof {
    pub(super) fn evidence(&self, exec: &Exec, technique: Technique) -> String {
        match self {
            Self::Streams => rule::evidence(exec, technique),
            Self::Relay(relay) => relay.evidence(),
            Self::Delivered(socket) => parent_holds(
                socket,
                " The command's text is what that connection had just delivered.",
            ),
            Self::ParentHolds(socket) => parent_holds(socket, " Nothing shows that the command came over it."),
        }
    }
}

fn parent_holds(socket: &Socket, rest: &str) -> String {
    let descriptor = socket.parent_fd.unwrap_or_default();
    format!("Its parent holds a network connection as descriptor {descriptor} and runs it by itself.{rest}")
}

impl From<&Takeover<'_>> for Judgement {
    fn from(takeover: &Takeover<'_>) -> Self {
        let Takeover {
            severity,
            technique,
            direction,
            ..
        } = *takeover;
        Self {
            severity,
            technique,
            direction,
            proof: Proof::Streams,
        }
    }
}

impl Judgement {
    pub(super) fn of_relay(worth: Worth, relay: Relay) -> Self {
        Self {
            severity: worth.severity,
            technique: worth.technique,
            direction: worth.direction,
            proof: Proof::Relay(Box::new(relay)),
        }
    }

    /// By what the stronger of two is told.
    pub(super) fn strength(&self) -> (Severity, bool) {
        (self.severity, self.technique.is_shell())
    }
}
