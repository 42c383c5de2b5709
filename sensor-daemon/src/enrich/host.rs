//! The machine that is watched.

use std::{fs, net::IpAddr, path::Path};

use crate::{
    model::Host,
    procfs::{Mounts, Root, boot_unix_ns, namespace, sees_host_process_ids},
};

/// Inode number of the host's UTS namespace, which holds the host's name (`PROC_UTS_INIT_INO` in include/linux/proc_ns.h).
const HOST_UTS: u64 = 0xEFFF_FFFE;
/// Longest name of a host (`HOST_NAME_MAX` in include/uapi/linux/limits.h).
const NAME_MAX: u64 = 64;

fn line(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// Reads what a finding says of this host.
#[must_use]
pub fn host() -> Host {
    let uname = rustix::system::uname();
    let own = uname.nodename().to_string_lossy().into_owned();
    let contained = namespace(std::process::id(), "uts").is_some_and(|uts| uts != HOST_UTS);
    // Of the host's name, this file alone can be read from another UTS namespace: /proc/1/root/proc/sys/kernel/hostname tells
    // the reader's own name.
    let of_first = || name_file(1).filter(|_| sees_host_process_ids().unwrap_or(false));
    let (hostname, hostname_of_container) = choose(own, contained, of_first);
    Host {
        hostname,
        hostname_of_container,
        machine_id: line("/etc/machine-id"),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        kernel: uname.release().to_string_lossy().into_owned(),
        boot_unix_ns: boot_unix_ns(),
    }
}

/// The name to report, and whether it is only the container's.
fn choose(own: String, contained: bool, of_first: impl Fn() -> Option<String>) -> (String, bool) {
    if !contained {
        return (own, false);
    }
    of_first().map_or((own, true), |name| (name, false))
}

/// What `/etc/hostname` says, as a process sees the file.
fn name_file(pid: u32) -> Option<String> {
    let root = Root::of(pid, Mounts::of(pid)).ok()?;
    let text = root.read(Path::new("/etc/hostname"), NAME_MAX + 1).ok()?;
    let name = std::str::from_utf8(&text).ok()?.lines().next()?.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_container_the_name_is_the_hosts_or_marked() {
        for (contained, of_first, expected) in [
            (false, Some("node-1"), ("own", false)),
            (true, Some("node-1"), ("node-1", false)),
            (true, None, ("own", true)),
        ] {
            let chosen = choose("own".into(), contained, || of_first.map(str::to_owned));
            assert_eq!((chosen.0.as_str(), chosen.1), expected);
        }
    }

    #[test]
    fn the_file_with_the_name_is_read_through_a_process() {
        let written = line("/etc/hostname");
        assert_eq!(name_file(std::process::id()).unwrap_or_default(), written);
        assert_eq!(name_file(u32::MAX), None);
    }
}
