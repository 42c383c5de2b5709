//! A running sensor, as the demonstration and the measurements need it: started, ready, read, ended.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::command;

/// How long anything may take that is expected to happen at once. Generous: it only ends waiting that is in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A line that the sensor wrote.
pub(crate) struct Line {
    /// When it had been read, by the clock of [`Instant`].
    pub(crate) arrived: Instant,
    finding: Value,
}

impl Line {
    /// The takeover's identity.
    pub(crate) fn id(&self) -> &str {
        self.text("/name")
    }

    /// A string of the finding, by JSON pointer; empty where there is none.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.finding
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number of the finding, written as one or as text.
    pub(crate) fn number(&self, pointer: &str) -> Option<u64> {
        let value = self.finding.pointer(pointer)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    /// A member of any shape.
    pub(crate) fn value(&self, pointer: &str) -> Option<&Value> {
        self.finding.pointer(pointer)
    }

    /// Commands that the takeover has run so far.
    pub(crate) fn commands(&self) -> u64 {
        self.number("/sourceProperties/commandCount").unwrap_or_default()
    }

    /// Whether the takeover has ended. Its finding stays ACTIVE until somebody closes it.
    pub(crate) fn is_over(&self) -> bool {
        self.value("/sourceProperties/endTime").is_some()
    }

    /// Whether it speaks of a connection with this port at either end.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        ["/connections/0/sourcePort", "/connections/0/destinationPort"]
            .iter()
            .any(|pointer| self.number(pointer) == Some(port.into()))
    }
}

/// A sensor. Dropping it kills it.
pub(crate) struct Sensor {
    child: Child,
    lines: Receiver<Result<Line>>,
    stderr: Option<JoinHandle<String>>,
}

impl Sensor {
    /// Starts `path` with default settings and waits until it is ready.
    ///
    /// # Errors
    /// If it does not get ready; the error holds what it said.
    pub(crate) fn start(path: &Path) -> Result<Self> {
        if !command::is_root() {
            bail!("this loads programs into the kernel: run it as root");
        }
        let notify = NotifySocket::bind()?;
        let mut child = Command::new(path)
            .args(["run", "--format", "json"])
            .env("NOTIFY_SOCKET", &notify.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} can't be started", path.display()))?;
        let stdout = child.stdout.take().context("the sensor has no stdout")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let arrived = Instant::now();
                if sender.send(read(&line, arrived)).is_err() {
                    break;
                }
            }
        });
        let stderr = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                // What was read before an error is still worth showing.
                stderr.read_to_end(&mut text).ok();
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        let mut sensor = Self { child, lines, stderr };
        match notify.wait(&mut sensor.child) {
            Ok(()) => Ok(sensor),
            Err(error) => {
                let said = sensor.kill();
                Err(error.context(format!("the sensor did not get ready; it said:\n{said}")))
            }
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that `matches`; those before it go to `others`.
    ///
    /// # Errors
    /// If none comes in time. `what` says what was waited for.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        mut others: impl FnMut(&Line),
        matches: impl Fn(&Line) -> bool,
    ) -> Result<Line> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let line = line?;
                    if matches(&line) {
                        return Ok(line);
                    }
                    others(&line);
                }
                Err(RecvTimeoutError::Timeout) => bail!("{what} did not come within {} s", PATIENCE.as_secs()),
                Err(RecvTimeoutError::Disconnected) => bail!("the sensor's output ended before {what} came"),
            }
        }
    }

    /// How many lines came that were not yet taken; they are gone then.
    pub(crate) fn forget_lines(&self) -> usize {
        self.lines.try_iter().count()
    }

    /// Ends it as a service manager would, and hands the lines that were not yet taken to `rest`.
    ///
    /// # Errors
    /// If it does not end in time, or not with success.
    pub(crate) fn end(mut self, mut rest: impl FnMut(&Line)) -> Result<()> {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            kill_process(pid, Signal::TERM).context("the sensor can't be signalled")?;
        }
        let status = self.wait_end()?;
        while let Ok(line) = self.lines.recv() {
            rest(&line?);
        }
        if !status.success() {
            bail!("the sensor ended with {status}; it said:\n{}", self.said());
        }
        Ok(())
    }

    fn wait_end(&mut self) -> Result<ExitStatus> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!(
            "the sensor did not end within {} s of SIGTERM; it said:\n{}",
            PATIENCE.as_secs(),
            self.kill()
        );
    }

    fn kill(&mut self) -> String {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
        self.said()
    }

    fn said(&mut self) -> String {
        self.stderr
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read(line: &[u8], arrived: Instant) -> Result<Line> {
    let broken = || {
        format!(
            "the sensor wrote a line that is no finding: {}",
            String::from_utf8_lossy(line)
        )
    };
    let mut value: Value = serde_json::from_slice(line).with_context(broken)?;
    let finding = value.get_mut("finding").with_context(broken)?.take();
    Ok(Line { arrived, finding })
}

/// Where the sensor says that it is ready, as it would say to systemd.
struct NotifySocket {
    path: PathBuf,
    socket: UnixDatagram,
}

impl NotifySocket {
    fn bind() -> Result<Self> {
        let path = env::temp_dir().join(format!("xtask-notify-{}", std::process::id()));
        // Left by a process of the same number that was killed.
        fs::remove_file(&path).ok();
        let socket = UnixDatagram::bind(&path).with_context(|| format!("no socket at {}", path.display()))?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        Ok(Self { path, socket })
    }

    fn wait(&self, child: &mut Child) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let mut message = [0; 1024];
            let length = self.socket.recv(&mut message).unwrap_or_default();
            let message = message.get(..length).unwrap_or_default();
            if message.split(|&byte| byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(());
            }
            if let Some(status) = child.try_wait()? {
                bail!("it ended ({status})");
            }
        }
        bail!("it sent no READY=1 within {} s", PATIENCE.as_secs());
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}
