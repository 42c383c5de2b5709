//! A running sensor: its lines, its diagnostics, its end.

use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::{
    deadline::{deadline, wait_for},
    finding::Finding,
    process::command,
    takeover::Takeover,
};

/// The sensor's executable: `SENSOR_DAEMON`, or what `cargo build --release` left in the workspace.
///
/// # Errors
/// If it is not there.
pub fn binary() -> Result<PathBuf> {
    let built = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/sensor-daemon"));
    let path = env::var_os("SENSOR_DAEMON").map_or_else(built, PathBuf::from);
    ensure!(
        path.is_file(),
        "there is no sensor at {}: run cargo xtask test, or set SENSOR_DAEMON",
        path.display()
    );
    Ok(path)
}

/// What the sensor wrote so far.
#[derive(Default)]
struct Output {
    lines: Vec<Line>,
    ended: bool,
}

/// A line of stdout.
pub struct Line {
    /// As it was written, without the line feed.
    pub raw: Vec<u8>,
    /// Read, or why it could not be.
    pub finding: Result<Finding, String>,
}

#[derive(Default)]
struct Shared {
    output: Mutex<Output>,
    changed: Condvar,
    diagnostics: Mutex<Vec<String>>,
}

/// A running sensor.
pub struct Sensor {
    child: Mutex<Child>,
    pid: u32,
    stdout: Mutex<Option<ChildStdout>>,
    shared: Arc<Shared>,
    readers: Mutex<Vec<JoinHandle<()>>>,
    /// Identities of the findings that fences made.
    fences: Mutex<HashSet<String>>,
    _dir: TempDir,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sensor {
    /// Starts one with default settings and waits until it is ready.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Likewise, with arguments of `run` besides.
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_with(arguments: &[&str]) -> Result<Self> {
        let mut command = command(binary()?);
        command.args(["run", "--format", "json"]).args(arguments);
        let sensor = Self::start_unread(command)?;
        sensor.read()?;
        Ok(sensor)
    }

    /// Starts `command`, waits until it says that it is ready, and leaves its output unread until [`Self::read`].
    ///
    /// # Errors
    /// If it does not get ready.
    pub fn start_unread(mut command: Command) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let notify = dir.path().join("notify");
        let socket = UnixDatagram::bind(&notify)?;
        socket.set_nonblocking(true)?;
        // The sensor may run as another user.
        for path in [dir.path(), &notify] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        }
        command
            .env("NOTIFY_SOCKET", &notify)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("starting the sensor")?;
        let shared = Arc::new(Shared::default());
        let stderr = child.stderr.take().context("no stderr")?;
        let diagnostics = shared.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                lock(&diagnostics.diagnostics).push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let sensor = Self {
            pid: child.id(),
            stdout: Mutex::new(child.stdout.take()),
            child: Mutex::new(child),
            shared,
            readers: Mutex::new(vec![reader]),
            fences: Mutex::default(),
            _dir: dir,
        };
        let ready = wait_for("READY=1 from the sensor", || {
            let mut message = [0; 1024];
            if let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default()).into_owned();
                return Ok(text.lines().any(|line| line == "READY=1").then_some(()));
            }
            match lock(&sensor.child).try_wait()? {
                Some(status) => bail!("the sensor ended before it was ready: {status}"),
                None => Ok(None),
            }
        });
        match ready {
            Ok(()) => Ok(sensor),
            Err(error) => Err(error.context(sensor.diagnosis())),
        }
    }

    /// Starts to read its output.
    ///
    /// # Errors
    /// If that was done before.
    pub fn read(&self) -> Result<()> {
        let stdout = lock(&self.stdout).take().context("the output is already read")?;
        let shared = self.shared.clone();
        let reader = std::thread::spawn(move || {
            for raw in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let finding = Finding::parse(&raw).map_err(|error| format!("{error:#}"));
                lock(&shared.output).lines.push(Line { raw, finding });
                shared.changed.notify_all();
            }
            lock(&shared.output).ended = true;
            shared.changed.notify_all();
        });
        lock(&self.readers).push(reader);
        Ok(())
    }

    /// Closes the reading end of its output.
    pub fn close_output(&self) {
        drop(lock(&self.stdout).take());
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How many lines it wrote so far.
    #[must_use]
    pub fn line_count(&self) -> usize {
        lock(&self.shared.output).lines.len()
    }

    /// Shows the lines from the `from`th on to `look`.
    pub fn lines<T>(&self, from: usize, look: impl FnOnce(&[Line]) -> T) -> T {
        look(lock(&self.shared.output).lines.get(from..).unwrap_or_default())
    }

    /// Identities of the findings, other than fences, that appear first on the `from`th line or later.
    ///
    /// # Errors
    /// If one of these lines could not be read.
    pub fn new_ids(&self, from: usize) -> Result<HashSet<String>> {
        let mut known = lock(&self.fences).clone();
        self.lines(0, |lines| {
            let mut ids = HashSet::new();
            for (at, line) in lines.iter().enumerate() {
                match &line.finding {
                    Ok(finding) if at < from => known.insert(finding.id().to_owned()),
                    Ok(finding) if known.contains(finding.id()) => continue,
                    Ok(finding) => ids.insert(finding.id().to_owned()),
                    Err(_) if at < from => continue,
                    Err(error) => bail!("{error}: {:?}", String::from_utf8_lossy(&line.raw)),
                };
            }
            Ok(ids)
        })
    }

    /// Waits for the first line from the `from`th on that `matches`.
    ///
    /// # Errors
    /// If none comes. `what` says what was waited for.
    pub fn wait_line(&self, what: &str, from: usize, matches: impl Fn(&Finding) -> bool) -> Result<Finding> {
        let end = Instant::now() + deadline();
        let mut output = lock(&self.shared.output);
        let mut next = from;
        loop {
            let fresh = output.lines.get(next..).unwrap_or_default();
            if let Some(found) = fresh
                .iter()
                .filter_map(|line| line.finding.as_ref().ok())
                .find(|finding| matches(finding))
            {
                return Ok(found.clone());
            }
            next = next.max(output.lines.len());
            let left = end.saturating_duration_since(Instant::now());
            if output.ended || left == Duration::ZERO {
                drop(output);
                bail!("waited in vain for {what}; {}", self.diagnosis());
            }
            output = self
                .shared
                .changed
                .wait_timeout(output, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Returns when everything that happened before has been judged: takes over a shell of its own and waits for its
    /// finding, which can't overtake an earlier one.
    ///
    /// # Errors
    /// If the sensor does not report it.
    pub fn fence(&self) -> Result<()> {
        let from = self.line_count();
        let takeover = Takeover::start()?;
        let ends = takeover.ends();
        let finding = self.wait_line("the finding of a fence", from, |finding| finding.has(ends))?;
        lock(&self.fences).insert(finding.id().to_owned());
        takeover.end()
    }

    /// What it said on stderr so far.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<String> {
        lock(&self.shared.diagnostics).clone()
    }

    fn diagnosis(&self) -> String {
        let state = match lock(&self.child).try_wait() {
            Ok(Some(status)) => format!("has ended ({status})"),
            _ => "runs".to_owned(),
        };
        let said = self.diagnostics();
        let tail = said.get(said.len().saturating_sub(20)..).unwrap_or_default();
        format!(
            "the sensor {state}, {} lines; its stderr ends with:\n{}",
            self.line_count(),
            tail.join("\n")
        )
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid.cast_signed()).context("no process id")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Waits until it has ended and all it wrote has been read.
    ///
    /// # Errors
    /// If it does not end.
    pub fn wait(&self) -> Result<ExitStatus> {
        let status = wait_for("the end of the sensor", || Ok(lock(&self.child).try_wait()?))
            .map_err(|error| error.context(self.diagnosis()))?;
        for reader in lock(&self.readers).drain(..) {
            ensure!(reader.join().is_ok(), "a reader of the sensor's output panicked");
        }
        Ok(status)
    }

    /// Ends it the way a service manager does.
    ///
    /// # Errors
    /// If it does not end, or not well.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.wait()?;
        ensure!(status.success(), "the sensor ended with {status}; {}", self.diagnosis());
        Ok(())
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Already ended, mostly.
        let _ = child.kill();
        let _ = child.wait();
    }
}
