//! Writes a recording beside a running sensor. A disk that is full ends the recording, never the sensor.

use std::{
    cell::{Cell, RefCell},
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tracing::warn;

use super::{Header, Line, Turn, VERSION};
use crate::{
    detect::{Delivery, Engine, Inspector, Severity},
    model::{BootTime, Coverage, Flow, Holder, Host, Losses, ProcessId, Stream, Text},
};

/// A recording that is being written.
pub struct Recorder {
    path: PathBuf,
    /// `None` once it could not be written to.
    out: RefCell<Option<Box<dyn Write>>>,
    /// What the last findings carried.
    losses: Cell<Losses>,
    boot_unix_ns: Cell<i64>,
}

impl Recorder {
    /// Makes the file, which must not exist: it holds arguments of commands, passwords among them, so that nobody but its
    /// owner may read it, and nobody may have prepared it.
    ///
    /// # Errors
    /// The file exists, or can't be made or written.
    pub fn create(path: &Path, host: &Host, coverage: Coverage, min_severity: Severity) -> io::Result<Self> {
        let file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Self::into(path, Box::new(BufWriter::new(file)), host, Some(coverage), min_severity)
    }

    /// Records into `out`; `path` is what warnings call it.
    pub(super) fn into(
        path: &Path,
        out: Box<dyn Write>,
        host: &Host,
        coverage: Option<Coverage>,
        min_severity: Severity,
    ) -> io::Result<Self> {
        let recorder = Self {
            path: path.to_owned(),
            out: RefCell::new(Some(out)),
            losses: Cell::default(),
            boot_unix_ns: Cell::new(host.boot_unix_ns),
        };
        let header = Header {
            sensor_recording: VERSION,
            sensor: env!("CARGO_PKG_VERSION").into(),
            min_severity: min_severity.name().to_ascii_lowercase(),
            host: host.clone(),
            coverage,
        };
        recorder.try_put(&header)?;
        recorder.try_flush()?;
        Ok(recorder)
    }

    /// Notes a turn, before the engine takes it.
    pub fn turn(&self, turn: &Turn, engine: &Engine) {
        if let Some(deadline) = turn.missed(engine) {
            self.put(&Line::Missed(deadline));
        }
        self.put(&match turn.clone() {
            Turn::Observe(observation) => Line::Observe(observation),
            Turn::Tick(now) => Line::Tick(now),
            Turn::Denied(now, request) => Line::Denied(now, request),
            Turn::Finish(now) => Line::Finish(now),
        });
    }

    /// Notes what the findings of the turn carry besides.
    pub fn findings(&self, losses: Losses, boot_unix_ns: i64) {
        if self.losses.replace(losses) != losses {
            self.put(&Line::Losses(losses));
        }
        if self.boot_unix_ns.replace(boot_unix_ns) != boot_unix_ns {
            self.put(&Line::Clock(boot_unix_ns));
        }
    }

    /// Hands everything to the operating system: to be done when there is nothing else to do.
    pub fn flush(&self) {
        if let Err(error) = self.try_flush() {
            self.fail(&error);
        }
    }

    /// A world that answers as `world` does, with every answer noted.
    pub fn watching<'a>(&'a self, world: &'a dyn Inspector) -> RecordingWorld<'a> {
        RecordingWorld { recorder: self, world }
    }

    fn put(&self, line: &Line) {
        if let Err(error) = self.try_put(line) {
            self.fail(&error);
        }
    }

    fn try_put(&self, line: &impl Serialize) -> io::Result<()> {
        let mut out = self.out.borrow_mut();
        let Some(out) = out.as_mut() else { return Ok(()) };
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        out.write_all(&text)
    }

    fn try_flush(&self) -> io::Result<()> {
        self.out.borrow_mut().as_mut().map_or(Ok(()), |out| out.flush())
    }

    fn fail(&self, error: &io::Error) {
        self.out.take();
        warn!(
            "the recording {} can't be written to any more ({error}): it ends here, and can be replayed until here; the \
             sensor goes on without",
            Text::from(self.path.display().to_string().as_str()).for_terminal()
        );
    }
}

/// Answers as another world does, and notes it.
pub struct RecordingWorld<'a> {
    recorder: &'a Recorder,
    world: &'a dyn Inspector,
}

impl Inspector for RecordingWorld<'_> {
    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool {
        let answer = self.world.holds_socket(process, inode);
        self.recorder.put(&Line::HoldsSocket { process, inode, answer });
        answer
    }

    fn is_alive(&self, process: ProcessId) -> bool {
        let answer = self.world.is_alive(process);
        self.recorder.put(&Line::IsAlive { process, answer });
        answer
    }

    fn opposite(&self, stream: &Stream) -> Vec<Holder> {
        let holders = self.world.opposite(stream);
        self.recorder.put(&Line::Opposite {
            stream: stream.clone(),
            holders: holders.len(),
        });
        for holder in &holders {
            self.recorder.put(&Line::Holder(holder.clone()));
        }
        holders
    }

    fn delivered(&self, flow: Flow, since: BootTime, texts: &[Text]) -> Delivery {
        let answer = self.world.delivered(flow, since, texts);
        self.recorder.put(&Line::Delivered { flow, since, answer });
        answer
    }
}
