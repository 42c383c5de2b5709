//! What a process could have done, in words, with what makes a takeover of it worse.

use crate::{finding::Report, model::Posture};

use super::story::{Property, safe};

/// What Docker and Podman give a container that asks for nothing: more than that is worth a word.
const USUAL: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
/// What is as good as root on the host, or lets one see and change what others do.
const WORST: [&str; 7] = [
    "CAP_SYS_ADMIN",
    "CAP_SYS_MODULE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_DAC_READ_SEARCH",
    "CAP_BPF",
    "CAP_NET_ADMIN",
];
/// Most capabilities named.
const NAMED_MAX: usize = 12;

/// All that are known.
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
    let mut add = |what, value: String, risk: Option<&'static str>| {
        properties.push(Property {
            what,
            value: safe(&value),
            risk,
        });
    };
    if !contained {
        add(
            "isolation",
            String::from("none: no container"),
            Some("it runs on the host itself"),
        );
    }
    if *privileged {
        add(
            "capabilities",
            String::from("all: privileged"),
            Some("it can take over the machine"),
        );
    } else {
        let mut beyond: Vec<&String> = capabilities
            .iter()
            .filter(|name| !USUAL.contains(&name.as_str()))
            .collect();
        beyond.sort_by_key(|name| WORST.iter().position(|worst| worst == name).unwrap_or(WORST.len()));
        let risk = (!beyond.is_empty()).then_some("more than a container gets by default");
        // The worst ones first, so that they are never among those left out.
        let usual = capabilities.iter().filter(|name| USUAL.contains(&name.as_str()));
        let names: Vec<&str> = beyond
            .into_iter()
            .chain(usual)
            .map(|name| name.strip_prefix("CAP_").unwrap_or(name))
            .collect();
        add("capabilities", listed(&names), risk);
    }
    if let Some(mode) = seccomp {
        let risk = (contained && mode == "disabled").then_some("every system call is open to it");
        add("seccomp", mode.clone(), risk);
    }
    if let Some(set) = no_new_privs {
        let value = if *set { "set" } else { "not set" };
        let risk = (!set).then_some("set-uid programs can raise its rights");
        add("no_new_privs", value.to_owned(), risk);
    }
    if contained {
        match mapped_root {
            Some(uid) => add("root inside", format!("is user id {uid} outside"), None),
            None => add(
                "root inside",
                String::from("is root outside"),
                Some("an escape as root is root on the host"),
            ),
        }
        let shared: Vec<&str> = host_namespaces.iter().map(String::as_str).collect();
        let bad = ["net", "pid", "mnt", "ipc", "uts"]
            .iter()
            .any(|name| shared.contains(name));
        add("namespaces", listed(&shared), bad.then_some("shared with the host"));
    }
    if let Some(writable) = writable_root {
        let value = if *writable { "writable" } else { "read-only" };
        let risk = (contained && *writable).then_some("files can have been planted");
        add("root fs", value.to_owned(), risk);
    }
    match security_label {
        Some(label) => {
            let unconfined = label.contains("unconfined");
            let risk = unconfined.then_some("no security module confines it");
            add("LSM label", label.clone(), risk);
        }
        None if contained => add(
            "LSM label",
            String::from("none"),
            Some("no security module confines it"),
        ),
        None => {}
    }
    properties
}

fn listed(names: &[&str]) -> String {
    match names.len() {
        0 => String::from("none"),
        count if count > NAMED_MAX => format!("{} and {} more", names[..NAMED_MAX].join(" "), count - NAMED_MAX),
        _ => names.join(" "),
    }
}
