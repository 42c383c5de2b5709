//! Where findings are kept and where they go: the options of `run` and `record`, over what the configuration file says, and what
//! they start.

use std::{
    fs::File,
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::reporting::{self, Told};
use crate::{
    finding::{Encoding, Format},
    sinks::{
        Sink,
        destination::{self, Destination},
        driver::{self, Broken, Driven},
        file::Appended,
        journald::{self, Journald},
        stdout::{self, Stdout},
        syslog::Syslog,
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
    /// syslog=tcp:HOST:PORT (RFC 5424). A place that takes no findings for a while gets them later. This option replaces all places
    /// of the configuration file (`output`). If neither names a place, findings go to stdout; to journald if stdout is the journal
    /// and no format was asked for
    #[arg(long, value_name = "PLACE")]
    output: Vec<Destination>,
    /// Directory in which findings are kept, and how far each output has come. Goes before the configuration file's ([store]
    /// `directory`). Without either $STATE_DIRECTORY (systemd sets it) is used, else /var/lib/sensor-daemon if that exists, else
    /// memory: then what was not delivered ends with the sensor
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
    /// Add to each JSON line of the standard output what Google Cloud's logging agents understand (severity, message, time,
    /// labels, insertId), so that Cloud Run and GKE show findings as what they are. Goes before what the configuration file
    /// says; so does a --format
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    cloud_logging: Option<bool>,
}

impl Options {
    /// The options, and where they say nothing, the file.
    ///
    /// # Errors
    /// An output is named twice.
    pub(super) fn over(&self, told: &Told) -> anyhow::Result<Plan> {
        if let Some(output) = destination::repeated(&self.output) {
            bail!("--output {output} is given twice");
        }
        let cloud_logging = self.cloud_logging.or(told.delivery.cloud_logging).unwrap_or(false);
        let named = [&self.output, &told.delivery.destinations];
        let destinations = match named.into_iter().find(|named| !named.is_empty()) {
            Some(named) => named.clone(),
            None if told.format == Format::Auto && !cloud_logging && is_journal() => vec![Destination::Journald],
            None => vec![Destination::Stdout],
        };
        Ok(Plan {
            destinations,
            format: told.format,
            cloud_logging,
            place: place(self.state_directory.as_ref().or(told.store.directory.as_ref())),
            retention: told.store.retention,
        })
    }
}

/// Where findings are kept, if this directory was named or none was.
fn place(told: Option<&PathBuf>) -> Place {
    // systemd lists several with colons.
    let by_systemd = || std::env::var("STATE_DIRECTORY").ok();
    let first = |list: String| {
        list.split(':')
            .next()
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let usual = || Some(PathBuf::from(store::DIRECTORY)).filter(|path| path.is_dir());
    told.cloned()
        .or_else(|| by_systemd().and_then(first))
        .or_else(usual)
        .map_or(Place::Memory, Place::Directory)
}

/// Whether standard output is the journal: then each finding may as well have its fields there.
fn is_journal() -> bool {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let stream = std::env::var("JOURNAL_STREAM").ok();
    stream
        .zip(stdout.ok())
        .is_some_and(|(stream, stdout)| is_stream(&stream, &stdout))
}

/// Whether this is the stream that a service manager describes so, and not one that was put in its place later.
fn is_stream(described: &str, stream: &File) -> bool {
    stream
        .metadata()
        .is_ok_and(|stream| described == format!("{}:{}", stream.dev(), stream.ino()))
}

/// What was asked for, by whichever of them.
pub(super) struct Plan {
    destinations: Vec<Destination>,
    format: Format,
    cloud_logging: bool,
    place: Place,
    retention: Retention,
}

impl Plan {
    /// Opens the record of findings and starts every output.
    ///
    /// # Errors
    /// An output can't be started.
    pub(super) fn start(&self) -> anyhow::Result<(Outputs, Failures)> {
        let reopen = Arc::new(AtomicBool::new(false));
        let sinks = self
            .destinations
            .iter()
            .map(|destination| self.sink(destination, &reopen));
        let sinks = sinks.collect::<anyhow::Result<Vec<_>>>()?;
        let names: Vec<String> = sinks.iter().map(|sink| sink.name().to_owned()).collect();
        match &self.place {
            Place::Directory(directory) => info!("findings are kept in {}", directory.display()),
            Place::Memory => info!(
                "findings are kept in memory only: there is no {}, and no other directory was named",
                store::DIRECTORY
            ),
        }
        let store = Store::start(&self.place, self.retention, &names)?;
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

    fn sink(&self, destination: &Destination, reopen: &Arc<AtomicBool>) -> anyhow::Result<Box<dyn Sink>> {
        Ok(match destination {
            Destination::Stdout => {
                let encoding = if self.cloud_logging {
                    Encoding::CloudLogging
                } else {
                    reporting::for_stdout(self.format)
                };
                Box::new(Stdout::new(encoding).context("the standard output can't be used")?)
            }
            Destination::File(path) => {
                Box::new(Appended::new(path.clone(), self.format.encoding(), Arc::clone(reopen)))
            }
            Destination::Journald => Box::new(Journald::new(journald::SOCKET).context("the journal can't be used")?),
            Destination::Syslog(collector) => Box::new(Syslog::new(collector.clone())),
        })
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::net::UnixStream;

    use clap::Parser;

    use super::*;
    use crate::cli::reporting;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        options: reporting::Options,
        #[command(flatten)]
        outputs: Options,
    }

    /// What is planned, if the file says this and the command line that.
    fn plan(file: &str, arguments: &[&str]) -> anyhow::Result<Plan> {
        let config = tempfile::NamedTempFile::new()?;
        std::fs::write(&config, file)?;
        let config = config.path().to_str().unwrap();
        let line = CommandLine::try_parse_from([&["test", "--config", config], arguments].concat())?;
        line.outputs.over(&line.options.told()?)
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_that_before_the_default() {
        const FILE: &str = "output = ['file=/a', 'journald']\nformat = 'ecs'\ncloud_logging = true\n\
                            [store]\ndirectory = '/state'\nmax_size_mib = 1";
        for (file, arguments, outputs, format, cloud_logging) in [
            ("", &[][..], &["stdout"][..], Format::Auto, false),
            (FILE, &[], &["file=/a", "journald"], Format::Ecs, true),
            (FILE, &["--output=stdout"], &["stdout"], Format::Ecs, true),
            // It says how standard output is written, and so may not be overruled by the file.
            (FILE, &["--format=auto"], &["file=/a", "journald"], Format::Auto, false),
            (
                FILE,
                &["--cloud-logging=false"],
                &["file=/a", "journald"],
                Format::Ecs,
                false,
            ),
            (
                "",
                &["--cloud-logging", "--format=ocsf"],
                &["stdout"],
                Format::Ocsf,
                true,
            ),
            ("cloud_logging = true", &[], &["stdout"], Format::Auto, true),
        ] {
            let plan = plan(file, arguments).unwrap();
            let planned: Vec<String> = plan.destinations.iter().map(ToString::to_string).collect();
            assert_eq!(planned, outputs, "{file} {arguments:?}");
            assert_eq!(
                (plan.format, plan.cloud_logging),
                (format, cloud_logging),
                "{file} {arguments:?}"
            );
        }
        let kept = plan(FILE, &[]).unwrap();
        assert_eq!(
            (kept.place, kept.retention.max_bytes),
            (Place::Directory("/state".into()), 1 << 20)
        );
        let kept = plan(FILE, &["--state-directory=/other"]).unwrap();
        assert_eq!(
            (kept.place, kept.retention.max_bytes),
            (Place::Directory("/other".into()), 1 << 20)
        );
    }

    #[test]
    fn an_output_that_is_given_twice_is_refused() {
        let arguments = ["--output=file=/a", "--output=stdout", "--output=file=/a"];
        let error = plan("", &arguments).err().unwrap().to_string();
        assert_eq!(error, "--output file=/a is given twice");
        assert!(plan("", &["--output=nowhere"]).is_err());
    }

    #[test]
    fn standard_output_is_the_journal_if_the_manager_says_so_of_this_very_stream() {
        let (one, _other) = UnixStream::pair().unwrap();
        let one = File::from(std::os::fd::OwnedFd::from(one));
        let is = one.metadata().unwrap();
        assert!(is_stream(&format!("{}:{}", is.dev(), is.ino()), &one));
        for other in [String::new(), "1:1".into(), format!("{}:{}", is.dev(), is.ino() + 1)] {
            assert!(!is_stream(&other, &one), "{other}");
        }
    }
}
