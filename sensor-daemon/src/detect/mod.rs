//! The engine: judges observations, groups evidence into incidents and decides when an incident speaks. Pure: no I/O
//! and no clock, time is an argument, and the one thing it may ask of the outside goes through [`World`]. So a
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
//! - `tracked`: one incident; `books`: all of them; `pacing`: the pace of one; `services`: what serves a connection and is left alone
//! - `exceptions`: takeovers that are meant to be
//! - `incident`: what is handed out

mod argv;
mod books;
mod dialect;
mod engine;
pub mod exceptions;
mod flows;
mod incident;
mod judgement;
mod loops;
mod pacing;
mod piped;
mod popped;
mod proof;
mod relay;
mod rule;
mod services;
mod suspects;
mod trace;
mod tracked;
pub mod wire;

#[cfg(test)]
mod tests;

use crate::model::{BootTime, Flow, Holder, ProcessId, Stream, Text};

use self::exceptions::Exceptions;
pub use self::{
    engine::Engine,
    incident::{Command, EndReason, Incident, Link, Severity, State, Technique},
    tracked::COMMANDS_MAX,
    wire::Delivery,
};

/// What the engine may ask of the outside world.
pub trait World {
    /// Whether that very process is alive and has the socket with this inode number open on any descriptor.
    ///
    /// Where that can't be told (no right to look), the answer is yes: an incident that ends too early is worse than one
    /// that ends late.
    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool;

    /// Whether that very process is alive. Where that can't be told, the answer is yes.
    fn is_alive(&self, process: ProcessId) -> bool;

    /// Who has the other end of this pipe, terminal or UNIX socket open, each with everything else of theirs that bytes
    /// travel through. Of a pipe, everybody who has it open.
    fn opposite(&self, stream: &Stream) -> Vec<Holder>;

    /// What a watched flow delivered after `since`, held against the texts of a command.
    fn delivered(&self, flow: Flow, since: BootTime, texts: &[Text]) -> Delivery;
}

/// What the engine would like the source of its observations to do from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Report, or stop reporting, what this process executes.
    Session(ProcessId, bool),
    /// Report it when this process connects to somebody.
    Neighbour(ProcessId),
    /// Sample what this flow delivers.
    Watch(Flow),
    /// Stop that.
    Unwatch(Flow),
}

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
