//! The execs that are measured: how they are started, and on which cores.

use std::{
    ffi::OsStr,
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

/// One thing to start and wait for.
#[derive(Clone, Copy)]
pub(super) struct Work {
    program: &'static str,
    arguments: &'static [&'static str],
    /// Its input and output are pipes; else its streams are null, as services have them.
    piped: bool,
}

impl Work {
    /// /bin/true without any pipe.
    pub(super) const PLAIN: Self = Self {
        program: TRUE,
        arguments: &[],
        piped: false,
    };
    /// /bin/true between two pipes.
    pub(super) const PIPED: Self = Self {
        piped: true,
        ..Self::PLAIN
    };
    /// A shell that brings its command along.
    pub(super) const SHELL: Self = Self {
        program: "/bin/sh",
        arguments: &["-c", ":"],
        piped: true,
    };
    /// A shell with a pipeline: three execs.
    pub(super) const PIPELINE: Self = Self {
        arguments: &["-c", "/bin/true | /bin/true"],
        ..Self::SHELL
    };
}

/// Does all of `work` on each of `cores`, `count` times, one thing after the other on each core. Returns the wall time.
pub(super) fn storm(cores: &[usize], count: usize, work: &[Work]) -> Result<Duration> {
    on_each(cores, |_| {
        let (output, input) = std::io::pipe().context("a pipe")?;
        for _ in 0..count {
            for work in work {
                let mut command = Command::new(work.program);
                // The standard library uses posix_spawn for it.
                command.args(work.arguments).stderr(Stdio::null());
                if work.piped {
                    command.stdin(output.try_clone()?).stdout(input.try_clone()?);
                } else {
                    command.stdin(Stdio::null()).stdout(Stdio::null());
                }
                finish(&mut command)?;
            }
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
pub(super) fn on_socket(program: impl AsRef<OsStr>, connection: &TcpStream) -> Result<Command> {
    let stream = || Ok::<_, std::io::Error>(Stdio::from(OwnedFd::from(connection.try_clone()?)));
    let mut command = Command::new(program);
    command.stdin(stream()?).stdout(stream()?).stderr(stream()?);
    Ok(command)
}

/// A bash script that starts about `execs` programs in pipelines. bash keeps the script itself at descriptor 255.
pub(super) fn bash_pipelines(execs: usize) -> Result<()> {
    let script = std::env::temp_dir().join(format!("xtask-bench-{}.sh", std::process::id()));
    let text = format!("for ((i = 0; i < {}; i++)); do {TRUE} | {TRUE}; done\n", execs / 2);
    std::fs::write(&script, text).with_context(|| format!("{} can't be written", script.display()))?;
    let (_output, input) = std::io::pipe().context("a pipe")?;
    let done = finish(
        Command::new("/bin/bash")
            .arg(&script)
            .stdin(Stdio::null())
            .stdout(input)
            .stderr(Stdio::null()),
    );
    std::fs::remove_file(&script).ok();
    done
}

fn finish(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command
        .status()
        .with_context(|| format!("{} can't be started", program.display()))?;
    if !status.success() {
        bail!("{} ended with {status}", program.display());
    }
    Ok(())
}

/// Runs `work` and the children that it starts on these cores only.
pub(super) fn pinned<T: Send>(cores: &[usize], work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            pin(cores)?;
            work()
        });
        thread
            .join()
            .unwrap_or_else(|_| bail!("a thread that measures panicked"))
    })
}

/// This thread; children inherit it, so that nothing migrates while it is timed.
fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None, &set).context("pinning to a core")
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
                    pin(&[core])?;
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
