//! Drives sinks: a thread each, which follows the record of findings at the sink's own pace. A sink that stalls or fails holds up
//! nobody else, and gets what it has not had when it works again.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Sink;
use crate::store::{Follower, Store};

/// States that a sink takes between two notes of its place.
const BATCH: usize = 32;
/// The first and the longest pause before a report is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a sink did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// States delivered.
    pub delivered: u64,
    /// Why the last try failed; `None` while it works.
    pub failing: Option<String>,
    /// It will take nothing any more.
    pub ended: bool,
}

/// A sink that can't be written to ever again, and why.
#[derive(Debug)]
pub struct Broken {
    /// The sink.
    pub sink: String,
    /// Why.
    pub error: io::Error,
}

/// A driven sink.
pub struct Driven {
    /// What it is called.
    pub name: String,
    status: Arc<Mutex<Status>>,
    thread: JoinHandle<()>,
}

impl Driven {
    /// What it did so far.
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// Whether its thread has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to drive a sink. `broken` hears of it if nobody reads what it writes any more.
///
/// # Errors
/// A thread can't be started.
pub fn drive(sink: Box<dyn Sink>, store: &Store, broken: mpsc::UnboundedSender<Broken>) -> io::Result<Driven> {
    let name = sink.name().to_owned();
    let status = Arc::new(Mutex::new(Status::default()));
    let driver = Driver {
        follower: store.follow(&name),
        status: Arc::clone(&status),
        sink,
    };
    let thread = std::thread::Builder::new()
        .name("sink".into())
        .spawn(move || driver.run(&broken))?;
    Ok(Driven { name, status, thread })
}

struct Driver {
    sink: Box<dyn Sink>,
    follower: Follower,
    status: Arc<Mutex<Status>>,
}

impl Driver {
    fn run(mut self, broken: &mpsc::UnboundedSender<Broken>) {
        while let Some(batch) = self.follower.next(BATCH) {
            for (seq, report) in batch {
                match self.deliver(&report) {
                    Outcome::Delivered => self.follower.done(seq),
                    Outcome::GivenUp => return lock(&self.status).ended = true,
                    Outcome::Broken(error) => {
                        lock(&self.status).ended = true;
                        let sink = self.sink.name().to_owned();
                        // Nobody listens once the sensor ends.
                        let _ = broken.send(Broken { sink, error });
                        return;
                    }
                }
            }
        }
        lock(&self.status).ended = true;
    }

    /// Tries until the report is delivered, or there is no use in it.
    fn deliver(&mut self, report: &crate::finding::Report) -> Outcome {
        let mut pause = PAUSE_MIN;
        loop {
            match self.sink.deliver(report) {
                Ok(()) => {
                    let mut status = lock(&self.status);
                    status.delivered += 1;
                    if status.failing.take().is_some() {
                        info!("{} takes findings again", self.sink.name());
                    }
                    return Outcome::Delivered;
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.sink.name() == super::stdout::NAME => {
                    return Outcome::Broken(error);
                }
                Err(error) => {
                    let text = error.to_string();
                    let mut status = lock(&self.status);
                    if status.failing.as_ref() != Some(&text) {
                        warn!(
                            "{} does not take findings: {text}; they are kept and delivered when it does",
                            self.sink.name()
                        );
                        status.failing = Some(text);
                    }
                }
            }
            if self.follower.pause(pause) {
                return Outcome::GivenUp;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

enum Outcome {
    Delivered,
    /// The sensor ends.
    GivenUp,
    /// Nobody reads it any more.
    Broken(io::Error),
}
