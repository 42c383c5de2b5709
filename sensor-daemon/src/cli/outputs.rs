//! Where findings are kept and where they go: the options of `run` and `record`, and what they start.

use std::{
    io,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::reporting::Format;
use crate::{
    finding::Report,
    sinks::{
        Sink,
        driver::{self, Broken, Driven},
        file::Appended,
        journald::{self, Journald},
        stdout::{self, Stdout},
        syslog::{Collector, Syslog},
    },
    store::{self, Place, Retention, Store},
};

/// How often it is looked whether all sinks have ended.
const POLL: Duration = Duration::from_millis(5);

/// Options of commands that watch.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Options {
    /// Where findings go, several times for several places: stdout; journald (systemd's journal, with fields to filter by);
    /// file=PATH (lines in the format of --format, opened anew on SIGHUP); syslog=unix:/dev/log, syslog=udp:HOST:PORT or
    /// syslog=tcp:HOST:PORT (RFC 5424). One that does not take them for a while gets them later
    #[arg(long, value_name = "PLACE", default_value = "stdout")]
    output: Vec<Output>,
    /// Directory in which findings are kept, and how far each output has come. Without it $STATE_DIRECTORY (systemd sets it) is
    /// used, else /var/lib/sensor-daemon if that exists, else memory: then what was not delivered ends with the sensor
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
    /// Add to each JSON line of the standard output what Google Cloud's logging agents understand (severity, message, time,
    /// labels, insertId), so that Cloud Run and GKE show findings as what they are
    #[arg(long)]
    cloud_logging: bool,
}

/// A place for findings.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Output {
    Stdout,
    Journald,
    File(PathBuf),
    Syslog(Collector),
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "stdout" => Ok(Self::Stdout),
            None if text == "journald" => Ok(Self::Journald),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("syslog", collector)) => collector.parse().map(Self::Syslog),
            _ => Err("write stdout, journald, file=PATH, or syslog=unix:/dev/log".to_owned()),
        }
    }
}

impl Options {
    /// Opens the record of findings and starts every output.
    ///
    /// # Errors
    /// An output is named twice, or can't be started.
    pub(super) fn start(&self, format: Format, retention: Retention) -> anyhow::Result<(Outputs, Failures)> {
        let reopen = Arc::new(AtomicBool::new(false));
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        for output in &self.output {
            let sink: Box<dyn Sink> = match output {
                Output::Stdout => {
                    let format = if self.cloud_logging {
                        Box::new(cloud_line)
                    } else {
                        format.for_stdout()
                    };
                    Box::new(Stdout::new(format).context("the standard output can't be used")?)
                }
                Output::File(path) => Box::new(Appended::new(path.clone(), format.for_lines(), Arc::clone(&reopen))),
                Output::Journald => Box::new(Journald::new(journald::SOCKET).context("the journal can't be used")?),
                Output::Syslog(collector) => Box::new(Syslog::new(collector.clone())),
            };
            if sinks.iter().any(|other| other.name() == sink.name()) {
                bail!("--output {} is given twice", sink.name());
            }
            sinks.push(sink);
        }
        let names: Vec<String> = sinks.iter().map(|sink| sink.name().to_owned()).collect();
        let place = self.place();
        match &place {
            Place::Directory(directory) => info!("findings are kept in {}", directory.display()),
            Place::Memory => info!(
                "findings are kept in memory only: there is no {}, and no --state-directory",
                store::DIRECTORY
            ),
        }
        let store = Store::start(&place, retention, &names)?;
        let (sender, broken) = mpsc::unbounded_channel();
        let driven: io::Result<Vec<Driven>> = sinks
            .into_iter()
            .map(|sink| driver::drive(sink, &store, sender.clone()))
            .collect();
        let driven = driven.context("the thread of an output could not be started")?;
        let failures = Failures {
            broken,
            outputs: driven.len(),
        };
        let outputs = Outputs { store, driven, reopen };
        Ok((outputs, failures))
    }

    fn place(&self) -> Place {
        let told = self.state_directory.clone();
        // systemd lists several with colons.
        let by_systemd = || std::env::var("STATE_DIRECTORY").ok();
        let first = |list: String| {
            list.split(':')
                .next()
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        let usual = || Some(PathBuf::from(store::DIRECTORY)).filter(|path| path.is_dir());
        told.or_else(|| by_systemd().and_then(first))
            .or_else(usual)
            .map_or(Place::Memory, Place::Directory)
    }
}

fn cloud_line(report: &Report) -> String {
    crate::finding::cloud_logging(report) + "\n"
}

/// What takes findings.
pub(super) struct Outputs {
    pub(super) store: Store,
    driven: Vec<Driven>,
    reopen: Arc<AtomicBool>,
}

/// Tells of outputs that will never take anything again.
pub(super) struct Failures {
    broken: mpsc::UnboundedReceiver<Broken>,
    outputs: usize,
}

impl Failures {
    /// Waits until nobody reads any finding any more; other outputs that end are told of.
    pub(super) async fn last(&mut self) -> io::Error {
        loop {
            let Some(Broken { sink, error }) = self.broken.recv().await else {
                return std::future::pending().await;
            };
            if self.outputs == 1 {
                return error;
            }
            warn!("{sink} can't be written to any more ({error}); the other outputs go on");
        }
    }
}

impl Outputs {
    /// Has files opened anew.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Keeps what was handed over, and waits until every output has it, but no longer than `patience`. Says what is left.
    pub(super) async fn finish(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.store.close();
        while self.driven.iter().any(|driven| !driven.has_ended()) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        let fate = if self.store.is_durable() {
            "they are delivered after the next start"
        } else {
            "they are lost"
        };
        for driven in &self.driven {
            let failing = driven.status().failing;
            if !driven.has_ended() || failing.is_some() {
                let name = if driven.name == stdout::NAME {
                    "standard output"
                } else {
                    &driven.name
                };
                let why = failing.map(|why| format!(" ({why})")).unwrap_or_default();
                warn!(
                    "{name} did not take the last findings within {} seconds{why}: {fate}",
                    patience.as_secs()
                );
            }
        }
        // A sink that is stuck holds no lock: the record is written by its own thread.
        let _ = tokio::time::timeout(patience, tokio::task::spawn_blocking(|| self.store.join())).await;
    }
}
