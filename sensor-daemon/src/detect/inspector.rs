//! What the engine asks of the host while it judges an observation. A live host answers from the kernel, a replay from its
//! recording, a test from a table.

use crate::model::{BootTime, Flow, Holder, ProcessId, Stream, Text};

use super::wire::Delivery;

/// Answers about processes, streams and watched flows as they are at this moment.
pub trait Inspector {
    /// Whether that very process is alive and has the socket with this inode number open on any descriptor.
    ///
    /// Where that can't be told (no right to look), the answer is yes: an incident that ends too early is worse than one
    /// that ends late.
    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool;

    /// Whether that very process is alive. Where that can't be told, the answer is yes.
    fn is_alive(&self, process: ProcessId) -> bool;

    /// Who has the other end of this pipe, terminal or UNIX socket open, each with everything else of theirs that bytes
    /// travel through. Of a pipe, everybody who has it open.
    fn opposite(&self, stream: &Stream) -> Vec<Holder>;

    /// What a watched flow delivered after `since`, held against the texts of a command.
    fn delivered(&self, flow: Flow, since: BootTime, texts: &[Text]) -> Delivery;
}
