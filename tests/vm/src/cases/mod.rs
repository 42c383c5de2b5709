//! What happens in the machine, and what the sensor has to make of it.

mod carried;
mod counts;
mod places;
mod quiet;
mod streams;
mod unaided;

pub use streams::connect;

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    finding::Finding,
    lab::{Lab, Want},
    peer::{Listener, Peer},
    process::Proc,
};

/// The attackers' program: this one.
const ATTACKER: &str = "/init";

/// A name, and what happens.
pub type Case = (&'static str, fn(&Lab<'_>) -> Result<()>);

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        streams::CASES,
        places::CASES,
        carried::CASES,
        unaided::CASES,
        counts::CASES,
        quiet::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Starts the attacker, or a program that `arguments` begin with if it is a path.
pub fn start(lab: &Lab<'_>, arguments: &[&str]) -> Result<()> {
    let (program, arguments) = match arguments {
        [program, rest @ ..] if program.starts_with('/') => (*program, rest),
        _ => (ATTACKER, arguments),
    };
    lab.spawn(lab.command(program)?.args(arguments))?;
    Ok(())
}

/// A shell of which the sensor has reported the takeover.
struct Session {
    peer: Peer,
    shell: Proc,
    finding: Finding,
}

impl Session {
    /// Starts what `arguments` say, which connect to `listener`, and demands the finding about its shell.
    fn open(lab: &Lab<'_>, listener: &Listener, want: Want, arguments: &[&str]) -> Result<Self> {
        start(lab, arguments)?;
        Self::of(lab, listener.accept()?, want)
    }

    fn of(lab: &Lab<'_>, mut peer: Peer, want: Want) -> Result<Self> {
        let shell = peer.shell()?;
        let finding = lab.finding(peer.ends(), want)?;
        lab.same(&finding, &shell)?;
        Ok(Self { peer, shell, finding })
    }

    /// Types `commands` and waits until all have been executed.
    fn run(&mut self, commands: &str) -> Result<()> {
        self.peer.send(format!("{commands}\necho all-$((6*7))\n"))?;
        self.peer.read_until("all-42")?;
        Ok(())
    }

    /// Ends the shell and demands the end of the finding.
    fn exit(mut self, lab: &Lab<'_>) -> Result<Finding> {
        self.peer.send("exit\n")?;
        lab.ended(&self.finding)
    }
}

/// The whole way: [`Session::open`], [`Session::exit`].
fn taken(lab: &Lab<'_>, listener: &Listener, want: Want, arguments: &[&str]) -> Result<()> {
    Session::open(lab, listener, want, arguments)?.exit(lab)?;
    Ok(())
}

/// How many runs of its programs the kernel left out, as the finding says; it has to say that nothing else was lost.
pub fn missed_runs(finding: &Finding) -> Result<u64> {
    let losses = finding
        .property("losses")
        .and_then(serde_json::Value::as_object)
        .context("a finding does not say what was lost")?;
    let missed = losses.get("runsMissed").and_then(serde_json::Value::as_u64);
    let others = losses.iter().filter(|(name, _)| *name != "runsMissed");
    ensure!(
        others.map(|(_, count)| count.as_u64()).all(|count| count == Some(0)),
        "events were lost: {losses:?}"
    );
    missed.context("a finding does not say how many runs were missed")
}
