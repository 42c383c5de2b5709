//! What to do now, as commands to copy. They hold numbers, addresses and checked ids; anything else comes through
//! `shell::word`. A process id may have gone to another process since, so whatever ends or reads a process does it through
//! the shell function [`on`], which checks the start time first.

use std::net::IpAddr;

use crate::{
    detect::{Link, State},
    finding::Report,
    model::{Container, ContainerRuntime, Direction, Endpoint, Socket, Transport},
};

use super::{
    shell::{self, COMMENT, Line, id, is_nerdctl, line, word},
    story::{Process, Role, Step},
};

/// Most processes that a step names.
const PROCESSES_MAX: usize = 6;
/// Most peers that a step names.
const PEERS_MAX: usize = 4;

/// What is only looked at where the peer is a loopback address.
const NEAR: &str = "the peer is this host itself: find the tunnel";

/// The steps in the order in which they are safe to take: evidence goes first when a process is ended.
///
/// Where a general program holds both the connection and the shell ([`Link::Held`]), it may be at its ordinary work: an editor
/// with its terminal, a web server with a helper. There the first step is to look, and whatever disturbs that program comes last,
/// as comments: pasting the whole list stops and blocks nothing.
pub(super) fn steps(report: &Report, processes: &[Process]) -> Vec<Step> {
    let incident = &report.incident;
    let of = |role| processes.iter().filter(move |process| process.role == role);
    let mut targets: Vec<&Process> = of(Role::Shell).chain(of(Role::Relay)).collect();
    targets.retain(|process| process.pid > 1);
    targets.truncate(PROCESSES_MAX);
    let live = incident.state == State::Active && !targets.is_empty();
    let sure = incident.link != Link::Held;
    let mut steps = Vec::new();
    let stop = || line("on 'kill -STOP $p'");
    if live && sure {
        let commands = vec![on(&targets), stop()];
        steps.push(Step::new("stop it, so that evidence stays", commands));
    } else if !sure {
        steps.push(look(live.then(|| on(&targets))));
    }
    steps.extend(evidence(report, live));
    if let Some(container) = &incident.shell.container {
        steps.extend(snapshot(report, container));
    }
    let quiet = steps.len();
    steps.extend(isolate(report));
    steps.extend(block(report, live));
    if live {
        let end = line("on 'kill -KILL $p'");
        let commands = if sure { vec![end] } else { vec![stop(), end] };
        steps.push(Step::new("end the session", commands));
    }
    if !sure {
        let disturbing = steps[quiet..].iter_mut().filter(|step| step.what != NEAR);
        disturbing.for_each(only_if_meant_ill);
    }
    steps
}

/// What to look at before anything else.
fn look(on: Option<Line>) -> Step {
    let mut commands: Vec<Line> = on.into_iter().collect();
    if !commands.is_empty() {
        commands.push(line("on 'ps -o pid,ppid,user,lstart,args -p $p; ls -l /proc/$p/exe'"));
    }
    Step::new("it may be innocent (editor, web server): look first", commands)
}

fn only_if_meant_ill(step: &mut Step) {
    step.what.insert_str(0, "if it is a takeover, without #: ");
    for Line(words) in &mut step.commands {
        words.insert(0, String::from(COMMENT));
    }
}

/// A function that runs a command with `$p` as each process that still is the one that the finding names: its start time is
/// the 20th field after its name in `/proc/PID/stat`.
fn on(targets: &[&Process]) -> Line {
    let mut words = line("on() { for q in").0;
    let pairs = targets.iter();
    words.extend(pairs.map(|process| format!("{}/{}", process.pid, process.start_ticks)));
    if let Some(last) = words.last_mut() {
        last.push(';');
    }
    words.extend(line("do p=${q%/*};").0);
    // A quoted space does not end a word, and a condition is easier to read in one piece.
    words.extend(["[ \"$(sed 's/.*) //'", "/proc/$p/stat", "|", "cut -d' ' -f20)\" ="].map(str::to_owned));
    words.extend(line("${q#*/} ] && eval \"$1\"; done; }").0);
    Line(words)
}

/// A directory of root's own, and what is to be kept in it.
fn evidence(report: &Report, live: bool) -> Option<Step> {
    let id = id(&report.id)?;
    let directory = format!("/root/finding-{}", beginning(id, 8));
    let (what, looks) = if live {
        let descriptors = "on 'cp /proc/$p/exe $p.exe; ls -l /proc/$p/fd > $p.fd'";
        let sockets = "on 'nsenter -t $p -n ss -tunapi > $p.sockets'; ps -eflww > processes";
        ("collect evidence", vec![descriptors, sockets])
    } else {
        let sockets = "ss -tunapi > sockets; ps -eflww > processes";
        ("it has ended: keep what there is", vec![sockets])
    };
    let mut commands = vec![line(&format!("mkdir -m 700 {directory}; cd {directory}"))];
    commands.extend(looks.into_iter().map(line));
    let id = beginning(id, 12);
    commands.push(line(&format!(
        "sensor-daemon explain {id} --format html > finding.html"
    )));
    Some(Step::new(what, commands))
}

/// Adds the record's directory to the commands that read it. If the directory can't be typed, these commands are left out.
pub(super) fn of_record(steps: &mut [Step], directory: &str) {
    let directory = word(directory);
    for step in steps {
        step.commands.retain_mut(|Line(words)| {
            if words.first().is_none_or(|program| program != "sensor-daemon") {
                return true;
            }
            if let Some(directory) = &directory {
                words.splice(2..2, [String::from("--state-directory"), directory.clone()]);
            }
            directory.is_some()
        });
    }
}

/// The first characters of an id, which is ASCII.
fn beginning(id: &str, characters: usize) -> &str {
    id.get(..characters).unwrap_or(id)
}

/// Keeps the container's file system.
fn snapshot(report: &Report, container: &Container) -> Option<Step> {
    let id = shell::container(&container.id)?;
    let name = self::id(&report.id).map_or("evidence", |id| beginning(id, 8));
    let command = match container.runtime {
        ContainerRuntime::Docker | ContainerRuntime::Podman => {
            format!("{} commit {id} finding-{name}", container.runtime)
        }
        ContainerRuntime::Containerd if is_nerdctl(&report.incident.shell) => {
            format!("nerdctl commit {id} finding-{name}")
        }
        ContainerRuntime::Containerd => format!("nerdctl -n k8s.io commit {id} finding-{name}"),
        ContainerRuntime::Crio => format!("crictl checkpoint --export=/root/finding-{name}.tar {id}"),
        ContainerRuntime::Nspawn => format!("machinectl clone {id} finding-{name}"),
        ContainerRuntime::Ecs | ContainerRuntime::Unknown => return None,
    };
    Some(Step::new("snapshot the container", vec![line(&command)]))
}

/// Marks the pod, so that a network policy can cut it off.
fn isolate(report: &Report) -> Option<Step> {
    let pod = report.context.pod.as_ref()?;
    let (namespace, name) = (word(pod.namespace.as_deref()?)?, word(pod.name.as_deref()?)?);
    let command = line(&format!("kubectl -n {namespace} label pod {name} quarantine=true"));
    Some(Step::new("for a NetworkPolicy that isolates such pods", vec![command]))
}

/// Cuts the peers off.
fn block(report: &Report, live: bool) -> Vec<Step> {
    let posture = report.context.posture.as_ref();
    let own_network = posture.map_or(report.incident.shell.container.is_some(), |posture| {
        posture.host_namespaces.iter().all(|name| name != "net")
    });
    // The host's `ss` sees the sockets of its own network namespace only.
    let there = |command: &str| match (own_network, live) {
        (false, _) => Some(line(command)),
        (true, true) => Some(line(&format!("on 'nsenter -t $p -n {command}'"))),
        (true, false) => None,
    };
    let (mut commands, mut near) = (Vec::new(), Vec::new());
    let mut seen: Vec<IpAddr> = Vec::new();
    for Socket {
        remote,
        direction,
        transport,
        ..
    } in &report.incident.sockets
    {
        let Endpoint::Ip(address) = remote else {
            continue;
        };
        let (ip, port) = (address.ip(), address.port());
        if seen.contains(&ip) || seen.len() == PEERS_MAX {
            continue;
        }
        seen.push(ip);
        if ip.is_loopback() {
            near.extend(there(&format!("ss -tunap sport = :{port}")));
            continue;
        }
        let tool = if ip.is_ipv4() { "iptables" } else { "ip6tables" };
        for (chain, option) in [("INPUT", "-s"), ("OUTPUT", "-d")] {
            let command = if own_network {
                format!("for c in {chain} FORWARD; do {tool} -I $c {option} {ip} -j DROP; done")
            } else {
                format!("{tool} -I {chain} {option} {ip} -j DROP")
            };
            commands.push(line(&command));
        }
        // Of a peer that was connected to, other connections from here may be to something else.
        let port = match direction {
            Direction::Outbound => format!(":{port}"),
            Direction::Inbound | Direction::Unknown => String::new(),
        };
        // Brackets are a pattern to a shell.
        let host = match ip {
            IpAddr::V4(_) => format!("{ip}{port}"),
            IpAddr::V6(_) => format!("\"[{ip}]{port}\""),
        };
        let kind = match transport {
            Transport::Tcp => 't',
            Transport::Udp => 'u',
            _ => continue,
        };
        if live {
            commands.extend(there(&format!("ss -K{kind} dst {host}")));
        }
    }
    let mut steps = Vec::new();
    if !commands.is_empty() {
        steps.push(Step::new("cut the peer off", commands));
    }
    if !near.is_empty() {
        steps.push(Step::new(NEAR, near));
    }
    steps
}
