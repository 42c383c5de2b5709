//! Where observations come from.
//!
//! `source` says what a source is. `ebpf` is the kernel side, loaded and decoded. `recording` keeps in a file what happened to the
//! engine and gives it back. What becomes of an observation is not their business: the pipeline completes it and hands it on.

pub mod ebpf;
pub mod recording;
mod source;

pub use self::source::{Control, Denied, Events, Mark, Probe};
