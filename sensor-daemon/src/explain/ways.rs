//! The chain between the peer and the shell, as nodes and what lies between them.

use crate::{
    detect::{Link, Technique},
    finding::{Report, describe, human, typed},
    model::{Ancestor, Direction, Exec, Hop, ProcessId, Route, Socket, Text},
};

use super::story::{Flow, Node, Part, Way, bounded};

/// What lies between a program and the commands that it runs.
const RUNS: &str = "runs commands";
const NAMES: [&str; 3] = ["stdin", "stdout", "stderr"];

/// All ways: at most one for each stream, and one for what a program runs.
pub(super) fn ways(report: &Report) -> Vec<Way> {
    let incident = &report.incident;
    let shell = || shell(&incident.shell);
    let mut ways: Vec<Way> = Vec::new();
    let mut seen: Vec<u64> = Vec::new();
    for stream in &incident.shell.streams {
        let Some(socket) = stream.socket().filter(|socket| socket.has_peer()) else {
            continue;
        };
        if seen.contains(&socket.inode) {
            continue;
        }
        seen.push(socket.inode);
        let on = [0, 1, 2].map(|at: usize| {
            incident.shell.streams[at]
                .socket()
                .is_some_and(|other| other.inode == socket.inode)
        });
        let (streams, flow) = (named(on), flow(on));
        let nodes = vec![peer(socket, None), shell()];
        ways.push(Way { streams, flow, nodes });
    }
    let output = if incident.carried[1] { 1 } else { 2 };
    let out = [false, incident.carried[1], incident.carried[2]];
    match (&incident.input_route, &incident.output_route) {
        (Some(input), Some(back)) if human::same_way(input, back) => {
            let streams = named([true, out[1], out[2]]);
            ways.push(carried(input, Flow::Both, shell(), streams));
        }
        (input, back) => {
            for (route, flow, streams) in [(input, Flow::In, NAMES[0]), (back, Flow::Out, NAMES[output])] {
                if let Some(route) = route.as_ref().filter(|route| !route.hops.is_empty()) {
                    ways.push(carried(route, flow, shell(), streams.to_owned()));
                }
            }
        }
    }
    let runs = incident.technique == Technique::CommandLoop && !incident.carried[0];
    if (ways.is_empty() || runs)
        && let Some(socket) = incident.primary()
    {
        let streams = match incident.link {
            Link::Held => "run by it; nothing shows that it came over the connection",
            Link::Streams | Link::Carried | Link::Delivered => "run by it",
        };
        let mut nodes = vec![peer(socket, None)];
        if incident.relays.is_empty() {
            nodes.extend(incident.shell.parent().map(runner));
        } else {
            nodes.extend(incident.relays.iter().rev().map(|hop| relay(hop, RUNS)));
        }
        nodes.push(shell());
        let (streams, flow) = (streams.to_owned(), Flow::In);
        ways.insert(0, Way { streams, flow, nodes });
    }
    ways
}

fn named(on: [bool; 3]) -> String {
    let names = NAMES.into_iter().zip(on);
    let names: Vec<&str> = names.filter_map(|(name, on)| on.then_some(name)).collect();
    names.join(", ")
}

fn flow(on: [bool; 3]) -> Flow {
    match (on[0], on[1] || on[2]) {
        (true, false) => Flow::In,
        (false, _) => Flow::Out,
        (true, true) => Flow::Both,
    }
}

fn shell(exec: &Exec) -> Node {
    let arguments = typed::command_line(&exec.argv, exec.argv_truncated);
    let name = describe::name(&exec.program, &exec.comm);
    node(Part::Shell, name, exec.process, &arguments, None)
}

/// A program that runs the commands.
fn runner(parent: &Ancestor) -> Node {
    let arguments = typed::command_line(&parent.argv, false);
    let name = describe::name(&parent.program, &parent.comm);
    node(Part::Relay, name, parent.process, &arguments, Some(RUNS))
}

fn relay(hop: &Hop, link: &str) -> Node {
    let path = hop.path.as_ref().map(Text::for_terminal).unwrap_or_default();
    let name = describe::name(&hop.program, &hop.comm);
    node(Part::Relay, name, hop.process, &path, Some(link))
}

fn node(part: Part, name: String, process: ProcessId, detail: &str, link: Option<&str>) -> Node {
    Node {
        part,
        name,
        pid: Some(process.pid),
        detail: bounded(detail),
        link: link.map(bounded),
    }
}

fn peer(socket: &Socket, fd: Option<u32>) -> Node {
    let Socket {
        transport,
        local,
        remote,
        direction,
        ..
    } = socket;
    let opened = match direction {
        Direction::Outbound => "connected to from here",
        Direction::Inbound => "connected to here",
        Direction::Unknown => "it is not known who connected",
    };
    let loopback = if remote.is_loopback() {
        "; loopback: this host itself"
    } else {
        ""
    };
    let at = fd.map(|fd| format!(", fd {fd}")).unwrap_or_default();
    Node {
        part: Part::Peer,
        name: remote.to_string(),
        pid: None,
        detail: format!("peer, {opened}{loopback}"),
        link: Some(format!("{transport} socket {local}{at}")),
    }
}

fn carried(route: &Route, flow: Flow, shell: Node, streams: String) -> Way {
    let mut nodes = vec![peer(&route.socket, Some(route.fd))];
    for hop in route.hops.iter().rev() {
        let kind = hop.kind.strip_suffix(" master").unwrap_or(&hop.kind);
        let kind = Text::from(kind).for_terminal();
        nodes.push(relay(hop, &format!("{kind} {}, fd {}", hop.inode, hop.fd)));
    }
    nodes.push(shell);
    Way { streams, flow, nodes }
}
