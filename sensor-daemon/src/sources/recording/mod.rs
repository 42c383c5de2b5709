//! Recordings: everything that happened to the engine, as JSON lines, so that it can happen again elsewhere. Owns the format;
//! `writer` makes recordings, `reader` reads them, `world` answers the engine from one.
//!
//! The first line is the [`Header`]. After it, each [`Turn`] of the engine is one [`Line`], completed as the engine got it,
//! followed by a line for each question that the engine asked meanwhile, with the answer, and by what the findings of that
//! turn carried besides (losses, the clock) where that changed. Bytes of connections are never recorded, only whether
//! they were what the engine asked for.
//!
//! No line is long: who is at the other end of a stream is a line for each of them.

mod reader;
#[cfg(test)]
mod tests;
mod world;
mod writer;

use serde::{Deserialize, Serialize};

pub use self::{
    reader::{Ending, Reader, RecordedTurn, RecordingError},
    world::RecordedWorld,
    writer::{Recorder, RecordingWorld},
};
use crate::{
    detect::{Delivery, Engine, Inspector, Request, Snapshot},
    model::{BootTime, Coverage, Flow, Holder, Host, Losses, Observation, ProcessId, Stream},
};

/// Version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Longest line that is read, in bytes. Those that are written stay far below.
pub const LINE_MAX: usize = 4 << 20;
/// How late the engine may be told that a deadline has passed without its being noted.
const LATE_NS: u64 = 1_000_000_000;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Version of the format; its name tells what the file is.
    pub sensor_recording: u32,
    /// Version of the sensor that recorded.
    pub sensor: String,
    /// Findings below this severity were not reported, and not followed in every detail.
    pub min_severity: String,
    /// The machine that was watched.
    pub host: Host,
    /// What the source could see, since recordings say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
}

/// Something that happens to the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Something was seen.
    Observe(Observation),
    /// A deadline was reached.
    Tick(BootTime),
    /// The source denied a request.
    Denied(BootTime, Request),
    /// The sensor stops.
    Finish(BootTime),
}

impl Turn {
    /// When.
    #[must_use]
    pub fn time(&self) -> BootTime {
        match self {
            Self::Observe(observation) => observation.time(),
            Self::Tick(time) | Self::Denied(time, _) | Self::Finish(time) => *time,
        }
    }

    /// Lets it happen.
    pub fn happen(self, engine: &mut Engine, world: &dyn Inspector) -> Vec<Snapshot> {
        match self {
            Self::Observe(observation) => engine.observe(observation, world),
            Self::Tick(now) => engine.tick(now, world),
            Self::Denied(now, request) => engine.denied(now, request),
            Self::Finish(now) => engine.finish(now),
        }
    }

    /// The engine's deadline that passed long before this without its being told so: the machine slept, or was busy. A
    /// replay under other settings tells the engine of its deadlines where the recording could not, and must not do so where
    /// they were missed in fact.
    #[must_use]
    pub fn missed(&self, engine: &Engine) -> Option<BootTime> {
        engine
            .next_deadline()
            .filter(|deadline| self.time().since(*deadline) > LATE_NS)
    }
}

/// A line after the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// A turn.
    Observe(Observation),
    /// A turn.
    Tick(BootTime),
    /// A turn.
    Denied(BootTime, Request),
    /// The last turn.
    Finish(BootTime),
    /// Before a turn: this deadline had been missed by then.
    Missed(BootTime),
    /// A question and its answer.
    HoldsSocket {
        process: ProcessId,
        inode: u64,
        answer: bool,
    },
    /// A question and its answer.
    IsAlive { process: ProcessId, answer: bool },
    /// A question; the answer is that many lines of the next kind.
    Opposite { stream: Stream, holders: usize },
    /// Part of an answer.
    Holder(Holder),
    /// A question and its answer.
    Delivered {
        flow: Flow,
        since: BootTime,
        answer: Delivery,
    },
    /// What was lost until the findings of this turn were written.
    Losses(Losses),
    /// Unix time of boot in nanoseconds from this turn's findings on: somebody set the clock.
    Clock(i64),
}

/// What the engine asks of the world, as far as it tells one question from another.
#[derive(Clone, Debug, PartialEq)]
enum Question {
    HoldsSocket(ProcessId, u64),
    IsAlive(ProcessId),
    Opposite(Stream),
    /// Since when is left out: under other settings the engine may have looked before.
    Delivered(Flow),
}

/// What it was told.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Is(bool),
    Holders(Vec<Holder>),
    Delivery(Delivery),
}
