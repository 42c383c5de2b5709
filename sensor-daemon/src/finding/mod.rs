//! From an incident to what is written: one finding in Security Command Center's shape ([`scc()`]), or a few lines for a
//! person at a terminal ([`human()`]). Owns shapes and words; decides nothing. What it makes goes to `sinks/`.
//!
//! Everything a watched process chose is hostile: it goes into JSON through [`Text::to_text`](crate::model::Text) within
//! the bounds of `clip`, and to a terminal only through [`Text::for_terminal`](crate::model::Text).

mod clip;
pub(crate) mod describe;
pub(crate) mod human;
mod id;
mod properties;
mod report;
mod scc;
pub(crate) mod time;

#[cfg(test)]
mod tests;

pub use self::{
    human::human,
    id::finding_id,
    report::Report,
    scc::{CATEGORY, LINE_MAX, Line, MODULE, scc},
};
