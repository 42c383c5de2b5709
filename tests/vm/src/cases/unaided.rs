//! Takeovers in which nothing is executed that has the connection: a program runs what it receives, or a shell makes the
//! connection its own streams while it runs.

use anyhow::Result;
use sensor_tests::{
    carried::Least,
    lab::{LOOP, Lab},
    peer::{Listener, V4},
};

use super::{Case, start};

pub const CASES: &[Case] = &[
    ("unaided::received_commands", received_commands),
    ("unaided::moved_streams", moved_streams),
];

/// What is executed has pipes for streams; that it is what the peer sent is seen on the wire alone.
fn received_commands(lab: &Lab<'_>) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    start(lab, &["pops", &format!("127.0.0.1:{}", listener.port()?)])?;
    let mut peer = listener.accept()?;
    for (command, answer) in [
        ("/bin/id", "uid="),
        ("/bin/uname -a", "Linux"),
        ("/bin/cat /proc/version", "version"),
    ] {
        peer.send(format!("{command}\n"))?;
        peer.read_until(answer)?;
    }
    let finding = lab.risen_finding(peer.ends(), LOOP)?;
    drop(peer);
    lab.ended(&finding)?;
    Ok(())
}

/// The peer has nothing executed at all. Found at once where the kernel tells of it, else by a look at all processes.
fn moved_streams(lab: &Lab<'_>) -> Result<()> {
    const SHELL: Least = Least {
        severity: "HIGH",
        direction: "outbound",
    };

    std::fs::write(
        lab.path("job"),
        "eval \"exec 0<&$FD 1>&$FD 2>&$FD $FD<&-\"\nwhile read -r line; do eval \"$line\"; done",
    )?;
    let listener = Listener::tcp(V4)?;
    let address = format!("127.0.0.1:{}", listener.port()?);
    start(lab, &["beside", &address, "/bin/sh", "job"])?;
    let mut peer = listener.accept()?;
    for (command, answer) in [
        ("echo result-$((6*7))", "result-42"),
        ("cd /; echo in-\"$PWD\".", "in-/."),
    ] {
        peer.send(format!("{command}\n"))?;
        peer.read_until(answer)?;
    }
    let finding = lab.finding_of(peer.ends(), SHELL)?;
    drop(peer);
    lab.over(&finding)
}
