//! The virtual machine as hardware leaves it: file systems, the loopback interface, the end.

use std::{
    fs,
    os::unix::fs::symlink,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, reboot},
};

/// A machine that programs can run on.
pub struct Machine(());

impl Machine {
    /// Mounts what programs expect, gives busybox its names, brings the loopback interface up.
    ///
    /// # Errors
    /// If the kernel lacks one of them.
    pub fn bring_up() -> Result<Self> {
        for (kind, place) in [
            ("proc", "/proc"),
            ("sysfs", "/sys"),
            ("devtmpfs", "/dev"),
            ("devpts", "/dev/pts"),
            ("tmpfs", "/tmp"),
            ("tmpfs", "/run"),
            ("securityfs", "/sys/kernel/security"),
            ("cgroup2", "/sys/fs/cgroup"),
        ] {
            if !place.starts_with("/sys/") {
                fs::create_dir_all(place)?;
            }
            match mount(kind, place, kind, MountFlags::empty(), None) {
                // Some kernels mount devtmpfs themselves.
                Ok(()) | Err(rustix::io::Errno::BUSY) => {}
                Err(error) => return Err(error).with_context(|| format!("mounting {kind} on {place}")),
            }
        }
        symlink("/proc/self/fd", "/dev/fd").ok();
        busybox(&["--install", "-s", "/bin"])?;
        busybox(&["ip", "link", "set", "lo", "up"])?;
        Ok(Self(()))
    }
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
