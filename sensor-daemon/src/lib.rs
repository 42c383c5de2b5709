//! The sensor's user-space side, as a library so that every room can be tested by itself.
//!
//! Data takes one way through the house, downwards only:
//! `sources -> detect -> finding -> sinks`. `docs/architecture.md` has the picture.

// `json!` recurses once for each token of an object.
#![recursion_limit = "256"]

pub mod cli;
pub mod config;
pub mod detect;
pub mod enrich;
pub mod explain;
pub mod finding;
pub mod health;
pub mod model;
pub mod pipeline;
pub mod procfs;
pub mod programs;
pub mod sinks;
pub mod sources;
pub mod store;
