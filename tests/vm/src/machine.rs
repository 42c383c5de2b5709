//! The virtual machine as hardware leaves it: file systems, the loopback interface, the end.

use std::{
    env, fs,
    process::{Command, ExitCode},
    thread,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, reboot},
};

/// Mounts what programs expect, gives busybox its names, brings the loopback interface up.
///
/// # Errors
/// If the kernel lacks one of them.
pub fn bring_up() -> Result<()> {
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("devpts", "/dev/pts"),
        ("tmpfs", "/tmp"),
        ("securityfs", "/sys/kernel/security"),
        ("cgroup2", "/sys/fs/cgroup"),
    ] {
        // The kernel makes those in /sys.
        if !place.starts_with("/sys/") {
            fs::create_dir_all(place)?;
        }
        mount(kind, place, kind, MountFlags::empty(), None).with_context(|| format!("mounting {kind} on {place}"))?;
    }
    busybox(&["--install", "-s", "/bin"])?;
    busybox(&["ip", "link", "set", "lo", "up"])
}

/// The machine is the one that the host asked for: else its checks would prove something else.
///
/// # Errors
/// If it differs.
pub fn as_asked() -> Result<()> {
    let cpus = thread::available_parallelism()?.to_string();
    let wanted = env::var("cpus").context("the host does not say how many CPUs there are")?;
    ensure!(cpus == wanted, "{cpus} CPUs instead of {wanted}");
    let words = fs::read_to_string("/proc/cmdline")?;
    let value = |name: &str| words.split_whitespace().find_map(|word| word.strip_prefix(name));
    let security = |file: &str| fs::read_to_string(format!("/sys/kernel/security/{file}"));
    if let Some(mode) = value("lockdown=") {
        let is = security("lockdown")?;
        ensure!(
            is.contains(&format!("[{mode}]")),
            "the lockdown mode is not {mode}: {is}"
        );
    }
    if let Some(modules) = value("lsm=") {
        // The kernel adds some that are always on.
        let is = security("lsm")?;
        let differs = modules.contains("bpf") != is.contains("bpf");
        ensure!(!differs, "the security modules are not {modules}: {is}");
    }
    Ok(())
}

fn busybox(arguments: &[&str]) -> Result<()> {
    let status = Command::new("/bin/busybox").args(arguments).status()?;
    ensure!(status.success(), "busybox {}: {status}", arguments.join(" "));
    Ok(())
}

/// Ends the machine.
pub fn switch_off() -> ExitCode {
    rustix::fs::sync();
    // If this fails, the end of the first program panics the kernel, which ends the machine too.
    let _ = reboot(RebootCommand::PowerOff);
    ExitCode::FAILURE
}
