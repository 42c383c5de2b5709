//! What to do now, as commands to copy. They hold numbers, addresses and checked ids; anything else comes through
//! `shell::word`. A process id may have gone to another process since, so every command that ends or reads one checks its
//! start time first.

use std::net::IpAddr;

use serde::Serialize;

use crate::{
    detect::State,
    finding::Report,
    model::{Container, ContainerRuntime, Direction, Endpoint, Socket},
};

use super::{
    processes::{Process, Role},
    shell::{Line, id, line, word},
};

/// Most processes that a step names.
const PROCESSES_MAX: usize = 6;
/// Most peers that a step names.
const PEERS_MAX: usize = 4;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What it is for.
    pub what: String,
    /// The commands, one after another. None if there is nothing to type.
    pub commands: Vec<Line>,
}

impl Step {
    pub(super) fn new(what: &str, commands: Vec<Line>) -> Self {
        Self {
            what: what.to_owned(),
            commands,
        }
    }
}

/// The steps in the order in which they are safe to take: evidence goes first when a process is ended.
pub(super) fn steps(report: &Report, processes: &[Process]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut targets: Vec<&Process> = processes.iter().filter(|process| process.role == Role::Shell).collect();
    targets.extend(processes.iter().filter(|process| process.role == Role::Relay));
    targets.retain(|process| process.pid > 1);
    targets.truncate(PROCESSES_MAX);
    let active = report.incident.state == State::Active;
    let each = |what: &dyn Fn(&Process) -> String| -> Vec<Line> {
        let guarded = |process: &&Process| {
            line(&format!(
                "same {} {} && {}",
                process.pid,
                process.start_ticks,
                what(process)
            ))
        };
        targets.iter().map(guarded).collect()
    };
    let directory = id(&report.id).map(|id| format!("/var/tmp/finding-{id}"));
    if active {
        let same = "same() { [ \"$(sed 's/.*) //' /proc/$1/stat | cut -d' ' -f20)\" = \"$2\" ]; }";
        let mut commands = vec![Line(vec![same.to_owned()])];
        commands.extend(each(&|process| format!("kill -STOP {}", process.pid)));
        steps.push(Step::new(
            "stop it where it is, so that evidence stays (as root)",
            commands,
        ));
        if let Some(directory) = &directory {
            let mut commands = vec![line(&format!("mkdir -m 700 {directory}"))];
            commands.extend(each(&|process| {
                format!("cp /proc/{0}/exe {directory}/{0}.exe", process.pid)
            }));
            commands.extend(each(&|process| {
                format!("ls -l /proc/{0}/fd > {directory}/{0}.fd", process.pid)
            }));
            commands.push(line(&format!("ss -tunapi > {directory}/sockets")));
            commands.push(line(&format!("ps -eflww > {directory}/processes")));
            steps.push(Step::new("collect evidence", commands));
        }
    } else if let Some(directory) = &directory {
        steps.push(Step::new(
            "it has ended: nothing is left to stop. Keep what there is",
            vec![
                line(&format!("mkdir -m 700 {directory}")),
                line(&format!("ps -eflww > {directory}/processes")),
            ],
        ));
    }
    if let (Some(directory), Some(id)) = (&directory, id(&report.id)) {
        steps.push(Step::new(
            "keep this page with it",
            vec![line(&format!(
                "sensor-daemon explain {id} --format html > {directory}/finding.html"
            ))],
        ));
    }
    if let Some(container) = &report.incident.shell.container {
        steps.extend(snapshot(report, container));
    }
    steps.extend(block(report));
    if active {
        steps.push(Step::new(
            "end the session",
            each(&|process| format!("kill -KILL {}", process.pid)),
        ));
    }
    steps
}

/// Keeps the container's file system.
fn snapshot(report: &Report, container: &Container) -> Option<Step> {
    let id = id(&container.id)?;
    let name = self::id(&report.id).and_then(|id| id.get(..8)).unwrap_or("evidence");
    let commands = match container.runtime {
        ContainerRuntime::Docker | ContainerRuntime::Podman => {
            let tool = container.runtime;
            vec![
                format!("{tool} pause {id}"),
                format!("{tool} commit {id} finding-{name}"),
            ]
        }
        ContainerRuntime::Containerd => {
            let mut commands = vec![format!("nerdctl -n k8s.io commit {id} finding-{name}")];
            commands.extend(cordon(report));
            commands
        }
        ContainerRuntime::Crio => {
            let mut commands = vec![format!("crictl checkpoint --export=/var/tmp/finding-{name}.tar {id}")];
            commands.extend(cordon(report));
            commands
        }
        ContainerRuntime::Nspawn => vec![format!("machinectl clone {id} finding-{name}")],
        ContainerRuntime::Ecs | ContainerRuntime::Unknown => return None,
    };
    let lines = commands.iter().map(|command| line(command)).collect();
    Some(Step::new("snapshot the container", lines))
}

/// Marks the pod, so that a network policy can cut it off and its service no longer sends it work.
fn cordon(report: &Report) -> Option<String> {
    let pod = report.context.pod.as_ref()?;
    let (namespace, name) = (word(pod.namespace.as_deref()?)?, word(pod.name.as_deref()?)?);
    Some(format!("kubectl -n {namespace} label pod {name} quarantine=true"))
}

/// Cuts the peers off.
fn block(report: &Report) -> Vec<Step> {
    let (mut commands, mut near) = (Vec::new(), Vec::new());
    let mut seen: Vec<IpAddr> = Vec::new();
    for Socket { remote, direction, .. } in &report.incident.sockets {
        let Endpoint::Ip(address) = remote else {
            continue;
        };
        let (ip, port) = (address.ip(), address.port());
        if seen.contains(&ip) || seen.len() == PEERS_MAX {
            continue;
        }
        seen.push(ip);
        if ip.is_loopback() {
            near.push(line(&format!("ss -tunap sport = :{port}")));
            continue;
        }
        let tool = if ip.is_ipv4() { "iptables" } else { "ip6tables" };
        commands.push(line(&format!("{tool} -I INPUT -s {ip} -j DROP")));
        commands.push(line(&format!("{tool} -I OUTPUT -d {ip} -j DROP")));
        if report.incident.shell.container.is_some() {
            commands.push(line(&format!("{tool} -I FORWARD -s {ip} -j DROP")));
            commands.push(line(&format!("{tool} -I FORWARD -d {ip} -j DROP")));
        }
        let port = match direction {
            Direction::Outbound => format!(" dport = :{port}"),
            Direction::Inbound | Direction::Unknown => String::new(),
        };
        commands.push(line(&format!("ss -K dst {ip}{port}")));
    }
    let mut steps = Vec::new();
    if !commands.is_empty() {
        steps.push(Step::new("block the peer and cut its connections", commands));
    }
    if !near.is_empty() {
        steps.push(Step::new(
            "the peer is this host itself: find the tunnel that ends here",
            near,
        ));
    }
    steps
}
