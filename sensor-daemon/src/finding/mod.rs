//! From an incident to what is written: one finding in the shape of Security Command Center ([`scc()`]), OCSF ([`ocsf()`]) or the
//! Elastic Common Schema ([`ecs()`]), or a few lines for a person at a terminal ([`human()`]). Owns shapes and words; decides
//! nothing. What it makes goes to `sinks/`.
//!
//! Everything a watched process chose is hostile: it goes into JSON through [`Text::to_text`](crate::model::Text) within
//! their `bounds`, and to a terminal only through [`Text::for_terminal`](crate::model::Text).

mod advice;
mod bounds;
mod clip;
mod cloud_logging;
pub(crate) mod columns;
mod connection;
pub(crate) mod describe;
mod ecs;
mod format;
pub(crate) mod human;
mod id;
pub mod json;
mod ocsf;
mod process;
mod properties;
mod report;
mod scc;
pub(crate) mod time;
pub(crate) mod typed;

#[cfg(test)]
pub(crate) mod tests;

/// The category of every finding.
pub const CATEGORY: &str = "Execution: Possible Remote Command Execution Detected";
/// The detector's name.
pub const MODULE: &str = "HOST_POSSIBLE_REMOTE_COMMAND_EXECUTION_DETECTED";

pub use self::{
    bounds::LINE_MAX,
    describe::sentence,
    ecs::ecs,
    format::{Encoding, Format},
    human::human,
    id::finding_id,
    ocsf::ocsf,
    report::{Arguments, Closed, Report},
    scc::scc,
    time::updated,
};
pub(crate) use self::{clip::command_line, connection::direction};
