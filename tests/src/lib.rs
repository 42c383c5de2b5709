//! The harness of the end-to-end tests: a real sensor, real programs, real sockets.
//!
//! [`suite`] runs named cases one after another against one sensor; [`lab`] is what a case works in; [`peer`] plays
//! the network peer; [`finding`] reads what the sensor wrote; [`journal`] and [`collector`] are where it writes besides;
//! [`hostile`] is a takeover that would harm whoever shows it; [`programs`] compiles attackers that no distribution
//! ships. The cases themselves are in `tests/`.
//!
//! The sensor sees the whole machine, and a case demands that nothing besides its own finding appears. So cases run
//! one at a time, and a second run on the same machine at the same time disturbs both.

pub mod carried;
pub mod collector;
pub mod containers;
pub mod deadline;
pub mod finding;
pub mod hostile;
pub mod journal;
pub mod lab;
pub mod network;
pub mod peer;
pub mod process;
pub mod programs;
pub mod sensor;
pub mod suite;
pub mod takeover;
pub mod tls;
pub mod tools;
