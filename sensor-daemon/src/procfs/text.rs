//! What is read from `/proc` as it is: texts, and the numbers of namespaces.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
};

/// Most bytes of a text that are read.
const TEXT_MAX: u64 = 1 << 20;

/// Inode number of a namespace of a live process.
#[must_use]
pub fn namespace(pid: u32, name: &str) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{pid}/ns/{name}")).ok()?.ino())
}

/// A text of `/proc`, `None` if it can't be read or is longer than is read: a part would tell something else.
#[must_use]
pub fn text(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(TEXT_MAX).read_to_end(&mut bytes).ok()?;
    ((bytes.len() as u64) < TEXT_MAX).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether this process sees processes under the numbers that the kernel side reports: those of the first PID namespace,
/// whose inode number is fixed (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
///
/// # Errors
/// `/proc` is not there.
pub fn sees_host_process_ids() -> io::Result<bool> {
    Ok(fs::read_link("/proc/self/ns/pid")?.as_os_str() == "pid:[4026531836]")
}

/// A device number in the kernel's internal form.
pub(super) fn kernel_device(device: u64) -> u32 {
    sensor_common::device::number(rustix::fs::major(device), rustix::fs::minor(device))
}
