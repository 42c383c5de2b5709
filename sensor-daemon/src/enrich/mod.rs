//! What is added from the machine around. To an observation, before it is judged: the identity of programs, containers, the host. To
//! a report, after it was written first: all of [`Context`](crate::model::Context), found out by the [`Enricher`]'s thread and kept by
//! [`Contexts`]. Best effort; whatever can't be had is left out.

mod account;
pub mod cloud;
pub mod container;
pub mod content;
mod contexts;
mod digest;
mod enricher;
mod environment;
pub mod host;
pub mod identity;
mod posture;
mod rooted;
pub mod stamp;
mod surroundings;
#[cfg(test)]
mod tests;
mod whereabouts;

pub use self::{
    contexts::Contexts,
    enricher::{Enricher, Learnt, Wanted},
};
