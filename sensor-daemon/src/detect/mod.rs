//! The engine: judges observations, groups evidence into incidents and decides when an incident emits a snapshot. Pure: no
//! I/O and no clock. Time is an argument, and the only questions it asks go through [`Inspector`], so that a recording
//! replays to the same incidents.
//!
//! Observations come from `sources/`; the snapshots of incidents go to `finding/`.
//!
//! From the bottom up; each file imports from those above it only:
//!
//! - `snapshot`: what is handed out. `inspector`, `requests`: what is asked of the host and of the source
//! - `rule`: what one exec is evidence of, with `argv` and `dialect` for "does this shell read its input"
//! - `relay`: what a shell is evidence of whose streams others carry, with `trace` for the way to the connection
//! - `wire`: whether a command is what a connection has just delivered
//! - `exceptions`: takeovers that are meant to be
//! - `judgement`: what any of these makes of an exec
//! - `incident`: one incident, with its `commands` and `pacing`; `index`: finds one; `incidents`: the life of all
//! - `suspects`, `proof`, `seeking`: shells on pipes whose way to a connection is sought or has to be proved
//! - `command_loops`: programs that hold a connection and run commands; `services`: connections that are meant to be
//! - `engine`: sends each observation to the part that it is for

mod argv;
mod command_loops;
mod commands;
mod dialect;
mod engine;
pub mod exceptions;
mod incident;
mod incidents;
mod index;
mod inspector;
mod judgement;
mod pacing;
mod proof;
mod relay;
mod requests;
mod rule;
mod seeking;
mod services;
mod snapshot;
mod suspects;
mod trace;
pub mod wire;

#[cfg(test)]
mod tests;

pub use self::{
    commands::COMMANDS_MAX,
    dialect::program_file,
    engine::Engine,
    incidents::Settings,
    inspector::Inspector,
    requests::Request,
    snapshot::{Command, EndReason, Link, Severity, Snapshot, State, Technique},
    wire::Delivery,
};
