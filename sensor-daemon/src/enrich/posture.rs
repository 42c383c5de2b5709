//! What a process may do to the machine it runs on: parsers of the texts in `/proc` (pure), and a thin reader.

use crate::{
    model::{Namespaces, Posture},
    procfs::{Mounts, UidMap, namespace, text},
};

/// Most characters of a security label.
const LABEL_MAX: usize = 256;

/// Names of capabilities, by number (`include/uapi/linux/capability.h`).
const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Inode numbers of the first namespaces, where they are fixed (`include/linux/proc_ns.h`). Those of `net` and `mnt` are not.
const FIRST: &[(&str, u64)] = &[
    ("pid", 0xEFFF_FFFC),
    ("ipc", 0xEFFF_FFFF),
    ("uts", 0xEFFF_FFFE),
    ("user", 0xEFFF_FFFD),
    ("cgroup", 0xEFFF_FFFB),
];
/// All that a finding speaks of.
const NAMESPACES: &[&str] = &["net", "pid", "mnt", "ipc", "uts", "user", "cgroup"];

/// Capabilities by name; those that are younger than this list by number.
pub(super) fn capabilities(bits: u64) -> Vec<String> {
    (0..u64::BITS as usize)
        .filter(|bit| bits & (1 << bit) != 0)
        .map(|bit| {
            CAPABILITIES
                .get(bit)
                .map_or_else(|| format!("CAP_{bit}"), |name| (*name).to_owned())
        })
        .collect()
}

/// What `/proc/PID/status` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    seccomp: Option<String>,
    no_new_privs: Option<bool>,
}

impl Status {
    /// Reads it. A field that is not there whole is not known.
    fn parse(text: &str) -> Self {
        let mut status = Self::default();
        // A line without its end may be cut.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("Seccomp", mode)) => {
                    status.seccomp = match mode {
                        "0" => Some("disabled".into()),
                        "1" => Some("strict".into()),
                        "2" => Some("filter".into()),
                        _ => None,
                    };
                }
                Some(("NoNewPrivs", set)) => {
                    status.no_new_privs = match set {
                        "0" => Some(false),
                        "1" => Some(true),
                        _ => None,
                    };
                }
                _ => {}
            }
        }
        status
    }
}

/// A security label, `/proc/PID/attr/current`: AppArmor's profile or SELinux's context.
fn label(text: &str) -> Option<String> {
    let text = text.trim_matches(['\0', '\n', ' ']);
    let plain: String = text.chars().filter(|c| !c.is_control()).take(LABEL_MAX).collect();
    (!plain.is_empty()).then_some(plain)
}

/// The posture of a process by what the kernel recorded of it, and of `pid`, if somebody lives who shares its namespaces: the
/// process itself, or the nearest one above it. `host_processes`: process 1 as seen here is the host's first.
pub(super) fn of(
    bits: u64,
    namespaces: &Namespaces,
    pid: Option<u32>,
    mounts: Option<&Mounts>,
    host_processes: bool,
) -> Posture {
    let status = pid
        .and_then(|pid| text(&format!("/proc/{pid}/status")))
        .map(|text| Status::parse(&text))
        .unwrap_or_default();
    let host_namespaces = host_namespaces(namespaces, pid, host_processes);
    let all = capability_mask();
    Posture {
        capabilities: capabilities(bits),
        privileged: bits & all == all && host_namespaces.iter().any(|name| name == "user"),
        seccomp: status.seccomp,
        no_new_privs: status.no_new_privs,
        mapped_root: pid
            .and_then(|pid| text(&format!("/proc/{pid}/uid_map")))
            .and_then(|text| UidMap::parse(&text).outside(0))
            .filter(|outside| *outside != 0),
        host_namespaces,
        writable_root: mounts.and_then(|mounts| mounts.writable_root),
        security_label: pid
            .and_then(|pid| text(&format!("/proc/{pid}/attr/current")))
            .and_then(|text| label(&text)),
    }
}

/// Every capability that this kernel knows.
fn capability_mask() -> u64 {
    let last = text("/proc/sys/kernel/cap_last_cap").and_then(|text| text.trim().parse::<u32>().ok());
    let last = last.unwrap_or(CAPABILITIES.len() as u32 - 1).min(u64::BITS - 1);
    u64::MAX >> (u64::BITS - 1 - last)
}

fn host_namespaces(recorded: &Namespaces, pid: Option<u32>, host_processes: bool) -> Vec<String> {
    let shared = |name: &&&str| {
        let recorded = match **name {
            "mnt" => Some(recorded.mnt),
            "pid" => Some(recorded.pid),
            "net" => Some(recorded.net),
            "user" => Some(recorded.user),
            _ => None,
        };
        let own = recorded
            .filter(|number| *number != 0)
            .map(u64::from)
            .or_else(|| namespace(pid?, name));
        let fixed = FIRST
            .iter()
            .find(|(first, _)| first == *name)
            .map(|(_, number)| *number);
        let first = fixed.or_else(|| namespace(1, name).filter(|_| host_processes));
        own.is_some() && own == first
    };
    NAMESPACES
        .iter()
        .filter(shared)
        .map(|name| (*name).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each parser at every length of its text says what the whole says, or less.
    fn cut(text: &str, check: impl FnMut(&str)) {
        (0..=text.len()).filter_map(|end| text.get(..end)).for_each(check);
    }

    #[test]
    fn capabilities_have_names() {
        for (bits, names) in [
            (0, &[][..]),
            (1, &["CAP_CHOWN"]),
            (1 << 21 | 1 << 12, &["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]),
            (1 << 40, &["CAP_CHECKPOINT_RESTORE"]),
            (1 << 63, &["CAP_63"]),
        ] {
            assert_eq!(capabilities(bits), names);
        }
        // docker's default, 00000000a80425fb.
        assert_eq!(capabilities(0xa804_25fb).len(), 14);
    }

    #[test]
    fn status_tells_seccomp_and_no_new_privs() {
        let status = |seccomp: Option<&str>, no_new_privs| Status {
            seccomp: seccomp.map(str::to_owned),
            no_new_privs,
        };
        for (text, expected) in [
            (
                "Name:\tSeccomp\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t2\n",
                status(Some("disabled"), Some(false)),
            ),
            ("NoNewPrivs:\t1\nSeccomp:\t2\n", status(Some("filter"), Some(true))),
            ("Seccomp:\t1\n", status(Some("strict"), None)),
            ("Seccomp:\t7\nNoNewPrivs:\tyes\n", status(None, None)),
            ("", status(None, None)),
        ] {
            assert_eq!(Status::parse(text), expected);
            cut(text, |part| {
                let part = Status::parse(part);
                assert!(part.seccomp.is_none() || part.seccomp == expected.seccomp);
                assert!(part.no_new_privs.is_none() || part.no_new_privs == expected.no_new_privs);
            });
        }
    }

    #[test]
    fn labels_are_one_plain_line() {
        for (text, expected) in [
            ("docker-default (enforce)\n", Some("docker-default (enforce)")),
            (
                "system_u:system_r:container_t:s0:c1,c2\0",
                Some("system_u:system_r:container_t:s0:c1,c2"),
            ),
            ("unconfined\n", Some("unconfined")),
            ("a\u{1b}[31mb\nc", Some("a[31mbc")),
            ("\n", None),
            ("", None),
        ] {
            assert_eq!(label(text).as_deref(), expected);
            cut(text, |part| {
                label(part);
            });
        }
        assert_eq!(label(&"x".repeat(9999)).unwrap().len(), LABEL_MAX);
    }

    #[test]
    fn this_process_has_the_posture_that_proc_says() {
        let pid = std::process::id();
        let number = |name| namespace(pid, name).unwrap() as u32;
        let namespaces = Namespaces {
            mnt: number("mnt"),
            pid: number("pid"),
            net: number("net"),
            user: number("user"),
        };
        let mounts = Mounts::of(pid);
        let posture = of(1 << 12, &namespaces, Some(pid), mounts.as_ref(), true);
        assert_eq!(posture.capabilities, ["CAP_NET_ADMIN"]);
        assert!(!posture.privileged);
        assert!(posture.seccomp.is_some() && posture.no_new_privs.is_some() && posture.writable_root.is_some());
        // Of one that is gone with all above it, what the kernel recorded is left.
        let gone = of(u64::MAX, &namespaces, None, None, false);
        assert_eq!(gone.privileged, number("user") == 0xEFFF_FFFD);
        assert_eq!((gone.seccomp, gone.writable_root), (None, None));
    }
}
