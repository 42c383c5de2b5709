//! What is added from the machine around. To an observation, before it is judged: the identity of programs, containers, the host. To
//! a report, after it was written first: all of [`Context`](crate::model::Context), found out by the [`Enricher`]'s thread. `pipeline/contexts` keeps it
//! and adds it to reports. Best effort; whatever can't be had is left out.

mod account;
pub mod cloud;
pub mod container;
mod enricher;
mod environment;
pub mod host;
mod posture;
mod surroundings;

pub use self::enricher::{Enricher, JOBS_MAX, Job, Learnt, Wanted};
