//! Exceptions: takeovers that are meant to be, such as a login through sshd. Pure: they are read by `config/`, from the
//! user's file and from `exceptions.toml` beside this directory; here they are matched with what was seen.
//!
//! An exception holds if all of its conditions do. Whatever is not known does not hold: an exception silences, so that doubt
//! must not.

mod conditions;
mod glob;

use serde::Serialize;

use crate::model::{Container, Direction, Exec, Socket, Text};

pub use self::{
    conditions::{Conditions, ContainerCondition, ContainerName, User},
    glob::{Glob, GlobError, GlobKind},
};

/// What an exception is matched with.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The exec that is evidence.
    pub exec: &'a Exec,
    /// Executables of the processes that carry the streams between the program and the network, nearest first. Only those
    /// of the stream that the takeover is judged by, the input if it is carried: a shell that reads from `nc` is not
    /// sshd's because its standard error is still the terminal of a login.
    pub relays: &'a [Text],
    /// The sockets that the takeover goes through.
    pub sockets: &'a [Socket],
    /// Who opened the connection.
    pub direction: Direction,
    /// The container that the program runs in.
    pub container: Option<&'a Container>,
}

/// Something that looks like a takeover and is meant to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    /// Its name, kebab-case.
    pub id: String,
    /// Why it is there.
    pub reason: String,
    /// Who wrote it.
    pub origin: Origin,
    /// It is listed, but never matches.
    pub disabled: bool,
    /// What has to hold.
    pub conditions: Conditions,
}

/// Who wrote an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The sensor's own.
    BuiltIn,
    /// The configuration file's.
    User,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exceptions(Vec<Exception>);

impl Exceptions {
    /// Takes them in the order in which they are to be tried.
    #[must_use]
    pub fn new(exceptions: Vec<Exception>) -> Self {
        Self(exceptions)
    }

    /// The first one that holds and is not disabled.
    #[must_use]
    pub fn matching(&self, subject: &Subject<'_>) -> Option<&Exception> {
        self.0
            .iter()
            .find(|exception| !exception.disabled && exception.conditions.hold(subject))
    }

    /// All of them, disabled ones included.
    pub fn iter(&self) -> impl Iterator<Item = &Exception> {
        self.0.iter()
    }
}
