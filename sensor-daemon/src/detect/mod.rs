//! The engine: judges observations, groups evidence into incidents and decides when an incident speaks. Pure: no I/O
//! and no clock, time is an argument, and the one thing it may ask of the outside goes through [`Inspector`]. So a
//! recording replays to the same incidents.
//!
//! Observations come from `sources/`; the snapshots of incidents go to `finding/`.
//!
//! - `rule`: what one exec is evidence of, with `argv` and `dialect` for "does this shell read its input"
//! - `relay`: what a shell is evidence of whose streams others carry, with `trace` for the way to the socket
//! - `wire`: whether a command is what a connection has just delivered
//! - `engine`: from evidence to incidents: which one, when it opens, ends, speaks; `piped`: the part of it that deals with
//!   execs without a socket, with `suspects` (shells whose way to a socket is not known) and `loops` (programs that hold a
//!   connection and run commands), and `flows` (the connections that are watched for them)
//! - `incident`: one incident, with its `commands` and its `pacing`; `index`: all of them; `services`: what serves a connection and is left alone
//! - `exceptions`: takeovers that are meant to be
//! - `snapshot`: what is handed out; `inspector` and `request`: what the engine asks for

mod argv;
mod commands;
mod dialect;
mod engine;
pub mod exceptions;
mod flows;
mod incident;
mod index;
mod inspector;
mod judgement;
mod loops;
mod pacing;
mod piped;
mod popped;
mod proof;
mod relay;
mod request;
mod rule;
mod services;
mod snapshot;
mod suspects;
mod trace;
pub mod wire;

#[cfg(test)]
mod tests;

use self::exceptions::Exceptions;
pub use self::{
    commands::COMMANDS_MAX,
    dialect::program_file,
    engine::Engine,
    inspector::Inspector,
    request::Request,
    snapshot::{Command, EndReason, Link, Severity, Snapshot, State, Technique},
    wire::Delivery,
};

/// What the engine can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Incidents below this are followed without a word, in case they rise.
    pub min_severity: Severity,
    /// Takeovers that are meant to be.
    pub exceptions: Exceptions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_severity: Severity::Medium,
            exceptions: Exceptions::default(),
        }
    }
}
