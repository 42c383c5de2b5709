//! The tree of the processes that a finding names: those above the shell, its relays, and the shell.

use crate::{
    finding::{Report, describe, time, typed},
    model::{ProcessId, Text},
};

use super::story::{Process, Role, bounded};

/// Parents before children.
pub(super) fn processes(report: &Report) -> Vec<Process> {
    let incident = &report.incident;
    let ancestors = incident.ancestors();
    let process = |id: ProcessId, parent: Option<u32>| Process {
        depth: 0,
        pid: id.pid,
        parent,
        user_id: None,
        role: Role::Ancestor,
        name: String::new(),
        command: String::new(),
        started: (id.start.0 > 0).then(|| time::calendar(id.start, &report.host).to_string()),
        start_ticks: id.start_ticks(),
    };
    let mut all: Vec<Process> = Vec::new();
    for (at, ancestor) in ancestors.iter().enumerate().rev() {
        let above = ancestors.get(at + 1).map(|parent| parent.process.pid);
        let relays = incident.relays.iter().any(|hop| hop.process == ancestor.process);
        let command = if ancestor.argv.is_empty() {
            path(&ancestor.path)
        } else {
            typed::command_line(&ancestor.argv, false)
        };
        all.push(Process {
            user_id: Some(ancestor.uid),
            role: if relays { Role::Relay } else { Role::Ancestor },
            name: describe::name(&ancestor.program, &ancestor.comm),
            command: bounded(&command),
            ..process(ancestor.process, above)
        });
    }
    let shell = &incident.shell;
    for hop in &incident.relays {
        if hop.process == shell.process || ancestors.iter().any(|ancestor| ancestor.process == hop.process) {
            continue;
        }
        all.push(Process {
            role: Role::Relay,
            name: describe::name(&hop.program, &hop.comm),
            command: bounded(&path(&hop.path)),
            ..process(hop.process, (hop.parent != 0).then_some(hop.parent))
        });
    }
    all.push(Process {
        user_id: Some(shell.credentials.uid),
        role: Role::Shell,
        name: describe::name(&shell.program, &shell.comm),
        command: bounded(&typed::command_line(&shell.argv, shell.argv_truncated)),
        ..process(shell.process, shell.parent().map(|parent| parent.process.pid))
    });
    in_order(all)
}

fn path(path: &Option<Text>) -> String {
    path.as_ref().map(Text::for_terminal).unwrap_or_default()
}

/// Each under its parent. What has no known parent, or is its own, stands at the edge.
fn in_order(all: Vec<Process>) -> Vec<Process> {
    let mut placed = vec![false; all.len()];
    let mut ordered = Vec::with_capacity(all.len());
    let roots = (0..all.len()).filter(|&at| !all.iter().any(|other| Some(other.pid) == all[at].parent));
    let mut starts: Vec<usize> = roots.collect();
    // Only a damaged record has a loop: its members are shown all the same.
    starts.extend(0..all.len());
    for start in starts {
        let mut stack = vec![(start, 0)];
        while let Some((at, depth)) = stack.pop() {
            if std::mem::replace(&mut placed[at], true) {
                continue;
            }
            ordered.push(Process {
                depth,
                ..all[at].clone()
            });
            let children = (0..all.len()).filter(|&child| all[child].parent == Some(all[at].pid));
            stack.extend(children.rev().map(|child| (child, depth + 1)));
        }
    }
    ordered
}
