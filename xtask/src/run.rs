//! `cargo xtask build` and `cargo xtask run`.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{command, setup, workspace};

/// Sets up, builds, and says where the executable is.
pub(crate) fn build(debug: bool) -> Result<()> {
    setup::run(false)?;
    let path = workspace::build_sensor(!debug)?;
    println!("{}", path.display());
    Ok(())
}

/// Becomes the sensor, so that signals reach it and its exit status is this command's.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    setup::run(false)?;
    let path = workspace::build_sensor(true)?;
    require_privileges(&path, arguments)?;
    let error = Command::new(&path).arg("run").args(arguments).exec();
    Err(error).with_context(|| format!("{} can't be started", path.display()))
}

/// The sensor would say so too, but not how to go on from here.
fn require_privileges(path: &Path, arguments: &[OsString]) -> Result<()> {
    if command::is_root() || has_bpf_capabilities() {
        return Ok(());
    }
    let mut line = format!("sudo {} run", path.display());
    for argument in arguments {
        line = format!("{line} {}", argument.to_string_lossy());
    }
    bail!("the sensor is built, but loading it into the kernel needs root (or CAP_BPF and CAP_PERFMON); run: {line}");
}

fn has_bpf_capabilities() -> bool {
    // include/uapi/linux/capability.h
    const CAP_PERFMON: u32 = 38;
    const CAP_BPF: u32 = 39;
    let needed = 1_u64 << CAP_PERFMON | 1 << CAP_BPF;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|effective| effective & needed == needed)
}
