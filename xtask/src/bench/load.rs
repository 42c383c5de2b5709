//! The execs that are measured: how they are started, and on which cores.

use std::{
    net::TcpStream,
    os::fd::OwnedFd,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A program that does nothing.
const TRUE: &str = "/bin/true";

/// The cores that this process may use.
pub(super) fn cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("the cores of this process")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// Starts /bin/true `count` times on each of `cores`, one after the other on each core, and waits for each. Returns the
/// wall time of all.
pub(super) fn storm(cores: &[usize], count: usize) -> Result<Duration> {
    on_each(cores, |_| {
        for _ in 0..count {
            // The standard library uses posix_spawn for it. Null streams, as services have: no pty, no pipe.
            finish(
                Command::new(TRUE)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null()),
            )?;
        }
        Ok(())
    })
}

/// The same, with the connection of that core as input and output of each.
pub(super) fn storm_on_sockets(cores: &[usize], connections: &[TcpStream], count: usize) -> Result<Duration> {
    on_each(cores, |position| {
        let connection = connections.get(position).context("a core without a connection")?;
        for _ in 0..count {
            finish(&mut on_socket(TRUE, connection)?)?;
        }
        Ok(())
    })
}

/// `program` with `connection` as its standard streams.
pub(super) fn on_socket(program: &str, connection: &TcpStream) -> Result<Command> {
    let stream = || Ok::<_, std::io::Error>(Stdio::from(OwnedFd::from(connection.try_clone()?)));
    let mut command = Command::new(program);
    command.stdin(stream()?).stdout(stream()?).stderr(stream()?);
    Ok(command)
}

fn finish(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{TRUE} can't be started"))?;
    if !status.success() {
        bail!("{TRUE} ended with {status}");
    }
    Ok(())
}

/// Runs `work` on every core at once, with its position in `cores`.
fn on_each(cores: &[usize], work: impl Fn(usize) -> Result<()> + Sync) -> Result<Duration> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = cores
            .iter()
            .enumerate()
            .map(|(position, &core)| {
                let work = &work;
                scope.spawn(move || {
                    let mut set = CpuSet::new();
                    set.set(core);
                    // Children inherit it, so that nothing migrates while it is timed.
                    sched_setaffinity(None, &set).context("pinning to a core")?;
                    work(position)
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread that starts programs panicked"),
            }
        }
        Ok(start.elapsed())
    })
}
