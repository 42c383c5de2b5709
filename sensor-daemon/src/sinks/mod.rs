//! Where findings go: standard output, a file, systemd's journal, a syslog collector. Each follows the record of findings
//! ([`driver`]).

pub mod destination;
pub mod driver;
mod fields;
pub mod file;
pub mod journald;
pub mod stdout;
pub mod syslog;

use std::io;

use crate::finding::Report;

/// Takes findings somewhere.
pub trait Sink: Send {
    /// What it is called in diagnostics, and in the record of findings: as people write its [`Destination`](destination::Destination).
    fn name(&self) -> &str;

    /// Hands a report over, and waits until that is done. Called from a thread of the sink's own.
    ///
    /// # Errors
    /// The sink did not take it. The report is handed over again later: delivery is at-least-once.
    fn deliver(&mut self, report: &Report) -> io::Result<()>;
}
