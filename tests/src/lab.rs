//! What a case works in: a directory of its own, the attackers' processes, and the demands on findings.

use std::{
    cell::RefCell,
    collections::HashSet,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{
    deadline::wait_for,
    finding::Finding,
    peer::{Ends, Listener, Peer, V4, call, free_port},
    process::{Proc, command},
    programs::Programs,
    sensor::Sensor,
    tools,
};

/// What a finding has to say.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// `severity`.
    pub severity: &'static str,
    /// `sourceProperties.direction`.
    pub direction: &'static str,
    /// `sourceProperties.technique`.
    pub technique: &'static str,
}

impl Want {
    /// Holds a line about the connection with these ends against it.
    fn check(self, finding: &Finding, ends: Ends) -> Result<()> {
        let Self {
            severity,
            direction,
            technique,
        } = self;
        let pair = if direction == "inbound" {
            (ends.peer, ends.host)
        } else {
            (ends.host, ends.peer)
        };
        ensure!(!finding.has_ended(), "a running takeover has ended: {finding}");
        ensure!(
            finding.text("severity") == severity,
            "severity is not {severity}: {finding}"
        );
        for (name, value) in [("direction", direction), ("technique", technique)] {
            let found = finding.property(name).and_then(serde_json::Value::as_str);
            ensure!(found == Some(value), "{name} is not {value}: {finding}");
        }
        ensure!(
            finding.connections().contains(&pair),
            "source and destination are not {pair:?}: {finding}"
        );
        Ok(())
    }
}

/// A shell that reads its peer's commands and answers there, connected by this host.
pub const REVERSE: Want = Want {
    severity: "CRITICAL",
    direction: "outbound",
    technique: "reverse_shell",
};
/// The same, connected by the peer.
pub const BIND: Want = Want {
    severity: "HIGH",
    direction: "inbound",
    technique: "bind_shell",
};
/// A shell or interpreter that executes what it reads from the peer, and answers elsewhere.
pub const INPUT: Want = Want {
    severity: "HIGH",
    direction: "outbound",
    technique: "input_only_shell",
};
/// Commands whose output goes to the peer, run by a loop that reads the peer's commands.
pub const LOOP: Want = Want {
    severity: "HIGH",
    direction: "outbound",
    technique: "command_loop",
};

/// A case's surroundings.
pub struct Lab<'a> {
    /// The sensor that watches.
    pub sensor: &'a Sensor,
    /// Attackers to compile.
    pub programs: &'a Programs,
    dir: TempDir,
    /// The first line of the sensor's output that is about this case.
    from: usize,
    /// Identities of the findings that the case accounted for.
    expected: RefCell<HashSet<String>>,
}

impl<'a> Lab<'a> {
    /// Fresh surroundings.
    ///
    /// # Errors
    /// If there is no room for temporary files.
    pub fn new(sensor: &'a Sensor, programs: &'a Programs) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("sensor-test.").tempdir()?;
        // Some attackers are other users.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            sensor,
            programs,
            dir,
            from: sensor.line_count(),
            expected: RefCell::default(),
        })
    }

    /// A directory of the case's own.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in [`Self::dir`].
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Copies an installed program to [`Self::dir`] as `name`.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn copy(&self, tool: &str, name: &str) -> Result<PathBuf> {
        let copy = self.path(name);
        fs::copy(tools::find(tool)?, &copy)?;
        Ok(copy)
    }

    /// Starts a program in [`Self::dir`]. What it has to say is shown if the case fails, unless it is sent elsewhere.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        let child = command.current_dir(self.dir()).env("HOME", self.dir()).spawn();
        child.with_context(|| format!("starting {command:?}"))
    }

    /// A command whose output is shown if the case fails.
    ///
    /// # Errors
    /// If there is no room for its output.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("output"))?;
        let mut command = command(program);
        command
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output));
        Ok(command)
    }

    /// Has bash run `script` with `variables`.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn bash(&self, script: &str, variables: &[(&str, &str)]) -> Result<Child> {
        let mut bash = self.command(tools::find("bash")?)?;
        self.spawn(bash.args(["-c", script]).envs(variables.iter().copied()))
    }

    /// Has bash run `script` and waits until it has succeeded.
    ///
    /// # Errors
    /// If it fails.
    pub fn bash_to_end(&self, script: &str, variables: &[(&str, &str)]) -> Result<()> {
        let mut child = self.bash(script, variables)?;
        let status = wait_for("the end of the script", || Ok(child.try_wait()?))?;
        ensure!(status.success(), "the script ended with {status}");
        Ok(())
    }

    /// What the case's programs said.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("output")).unwrap_or_default()).into_owned()
    }

    /// Waits for the finding about a connection, whatever it says.
    ///
    /// # Errors
    /// If it does not come.
    pub fn any_finding(&self, ends: Ends) -> Result<Finding> {
        let what = format!("a finding about {ends}");
        let finding = self.sensor.wait_line(&what, self.from, |finding| finding.has(ends))?;
        self.expected.borrow_mut().insert(finding.id().to_owned());
        Ok(finding)
    }

    /// Waits for the finding about a connection and holds its first line against `want`.
    ///
    /// # Errors
    /// If it does not come, or says anything else.
    pub fn finding(&self, ends: Ends, want: Want) -> Result<Finding> {
        let finding = self.any_finding(ends)?;
        want.check(&finding, ends)?;
        Ok(finding)
    }

    /// [`Self::finding`] where weaker evidence may come first, because another program has the connection before the
    /// shell that it starts.
    ///
    /// # Errors
    /// Likewise.
    pub fn risen_finding(&self, ends: Ends, want: Want) -> Result<Finding> {
        let first = self.any_finding(ends)?;
        let what = format!("severity {} of {first}", want.severity);
        let risen = self.sensor.wait_line(&what, self.from, |line| {
            line.id() == first.id() && (line.text("severity") == want.severity || line.has_ended())
        })?;
        want.check(&risen, ends)?;
        Ok(risen)
    }

    /// Waits until a finding says what surrounds it, which comes after its first line.
    ///
    /// # Errors
    /// If it never does.
    pub fn enriched(&self, finding: &Finding) -> Result<Finding> {
        let what = format!("the surroundings of {finding}");
        self.sensor.wait_line(&what, self.from, |line| {
            line.id() == finding.id() && line.property("posture").is_some()
        })
    }

    /// Holds the first process of a finding against what /proc says of the shell.
    ///
    /// # Errors
    /// If they differ.
    pub fn same(&self, finding: &Finding, shell: &Proc) -> Result<()> {
        let processes = finding.processes()?;
        let first = processes.first().context("a finding without a process")?;
        let exe = shell.exe.to_string_lossy();
        ensure!(
            (first.pid, first.parent, first.uid) == (shell.pid, shell.parent, Some(shell.uid))
                && first.args == shell.args
                && first.path == exe,
            "the first process is not {shell:?}: {finding}"
        );
        Ok(())
    }

    /// Waits until a takeover has ended. Gives its last line.
    ///
    /// # Errors
    /// If that does not come, or its severity is another than before.
    pub fn ended(&self, finding: &Finding) -> Result<Finding> {
        let what = format!("the end of {}", finding.id());
        let last = self
            .sensor
            .wait_line(&what, self.from, |line| line.id() == finding.id() && line.has_ended())?;
        let (was, is) = (finding.text("severity"), last.text("severity"));
        ensure!(was == is, "severity went from {was} to {is}: {last}");
        Ok(last)
    }

    /// Demands that the case's processes caused the findings that it accounted for and nothing else. To be called when
    /// they are gone.
    ///
    /// # Errors
    /// If there are others.
    pub fn settle(&self) -> Result<()> {
        self.sensor.fence()?;
        let seen = self.sensor.new_ids(self.from)?;
        let expected = self.expected.borrow();
        let Some(id) = seen.difference(&expected).next() else {
            return Ok(());
        };
        let finding = self
            .sensor
            .wait_line("a finding besides", self.from, |finding| finding.id() == id)?;
        bail!(
            "{} findings instead of {}; one that should not be: {finding}",
            seen.len(),
            expected.len()
        );
    }

    /// A whole case: bash runs `script`, which connects a shell to $H and $P.
    ///
    /// # Errors
    /// If the sensor does not see it as it should.
    pub fn reverse(&self, script: &str) -> Result<()> {
        self.reverse_to(&Listener::tcp(V4)?, "127.0.0.1", script)
    }

    /// [`Self::reverse`] where another program has the connection before the shell, and knows the file `program` as $X.
    ///
    /// # Errors
    /// Likewise.
    pub fn reverse_risen(&self, script: &str, program: &Path) -> Result<()> {
        let mut peer = self.connected(script, program)?;
        let shell = peer.shell()?;
        let finding = self.risen_finding(peer.ends(), REVERSE)?;
        self.same(&finding, &shell)?;
        peer.send("exit\n")?;
        self.ended(&finding)?;
        Ok(())
    }

    /// [`Self::reverse`] with a listener that can be reached as `host`.
    ///
    /// # Errors
    /// Likewise.
    pub fn reverse_to(&self, listener: &Listener, host: &str, script: &str) -> Result<()> {
        self.bash(script, &[("H", host), ("P", &listener.port()?.to_string())])?;
        self.taken(listener.accept()?, REVERSE)
    }

    /// Has bash run `script`, which knows the file `program` as $X, and gives the connection that it makes.
    ///
    /// # Errors
    /// If it makes none.
    pub fn connected(&self, script: &str, program: &Path) -> Result<Peer> {
        let listener = Listener::tcp(V4)?;
        let program = program.to_str().context("an odd path")?;
        self.bash(
            script,
            &[("H", "127.0.0.1"), ("P", &listener.port()?.to_string()), ("X", program)],
        )?;
        listener.accept()
    }

    /// A whole case: bash runs `script`, which waits on $H and $P to give its caller a shell.
    ///
    /// # Errors
    /// If the sensor does not see it as it should.
    pub fn bind(&self, script: &str) -> Result<()> {
        let port = free_port(V4)?;
        self.bash(script, &[("H", "127.0.0.1"), ("P", &port.to_string())])?;
        self.taken(call(SocketAddr::new(V4, port))?, BIND)
    }

    /// Proves that the peer has a shell, demands its finding, ends the shell, demands the end of the finding.
    ///
    /// # Errors
    /// If the sensor does not see it as it should.
    pub fn taken(&self, mut peer: Peer, want: Want) -> Result<()> {
        let shell = peer.shell()?;
        let finding = self.finding(peer.ends(), want)?;
        self.same(&finding, &shell)?;
        peer.send("exit\n")?;
        self.ended(&finding)?;
        Ok(())
    }
}
