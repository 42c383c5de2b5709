//! Exceptions: takeovers that are meant to be, such as a login through sshd. Pure: they are read by `config/`, from the
//! user's file and from `exceptions.toml` beside this directory; here they are matched with what was seen.
//!
//! An exception holds if all of its conditions do. Whatever is not known does not hold: an exception silences, so that doubt
//! must not.

mod conditions;
mod glob;

use serde::Serialize;

pub use self::{
    conditions::{Conditions, ContainerCondition, ContainerName, Subject, User},
    glob::{Glob, GlobError, GlobKind},
};

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
