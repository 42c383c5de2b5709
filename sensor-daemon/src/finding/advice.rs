//! What to do about a finding, in words. The commands for it are `explain`'s.

use crate::{
    detect::{Link, State},
    model::{Container, ContainerRuntime},
};

use super::{Report, clip, connection, describe};

/// Steps in the order in which they are safe to take, numbered, one a line.
pub(super) fn next_steps(report: &Report) -> String {
    let incident = &report.incident;
    let shell = &incident.shell;
    let goes_on = incident.state == State::Active;
    let is_sure = incident.link != Link::Held;
    let pid = shell.process.pid;
    let mut steps: Vec<String> = Vec::new();
    if !is_sure {
        let holder = incident
            .relays
            .first()
            .map(|hop| (&hop.program, &hop.comm, hop.process.pid));
        let holder = holder.or(shell
            .parent()
            .map(|parent| (&parent.program, &parent.comm, parent.process.pid)));
        let holder = holder.map_or_else(
            || String::from("its parent"),
            |(program, comm, pid)| format!("{} (pid {pid})", describe::name(program, comm)),
        );
        steps.push(format!(
            "Find out whether {holder} is meant to run this program: nothing shows that the network asked for it. If it is meant, \
             add an exception."
        ));
    } else if goes_on {
        steps.push(format!("Stop process {pid} with SIGSTOP, so that evidence stays."));
    }
    steps.push(String::from(if goes_on {
        "Keep the executable, the descriptors and the sockets of the processes that the finding names."
    } else {
        "The takeover has ended: look for what its commands left behind, and keep the logs of that time."
    }));
    if let Some(container) = shell.container.as_ref().filter(|container| is_known(container)) {
        let name = container.name.as_ref().unwrap_or(&container.id);
        steps.push(format!("Keep the file system of the container {}.", clip::name(name)));
    }
    let peers: Vec<String> = connection::peers(incident)
        .iter()
        .map(|(peer, _)| peer.to_string())
        .collect();
    if !peers.is_empty() && is_sure {
        steps.push(format!("Block {}.", peers.join(", ")));
    }
    if incident.loopback {
        steps.push(String::from(
            "The peer is this host itself: find the program that holds the other end of the connection.",
        ));
    }
    if goes_on && is_sure {
        steps.push(format!("End process {pid}."));
    }
    let id: String = report.id.chars().take(12).collect();
    steps.push(format!(
        "`sensor-daemon explain {id}` on the host shows the commands for this."
    ));
    let numbered = (1..).zip(steps).map(|(number, step)| format!("{number}. {step}"));
    numbered.collect::<Vec<_>>().join("\n")
}

fn is_known(container: &Container) -> bool {
    container.runtime != ContainerRuntime::Unknown
}
