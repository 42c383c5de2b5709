//! What a finding happened to: program, account, container or unit, pod, host, cloud resource.

use crate::{
    finding::{Report, describe},
    model::{Account, Container, Credentials, Executable, Pod, Text},
};

use super::story::{Fact, bounded, safe};

/// Most of the host's addresses that are shown.
const ADDRESSES_MAX: usize = 8;

/// Where it happened, as people know it: the container, else the unit, else the host.
pub(super) fn place(report: &Report) -> String {
    let shell = &report.incident.shell;
    if let Some(container) = &shell.container {
        let id: String = container.id.chars().take(12).collect();
        let name = container.name.as_deref().unwrap_or(&id);
        return safe(&format!("{} container {name}", container.runtime));
    }
    if shell.cgroup.leaf.is_empty() {
        return String::from("the host itself");
    }
    bounded(&shell.cgroup.leaf.for_terminal())
}

/// All that is known, a label each.
pub(super) fn facts(report: &Report) -> Vec<Fact> {
    let (shell, context) = (&report.incident.shell, &report.context);
    let mut facts = Vec::new();
    let mut add = |what, value: Option<String>| {
        let value = value.as_deref().map(bounded);
        facts.extend(value.map(|value| Fact { what, value }));
    };
    let shown = |text: &Option<Text>| text.as_ref().map(Text::for_terminal);
    let file = context.file.as_ref();
    add("binary", Some(binary(&shell.executable)));
    add("sha256", file.map(|file| safe(&file.sha256)));
    add("size", file.map(|file| format!("{} bytes", file.size)));
    add("script", shown(&shell.script));
    add("directory", shown(&shell.cwd));
    add("account", Some(account(&shell.credentials, context.account.as_ref())));
    if let Some(Container {
        runtime,
        id,
        name,
        image,
    }) = &shell.container
    {
        add("runtime", Some(runtime.to_string()));
        add("container", Some(safe(id)));
        add("name", name.as_deref().map(safe));
        add("image", image.as_deref().map(safe));
    } else if !shell.cgroup.leaf.is_empty() {
        add("unit", Some(shell.cgroup.leaf.for_terminal()));
    }
    add("pod", context.pod.as_ref().map(pod));
    add("kernel", Some(safe(&report.host.kernel)));
    let addresses = context.addresses.iter().take(ADDRESSES_MAX);
    let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
    add("addresses", (!addresses.is_empty()).then(|| addresses.join(" ")));
    let cloud = context.cloud.as_ref();
    add(
        "cloud",
        cloud.map(|cloud| safe(&format!("{} {}", cloud.kind, cloud.display_name))),
    );
    let lost = describe::losses(report.losses);
    add(
        "lost",
        lost.map(|lost| format!("{lost} since the sensor's start: something may be missing here")),
    );
    facts
}

fn binary(file: &Executable) -> String {
    let path = file.path.as_ref();
    let mut binary = path.map_or_else(|| String::from("unknown"), Text::for_terminal);
    for (marked, word) in [
        (file.memfd, "in memory only"),
        (file.deleted, "deleted"),
        (file.setuid, "set-uid"),
        (file.setgid, "set-gid"),
    ] {
        if marked {
            binary.push_str(&format!(" ({word})"));
        }
    }
    binary
}

fn account(credentials: &Credentials, known: Option<&Account>) -> String {
    let mut account = format!("user id {}", credentials.uid);
    if let Some(known) = known {
        if let Some(name) = &known.name {
            account = format!("{} ({account})", safe(name));
        }
        let login = known.login_uid.map(|uid| format!("user id {uid}"));
        if let Some(login) = known.login_name.as_deref().map(safe).or(login) {
            account.push_str(&format!(", logged in as {login}"));
        }
        if let Some(tty) = &known.tty {
            account.push_str(&format!(", terminal {}", safe(tty)));
        }
    }
    if credentials.euid != credentials.uid {
        account.push_str(&format!(", acts as user id {}", credentials.euid));
    }
    account
}

fn pod(pod: &Pod) -> String {
    let parts: Vec<&str> = [&pod.namespace, &pod.name]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let uid = pod.uid.as_deref().unwrap_or_default();
    safe(format!("{} {uid}", parts.join("/")).trim())
}
