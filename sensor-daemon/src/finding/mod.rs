//! From an incident to what is written: one finding in the shape of Security Command Center ([`scc()`]), OCSF ([`ocsf()`]) or the
//! Elastic Common Schema ([`ecs()`]), or a few lines for a person at a terminal ([`human()`]). Owns shapes and words; decides
//! nothing. What it makes goes to `sinks/`.
//!
//! Everything a watched process chose is hostile: it goes into JSON through [`Text::to_text`](crate::model::Text) within
//! their `bounds`, and to a terminal only through [`Text::for_terminal`](crate::model::Text).

mod bounds;
mod clip;
mod cloud_logging;
pub(crate) mod columns;
mod connection;
pub(crate) mod describe;
mod ecs;
mod environment;
mod format;
pub(crate) mod human;
mod id;
pub mod json;
mod members;
mod ocsf;
mod properties;
mod report;
mod scc;
mod scc_place;
mod surroundings;
pub(crate) mod time;
pub(crate) mod typed;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::clip::command_line;
pub use self::{
    bounds::LINE_MAX,
    cloud_logging::cloud_logging,
    describe::sentence,
    ecs::ecs,
    format::{Encoding, Format},
    human::human,
    id::finding_id,
    ocsf::ocsf,
    report::{Arguments, Closed, Report},
    scc::{CATEGORY, Line, MODULE, scc},
    time::updated,
};
