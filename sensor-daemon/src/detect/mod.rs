//! The engine: judges observations, groups evidence into incidents and decides when an incident speaks. Pure: no I/O
//! and no clock, time is an argument, and the one thing it may ask of the outside goes through [`World`]. So a
//! recording replays to the same incidents.
//!
//! Observations come from `sources/`; the snapshots of incidents go to `finding/`.
//!
//! - `rule`: what one exec is evidence of, with `argv` and `dialect` for "does this shell read its input"
//! - `engine`: from evidence to incidents: which one, when it opens, ends, speaks
//! - `tracked`: one incident; `books`: all of them; `pacing`: the pace of one; `services`: what serves a connection and is left alone
//! - `exceptions`: takeovers that are meant to be
//! - `incident`: what is handed out

mod argv;
mod books;
mod dialect;
mod engine;
pub mod exceptions;
mod incident;
mod pacing;
mod rule;
mod services;
mod tracked;

#[cfg(test)]
mod tests;

use crate::model::ProcessId;

pub use self::{
    engine::Engine,
    incident::{Command, EndReason, Incident, Severity, State, Technique},
    tracked::COMMANDS_MAX,
};

/// What the engine may ask of the outside world.
pub trait World {
    /// Whether that very process is alive and has the socket with this inode number open on any descriptor.
    ///
    /// Where that can't be told (no right to look), the answer is yes: an incident that ends too early is worse than one
    /// that ends late.
    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool;
}

/// What the engine can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Incidents below this are followed without a word, in case they rise.
    pub min_severity: Severity,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_severity: Severity::Medium,
        }
    }
}
