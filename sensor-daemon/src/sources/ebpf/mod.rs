//! The kernel side, from user space.
//!
//! - `load` resolves offsets (`btf`, `attach_types`), makes the maps, loads and attaches the programs that `specs` lists
//! - `source` is the kernel side at work: it drains the ring buffer (`decode` reads its records), counts losses (`missed`
//!   for runs that the kernel left out) and carries out requests in the maps (`tables`, `wire`) or by the iterator over open
//!   files (`descriptors`)
//!
//! Which prerequisite is missing when loading fails is the business of `health::doctor`.

mod attach_types;
pub mod btf;
pub mod decode;
pub mod descriptors;
mod load;
pub mod missed;
mod source;
mod specs;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod wire;

pub use self::{
    load::{LoadError, LoadOptions, Loader, Opened},
    source::{Attached, coverage},
    specs::{OPTIONAL, OptionalSpec, PROGRAMS, ProgramSpec, STREAM_MOVED, WIRE},
};
