//! Where observations come from. Every source yields [`crate::model::Observation`]; what becomes of it is not its business.
//!
//! `ebpf` is the kernel side, loaded and decoded; `running` finds what was there before it; `procfs` answers questions about
//! live processes.

pub mod ebpf;
pub mod procfs;
pub mod running;
