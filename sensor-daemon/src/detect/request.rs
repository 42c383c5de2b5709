//! What the engine asks the source of its observations to do from now on.

use crate::model::{Flow, ProcessId};

/// A request to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Report what this process and its children execute.
    Follow(ProcessId),
    /// Stop reporting what this process executes.
    Unfollow(ProcessId),
    /// Report it when this process connects to somebody.
    ReportConnects(ProcessId),
    /// Sample what this flow delivers.
    Watch(Flow),
    /// Stop sampling this flow.
    Unwatch(Flow),
}
