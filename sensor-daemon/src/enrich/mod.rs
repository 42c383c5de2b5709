//! What is added to an observation from the machine around it: the identity of programs, containers, the host. Best effort; whatever
//! can't be had is left out.

pub mod container;
pub mod content;
pub mod host;
pub mod identity;
