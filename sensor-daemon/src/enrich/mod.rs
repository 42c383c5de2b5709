//! What is added to an observation from the machine around it: the identity of programs, the host. Best effort; whatever
//! can't be had is left out.

pub mod content;
pub mod host;
pub mod identity;
