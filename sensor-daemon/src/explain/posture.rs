//! What a process could have done, in words, with what makes a takeover of it worse.

use crate::{finding::Report, model::Posture};

use super::story::{Property, safe};

/// The capabilities that Docker and Podman give a container by default. Any other is a risk.
const USUAL: &str = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP \
                     SETUID SYS_CHROOT";
/// Capabilities that are as good as root on the host, or that let a process see and change what others do. The worst first.
const WORST: &str = "SYS_ADMIN SYS_MODULE SYS_PTRACE SYS_RAWIO DAC_READ_SEARCH BPF NET_ADMIN";
/// Namespaces that a container should not share with the host.
const OWN: [&str; 5] = ["net", "pid", "mnt", "ipc", "uts"];
/// Most capabilities named.
const NAMED_MAX: usize = 12;

/// All properties that are known.
pub(super) fn properties(report: &Report) -> Vec<Property> {
    let contained = report.incident.shell.container.is_some();
    let Some(posture) = &report.context.posture else {
        return Vec::new();
    };
    let Posture {
        capabilities,
        privileged,
        seccomp,
        no_new_privs,
        mapped_root,
        host_namespaces,
        writable_root,
        security_label,
    } = posture;
    let mut properties = Vec::new();
    let mut add = |what, value: &str, risk: Option<&'static str>| {
        let value = safe(value);
        properties.push(Property { what, value, risk });
    };
    if !contained {
        add("isolation", "none: no container", Some("it runs on the host itself"));
    }
    if *privileged {
        add("capabilities", "all: privileged", Some("it can take over the machine"));
    } else {
        let (names, beyond) = worst_first(capabilities);
        let risk = beyond.then_some("more than a container gets by default");
        add("capabilities", &listed(&names), risk);
    }
    if let Some(mode) = seccomp {
        let risk = (contained && mode == "disabled").then_some("every system call is open to it");
        add("seccomp", mode, risk);
    }
    if let Some(set) = no_new_privs {
        let value = if *set { "set" } else { "not set" };
        let risk = (!set).then_some("set-uid programs can raise its rights");
        add("no_new_privs", value, risk);
    }
    if contained {
        match mapped_root {
            Some(uid) => add("root inside", &format!("is user id {uid} outside"), None),
            None => add(
                "root inside",
                "is root outside",
                Some("an escape as root is root on the host"),
            ),
        }
        let shared: Vec<&str> = host_namespaces.iter().map(String::as_str).collect();
        let bad = shared.iter().any(|name| OWN.contains(name));
        add("namespaces", &listed(&shared), bad.then_some("shared with the host"));
    }
    if let Some(writable) = writable_root {
        let value = if *writable { "writable" } else { "read-only" };
        let risk = (contained && *writable).then_some("files can have been planted");
        add("root fs", value, risk);
    }
    if contained || security_label.is_some() {
        let label = security_label.as_deref().unwrap_or("none");
        let confined = security_label.is_some() && !label.contains("unconfined");
        let risk = (!confined).then_some("no security module confines it");
        add("LSM label", label, risk);
    }
    properties
}

/// The names of capabilities, and whether there are more than a container gets by default. The worst come first, so that they are
/// never among those that [`listed`] leaves out.
fn worst_first(capabilities: &[String]) -> (Vec<&str>, bool) {
    let rank = |name: &str| {
        let worst = WORST.split(' ').position(|worst| worst == name);
        worst.unwrap_or(if USUAL.split(' ').any(|usual| usual == name) {
            99
        } else {
            98
        })
    };
    let names = capabilities.iter();
    let mut names: Vec<&str> = names.map(|name| name.strip_prefix("CAP_").unwrap_or(name)).collect();
    names.sort_by_key(|name| rank(name));
    let beyond = names.first().is_some_and(|name| rank(name) < 99);
    (names, beyond)
}

fn listed(names: &[&str]) -> String {
    match names.len() {
        0 => String::from("none"),
        count if count > NAMED_MAX => format!("{} and {} more", names[..NAMED_MAX].join(" "), count - NAMED_MAX),
        _ => names.join(" "),
    }
}
