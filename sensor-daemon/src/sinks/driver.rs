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
                        return self.follower.leave();
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
                    let failed = {
                        let mut status = lock(&self.status);
                        status.delivered += 1;
                        status.failing.take().is_some()
                    };
                    if failed {
                        info!("{} takes findings again", self.sink.name());
                        self.follower.failing(None);
                    }
                    return Outcome::Delivered;
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.sink.name() == super::stdout::NAME => {
                    self.follower.failing(Some(&error.to_string()));
                    return Outcome::Broken(error);
                }
                Err(error) => self.fails(error.to_string()),
            }
            if self.follower.pause(pause) {
                return Outcome::GivenUp;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Says so once.
    fn fails(&self, why: String) {
        if lock(&self.status).failing.as_ref() == Some(&why) {
            return;
        }
        warn!(
            "{} does not take findings: {why}; they are kept and delivered when it does",
            self.sink.name()
        );
        self.follower.failing(Some(&why));
        lock(&self.status).failing = Some(why);
    }
}

enum Outcome {
    Delivered,
    /// The sensor ends.
    GivenUp,
    /// Nobody reads it any more.
    Broken(io::Error),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc as channel;

    use super::*;
    use crate::{
        finding::{
            Report,
            tests::{report, reverse_shell},
        },
        store::{Place, Retention},
    };

    /// Tells what it is asked to take, and does with it what it is told.
    struct Scripted {
        name: &'static str,
        asked: channel::Sender<String>,
        answers: channel::Receiver<io::Result<()>>,
    }

    impl Sink for Scripted {
        fn name(&self) -> &str {
            self.name
        }

        fn deliver(&mut self, report: &Report) -> io::Result<()> {
            self.asked.send(report.id.clone()).unwrap();
            // A test that has gone takes everything.
            self.answers.recv().unwrap_or(Ok(()))
        }
    }

    struct Driver {
        driven: Driven,
        asked: channel::Receiver<String>,
        answers: channel::Sender<io::Result<()>>,
        broken: mpsc::UnboundedReceiver<Broken>,
    }

    impl Driver {
        fn start(name: &'static str, store: &Store) -> Self {
            let ((asked, is_asked), (answers, answer), (broken, is_broken)) =
                (channel::channel(), channel::channel(), mpsc::unbounded_channel());
            let sink = Scripted {
                name,
                asked,
                answers: answer,
            };
            Self {
                driven: drive(Box::new(sink), store, broken).unwrap(),
                asked: is_asked,
                answers,
                broken: is_broken,
            }
        }

        /// The next that it is asked to take, which it answers so.
        fn answer(&self, answer: io::Result<()>) -> String {
            let id = self.asked.recv().unwrap();
            self.answers.send(answer).unwrap();
            id
        }

        fn fail(&self, kind: io::ErrorKind) -> String {
            self.answer(Err(kind.into()))
        }

        /// What it was asked to take since, once it has ended.
        fn end(self) -> (Status, Vec<String>) {
            let Self {
                driven,
                asked,
                answers,
                broken,
            } = self;
            drop((answers, broken));
            let status = Arc::clone(&driven.status);
            driven.thread.join().unwrap();
            let status = lock(&status).clone();
            (status, asked.iter().collect())
        }
    }

    fn store(sinks: &[&str]) -> Store {
        let sinks: Vec<_> = sinks.iter().map(|sink| (*sink).to_owned()).collect();
        Store::start(&Place::Memory, Retention::default(), &sinks).unwrap()
    }

    fn put(store: &Store, ids: &[&str]) {
        for id in ids {
            let mut report = report(&reverse_shell());
            report.id = (*id).to_owned();
            store.put(report);
        }
    }

    #[test]
    fn what_fails_is_tried_again_in_order_and_nothing_comes_twice() {
        let store = store(&["file=x"]);
        let driver = Driver::start("file=x", &store);
        put(&store, &["a", "b", "c"]);
        assert_eq!(driver.answer(Ok(())), "a");
        // Only the standard output is given up when nobody reads it.
        assert_eq!(driver.fail(io::ErrorKind::BrokenPipe), "b");
        assert_eq!(driver.fail(io::ErrorKind::StorageFull), "b");
        assert_eq!(driver.asked.recv().unwrap(), "b");
        let status = driver.driven.status();
        assert_eq!((status.delivered, status.ended), (1, false));
        assert_eq!(
            status.failing,
            Some(io::Error::from(io::ErrorKind::StorageFull).to_string())
        );
        driver.answers.send(Ok(())).unwrap();
        assert_eq!(driver.answer(Ok(())), "c");
        store.join();
        let (status, rest) = driver.end();
        let expected = Status {
            delivered: 3,
            failing: None,
            ended: true,
        };
        assert_eq!((status, rest), (expected, vec![]));
    }

    #[test]
    fn one_that_stalls_holds_up_neither_another_nor_the_record() {
        let store = store(&["file=stalls", "file=works"]);
        let (stalls, works) = (
            Driver::start("file=stalls", &store),
            Driver::start("file=works", &store),
        );
        put(&store, &["a"]);
        assert_eq!(stalls.asked.recv().unwrap(), "a");
        for id in ["a", "b", "c"] {
            if id != "a" {
                put(&store, &[id]);
            }
            assert_eq!(works.answer(Ok(())), id);
        }
        store.join();
        assert_eq!(works.end().0.delivered, 3);
        assert_eq!(stalls.driven.status().delivered, 0);
        let (status, rest) = stalls.end();
        assert_eq!((status.delivered, rest), (3, vec!["b".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn one_that_fails_when_the_sensor_ends_is_given_up_and_gets_it_after_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let start = || {
            let place = Place::Directory(directory.path().to_owned());
            Store::start(&place, Retention::default(), &["file=x".to_owned()]).unwrap()
        };
        let store = start();
        let driver = Driver::start("file=x", &store);
        put(&store, &["a", "b"]);
        assert_eq!(driver.answer(Ok(())), "a");
        assert_eq!(driver.asked.recv().unwrap(), "b");
        store.join();
        driver.answers.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        let (status, rest) = driver.end();
        assert_eq!((status.delivered, status.ended, rest), (1, true, vec![]));
        assert!(status.failing.is_some());
        let store = start();
        let driver = Driver::start("file=x", &store);
        assert_eq!(driver.answer(Ok(())), "b");
        store.join();
        assert_eq!(driver.end().0.delivered, 1);
    }

    #[test]
    fn a_standard_output_that_nobody_reads_is_told_of() {
        let store = store(&[super::super::stdout::NAME]);
        let mut driver = Driver::start(super::super::stdout::NAME, &store);
        put(&store, &["a", "b"]);
        assert_eq!(driver.fail(io::ErrorKind::BrokenPipe), "a");
        let broken = driver.broken.blocking_recv().unwrap();
        assert_eq!(
            (broken.sink.as_str(), broken.error.kind()),
            (super::super::stdout::NAME, io::ErrorKind::BrokenPipe)
        );
        let (status, rest) = driver.end();
        assert_eq!((status.delivered, status.ended, rest), (0, true, vec![]));
        store.join();
    }
}
