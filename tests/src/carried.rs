//! Takeovers whose shell has no connection of its own, because another process carries its streams, and takeovers that
//! need no shell at all.

use anyhow::{Context, Result, ensure};

use crate::{
    finding::Finding,
    lab::{Lab, Want},
    peer::{Ends, Listener, Peer},
    process::Proc,
};

/// What a finding has to say at least, where several judgements are right.
#[derive(Clone, Copy, Debug)]
pub struct Least {
    /// The lowest `severity`.
    pub severity: &'static str,
    /// `sourceProperties.direction`.
    pub direction: &'static str,
}

/// A general program that connects and carries a shell's streams.
pub const PUMP: Least = Least {
    severity: "MEDIUM",
    direction: "outbound",
};

/// Commands that prove by what they answer that they are executed, and that answer.
pub const COMMANDS: [(&str, &str); 3] = [
    ("id", "uid="),
    ("uname -a", "Linux"),
    ("head -n 1 /etc/passwd", "root:"),
];

fn rank(severity: &str) -> Result<usize> {
    let ranks = ["LOW", "MEDIUM", "HIGH", "CRITICAL"];
    ranks
        .iter()
        .position(|known| *known == severity)
        .with_context(|| format!("no such severity: {severity:?}"))
}

impl Lab<'_> {
    /// Has bash run `script`, which connects to `listener` as $H and $P, and gives the connection.
    ///
    /// # Errors
    /// If it makes none.
    pub fn calls(&self, listener: &Listener, host: &str, script: &str) -> Result<Peer> {
        self.bash(script, &[("H", host), ("P", &listener.port()?.to_string())])?;
        listener.accept()
    }

    /// Proves that the peer has a shell, demands its finding, which may begin with weaker evidence, ends the shell, hangs
    /// up, demands the end of the finding.
    ///
    /// # Errors
    /// If the sensor does not see it as it should.
    pub fn carried(&self, mut peer: Peer, want: Want) -> Result<()> {
        let shell = peer.shell()?;
        let finding = self.risen_finding(peer.ends(), want)?;
        self.same(&finding, &shell)?;
        peer.send("exit\n")?;
        // Whoever carries the streams may outlive the shell.
        drop(peer);
        self.ended(&finding)?;
        Ok(())
    }

    /// [`Self::carried`] where several judgements are right.
    ///
    /// # Errors
    /// Likewise.
    pub fn pumped(&self, mut peer: Peer, least: Least) -> Result<()> {
        let shell = peer.shell()?;
        let finding = self.finding_of(peer.ends(), least)?;
        self.names(&finding, &shell)?;
        peer.send("exit\n")?;
        drop(peer);
        self.over(&finding)
    }

    /// Waits for the finding about a connection that says what it has to say at least.
    ///
    /// # Errors
    /// If it does not come.
    pub fn finding_of(&self, ends: Ends, least: Least) -> Result<Finding> {
        let first = self.any_finding(ends)?;
        let lowest = rank(least.severity)?;
        let what = format!("at least severity {} of {first}", least.severity);
        let finding = self.sensor.wait_line(&what, 0, |line| {
            line.id() == first.id() && rank(line.text("severity")).is_ok_and(|rank| rank >= lowest)
        })?;
        let direction = finding.property("direction").and_then(serde_json::Value::as_str);
        ensure!(
            direction == Some(least.direction),
            "direction is not {}: {finding}",
            least.direction
        );
        Ok(finding)
    }

    /// Waits until a finding names a process: it may begin with whoever carries that process's streams.
    ///
    /// # Errors
    /// If it never does.
    pub fn names(&self, finding: &Finding, wanted: &Proc) -> Result<()> {
        let exe = wanted.exe.to_string_lossy();
        let named = |line: &Finding| {
            let processes = line.processes().unwrap_or_default();
            processes
                .iter()
                .any(|process| process.pid == wanted.pid && process.path == exe)
        };
        let what = format!("{wanted:?} among the processes of {finding}");
        self.sensor
            .wait_line(&what, 0, |line| line.id() == finding.id() && named(line))?;
        Ok(())
    }

    /// Waits until a finding is about one more connection.
    ///
    /// # Errors
    /// If it never is.
    pub fn about(&self, finding: &Finding, ends: Ends) -> Result<()> {
        let what = format!("{ends} in {finding}");
        self.sensor
            .wait_line(&what, 0, |line| line.id() == finding.id() && line.has(ends))?;
        Ok(())
    }

    /// Waits until a takeover has ended, whatever its severity has become.
    ///
    /// # Errors
    /// If that does not come.
    pub fn over(&self, finding: &Finding) -> Result<()> {
        let what = format!("the end of {}", finding.id());
        self.sensor
            .wait_line(&what, 0, |line| line.id() == finding.id() && line.has_ended())?;
        Ok(())
    }
}
