//! The virtual machine as hardware leaves it: file systems, the loopback interface, the end.

use std::{
    fs,
    process::{Command, ExitCode},
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
