//! The machine that is watched.

use std::{fs, io, net::IpAddr};

use rustix::time::{ClockId, clock_gettime};

use crate::model::{BootTime, Host};

fn line(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// Reads what a finding says of this host.
#[must_use]
pub fn host() -> Host {
    let uname = rustix::system::uname();
    Host {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        machine_id: line("/etc/machine-id"),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        kernel: uname.release().to_string_lossy().into_owned(),
        boot_unix_ns: boot_unix_ns(),
    }
}

/// Whether this process sees processes under the numbers that the kernel side reports: those of the first PID namespace,
/// whose inode number is fixed (`PROC_PID_INIT_INO` in include/linux/proc_ns.h).
///
/// # Errors
/// `/proc` is not there.
pub fn sees_host_process_ids() -> io::Result<bool> {
    Ok(fs::read_link("/proc/self/ns/pid")?.as_os_str() == "pid:[4026531836]")
}

/// Unix time of boot, in nanoseconds. Moves when somebody sets the clock.
#[must_use]
pub fn boot_unix_ns() -> i64 {
    let realtime = clock_gettime(ClockId::Realtime);
    let boottime = clock_gettime(ClockId::Boottime);
    (realtime.tv_sec - boottime.tv_sec) * 1_000_000_000 + (realtime.tv_nsec - boottime.tv_nsec)
}

/// Now, on the engine's clock.
#[must_use]
pub fn now() -> BootTime {
    let now = clock_gettime(ClockId::Boottime);
    BootTime(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Most addresses that are told.
const ADDRESSES_MAX: usize = 16;

/// The machine's own addresses, loopback and link-local ones left out.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses
}
