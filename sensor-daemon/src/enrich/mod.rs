//! What is added from the machine around. To an observation, before it is judged: the identity of programs, containers, the host. To
//! a report, after it was written first: all of [`Context`](crate::model::Context), found out by the [`Enricher`]'s thread and kept by
//! [`Contexts`]. Best effort; whatever can't be had is left out.

mod account;
pub mod cloud;
pub mod container;
mod contexts;
mod enricher;
mod environment;
pub mod host;
mod posture;
mod surroundings;
#[cfg(test)]
mod tests;

pub use self::{
    contexts::Contexts,
    enricher::{Enricher, Learnt, Wanted},
};
