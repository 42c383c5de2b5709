//! Processes that the tests start, and what /proc says of them.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::{deadline::wait_for, tools};

/// A command for `program` in an environment that does not depend on who runs the tests: own session (an interactive
/// shell must not reach for the tester's terminal), fixed PATH, no input, no output.
#[must_use]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", tools::path()).env("LANG", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec, only two system calls are made.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        })
    };
    command
}

/// What /proc says of a live process: the oracle for what a finding says.
#[derive(Debug)]
pub struct Proc {
    /// Process id.
    pub pid: u32,
    /// Parent.
    pub parent: u32,
    /// Real user id.
    pub uid: u32,
    /// Its executable, as this process sees it.
    pub exe: PathBuf,
    /// Arguments, the program's own name first.
    pub args: Vec<String>,
}

impl Proc {
    /// Reads it.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        // Its name can be anything.
        let status = fs::read(dir.join("status")).with_context(|| format!("process {pid}"))?;
        let status = String::from_utf8_lossy(&status);
        let field = |name: &str| -> Result<u32> {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .context("no such field")?;
            Ok(line.split_whitespace().next().context("an empty field")?.parse()?)
        };
        let cmdline = fs::read(dir.join("cmdline"))?;
        let args = cmdline
            .split(|&byte| byte == 0)
            .map(|arg| String::from_utf8_lossy(arg).into_owned());
        let mut args: Vec<String> = args.collect();
        args.pop(); // what follows the last NUL
        Ok(Self {
            pid,
            parent: field("PPid:")?,
            uid: field("Uid:")?,
            exe: fs::read_link(dir.join("exe"))?,
            args,
        })
    }
}

/// Waits until a process has ended, reaped or not.
///
/// # Errors
/// If it lives on.
pub fn wait_end(pid: u32) -> Result<()> {
    wait_for(&format!("the end of process {pid}"), || {
        let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let state = status.lines().find_map(|line| line.strip_prefix("State:"));
        Ok(state
            .is_none_or(|state| state.trim_start().starts_with(['Z', 'X']))
            .then_some(()))
    })
}

/// Makes every orphan below this process its child, so that [`sweep`] finds it.
///
/// # Errors
/// None on Linux.
pub fn adopt_orphans() -> Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Kills and reaps every process below this one except `spare` and what is below those.
///
/// # Errors
/// If one does not die.
pub fn sweep(spare: &[u32]) -> Result<()> {
    wait_for("the end of all processes that the case started", || {
        let descendants = descendants(spare)?;
        for &(pid, parent) in &descendants {
            let Some(pid) = Pid::from_raw(pid.cast_signed()) else {
                continue;
            };
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            if parent == std::process::id() {
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
        Ok(descendants.is_empty().then_some(()))
    })
}

/// Process and parent of all processes below this one except `spare` and what is below those.
fn descendants(spare: &[u32]) -> io::Result<Vec<(u32, u32)>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // Gone by now, or: pid (comm) state parent …, where comm can hold anything.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let stat = String::from_utf8_lossy(&stat);
        let after_comm = stat.rsplit(')').next().unwrap_or_default();
        if let Some(parent) = after_comm
            .split_whitespace()
            .nth(1)
            .and_then(|parent| parent.parse().ok())
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![std::process::id()];
    while let Some(parent) = open.pop() {
        for &pid in children
            .get(&parent)
            .into_iter()
            .flatten()
            .filter(|pid| !spare.contains(pid))
        {
            found.push((pid, parent));
            open.push(pid);
        }
    }
    Ok(found)
}
