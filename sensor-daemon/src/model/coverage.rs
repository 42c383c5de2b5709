//! What a source can see at all.

use serde::{Deserialize, Serialize};

/// What a source of observations can see. A finding carries it, so that what could not have been seen is said.
///
/// For example, a sensor in a container of its own sees execs and connections of the host, but not the other processes'
/// numbers: `process_numbers` is false, and no running process was looked at.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a sense of its own, and any may be missing"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Coverage {
    /// Execs are reported.
    pub execs: bool,
    /// The ends of processes and sockets are reported.
    pub exits: bool,
    /// Connects of processes that may relay are reported.
    pub connects: bool,
    /// A connection that is moved to a running program's streams is reported.
    pub moved_streams: bool,
    /// What a connection delivers can be sampled.
    pub deliveries: bool,
    /// The numbers of processes are those of `/proc`, so that a running process can be looked at.
    pub process_numbers: bool,
}

impl Coverage {
    /// Each sense by its name in findings, and whether the source has it.
    #[must_use]
    pub fn senses(self) -> [(&'static str, bool); 6] {
        let Self {
            execs,
            exits,
            connects,
            moved_streams,
            deliveries,
            process_numbers,
        } = self;
        [
            ("execs", execs),
            ("exits", exits),
            ("connects", connects),
            ("moved_streams", moved_streams),
            ("deliveries", deliveries),
            ("process_numbers", process_numbers),
        ]
    }
}
