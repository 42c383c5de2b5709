//! What a source of observations is: three small traits, so that the pipeline, the engine and the findings can't tell which
//! source they have.
//!
//! One value implements all three. [`Events`] says what happens, [`Probe`] how things are at this moment, and [`Control`] takes
//! requests. A source need not grant a request: a source without eBPF, for example, answers every [`Control::watch`] with [`Denied`],
//! and no command counts as delivered. What a source can't see at all it says in its [`Coverage`].
//!
//! A source identifies nothing and judges nothing: programs, containers and ancestors are filled in by the pipeline.

use std::{future::Future, io};

use sensor_common::first_argument::ProgramFile;

use crate::model::{BootTime, Coverage, Executable, Flow, Losses, Observation, OpenFiles, ProcessId};

/// What happens.
pub trait Events {
    /// Waits until [`Self::next`] has an observation. May be dropped while it waits, and nothing is lost.
    ///
    /// # Errors
    /// The source can't be waited for, which ends the sensor.
    fn ready(&mut self) -> impl Future<Output = io::Result<()>>;

    /// The next observation; `None` if there is none at the moment.
    fn next(&mut self) -> Option<Observation>;

    /// What this source has lost since it started.
    fn losses(&self) -> Losses;

    /// What this source can see.
    fn coverage(&self) -> Coverage;
}

/// How things are at this moment.
pub trait Probe {
    /// Everything that is open on the machine and that bytes travel through.
    fn open_files(&mut self) -> OpenFiles;

    /// Whether this very process is alive. Where that can't be told, the answer is yes.
    fn is_alive(&self, process: ProcessId) -> bool;

    /// Whether this very process is alive and has the socket open. Where that can't be told, the answer is yes.
    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool;

    /// The last packets of a watched flow with their times, oldest first; `None` if the flow is not watched.
    fn delivered(&self, flow: Flow) -> Option<Vec<(BootTime, Vec<u8>)>>;
}

/// What the source should do from now on.
pub trait Control {
    /// Sets or removes a mark of a process.
    ///
    /// # Errors
    /// The source can't do so.
    fn mark(&mut self, process: ProcessId, mark: Mark, set: bool) -> Result<(), Denied>;

    /// Begins to sample what a flow delivers.
    ///
    /// # Errors
    /// The source can't do so.
    fn watch(&mut self, flow: Flow) -> Result<(), Denied>;

    /// Stops sampling a flow.
    fn unwatch(&mut self, flow: Flow);

    /// Reports the end of this process, which no exec told of.
    ///
    /// # Errors
    /// The source can't do so.
    fn track(&mut self, process: ProcessId) -> Result<(), Denied>;

    /// Takes note of what the file is that the last observation executed, if the source does not know it yet.
    ///
    /// # Errors
    /// The source can't do so.
    fn learn_file(&mut self, file: &Executable, program: ProgramFile) -> Result<(), Denied>;
}

/// What a process is to the sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The process belongs to a session that is followed: its execs are reported.
    Session,
    /// The process may relay for a shell: its connects are reported.
    Neighbour,
}

/// A request that was not granted, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Denied(pub String);

impl Denied {
    /// A request was not granted because of this error.
    pub(super) fn because(error: impl std::error::Error) -> Self {
        Self(error.to_string())
    }
}
