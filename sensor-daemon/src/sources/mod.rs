//! Where observations come from. Every source yields [`crate::model::Observation`]; what becomes of it is not its business.
//!
//! `ebpf` is the kernel side, loaded and decoded; `running` finds what was there before it; `world` answers the engine's
//! questions and grants its wishes. `recording` keeps all of that in a file, and gives it back.

pub mod ebpf;
pub mod recording;
pub mod running;
pub mod world;
