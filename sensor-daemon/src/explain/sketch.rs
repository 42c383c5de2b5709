//! The chain and the process tree in characters. Both mark the peer, the relays and what was taken over alike, so that the
//! tree need not say again what the chain has said of them.

use crate::finding::{
    columns::{Span, fit, joined},
    human::{BOLD, DIM, RED},
};

use super::story::{Flow, Node, Part, Process, Role, Story, Way};

/// Most columns of a program's name in the chain, and of a command in the tree.
const NAME_MAX: usize = 48;
const COMMAND_MAX: usize = 24;
/// Most processes of the tree in one line of descent, the upper and the lower end of it; those between are counted.
const ABOVE_SHOWN: usize = 1;
const BELOW_SHOWN: usize = 5;
/// Most rows of a chain.
const CHAIN_ROWS: usize = 15;

/// What stands before the last child and below it; the same for a child that others follow.
const LAST: (&str, &str) = ("└ ", "  ");
const ANOTHER: (&str, &str) = ("├ ", "│ ");

const PEER: &str = "◆";
const RELAY: &str = "○";
const SHELL: &str = "●";

/// The chain from the peer down to the shell. Ways through the same nodes are drawn as one.
pub(super) fn chain(story: &Story, columns: usize) -> Vec<Vec<Span>> {
    let mut groups: Vec<Vec<&Way>> = Vec::new();
    for way in &story.ways {
        match groups.iter_mut().find(|group| same_nodes(group[0], way)) {
            Some(group) => group.push(way),
            None => groups.push(vec![way]),
        }
    }
    let mut rows = Vec::new();
    for (nth, group) in groups.iter().enumerate() {
        if nth > 0 && same_ends(groups[0][0], group[0]) {
            rows.extend(aside(group[0], columns));
            continue;
        }
        for at in 0..group[0].nodes.len() {
            rows.push(vec![node(group, at)]);
            rows.extend(links(group, at, columns));
        }
    }
    let more = rows.len().saturating_sub(CHAIN_ROWS);
    if more > 0 {
        rows.truncate(CHAIN_ROWS - 1);
        rows.push(vec![(String::from("… more in the other formats"), DIM)]);
    }
    rows
}

fn same_nodes(one: &Way, other: &Way) -> bool {
    let key = |node: &Node| (node.part, node.name.clone(), node.pid, node.detail.clone());
    one.nodes.iter().map(key).eq(other.nodes.iter().map(key))
}

/// Whether two ways have the same peer, shell, and socket: only what is between differs.
fn same_ends(one: &Way, other: &Way) -> bool {
    let ends = |way: &Way| {
        let first = way.nodes.first()?;
        let last = way.nodes.last()?;
        Some((first.name.clone(), first.link.clone(), last.pid))
    };
    other.nodes.len() > 2 && ends(one) == ends(other)
}

/// Another way between the same ends, in the direction in which bytes take it.
fn aside(way: &Way, columns: usize) -> Vec<Vec<Span>> {
    let mut parts = Vec::new();
    for node in &way.nodes[1..] {
        if node.part == Part::Relay {
            let pid = node.pid.map(|pid| format!(" {pid}")).unwrap_or_default();
            parts.push((format!("{RELAY}{pid} {}", fit(&node.name, NAME_MAX)), ""));
            parts.extend(node.link.clone().map(|link| (link, DIM)));
        }
    }
    if way.flow == Flow::Out {
        parts.reverse();
        parts.push((String::from(PEER), RED));
    } else {
        parts.push((String::from(SHELL), BOLD));
    }
    parts.insert(0, (format!("{} {}", arrow(way.flow), way.streams), ""));
    joined(parts, " › ", columns)
}

fn node(group: &[&Way], at: usize) -> Span {
    let node = &group[0].nodes[at];
    let pid = node.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let (mark, style) = match node.part {
        Part::Peer => (PEER, RED),
        Part::Relay => (RELAY, ""),
        Part::Shell => (SHELL, BOLD),
    };
    // Where ways differ, their last links name the streams.
    let detail = if node.part == Part::Shell && (at == 0 || alike(group, at - 1)) {
        let streams: Vec<&str> = group.iter().map(|way| way.streams.as_str()).collect();
        format!("{}: {}", streams.join(", "), node.detail)
    } else {
        node.detail.clone()
    };
    (format!("{mark} {}{pid}  {detail}", fit(&node.name, NAME_MAX)), style)
}

/// Whether the same lies between two nodes on all ways.
fn alike(group: &[&Way], at: usize) -> bool {
    group.iter().all(|way| way.nodes[at].link == group[0].nodes[at].link)
}

/// What lies between a node and the next one.
fn links(group: &[&Way], at: usize, columns: usize) -> Vec<Vec<Span>> {
    let Some(first) = &group[0].nodes[at].link else {
        return Vec::new();
    };
    if alike(group, at) {
        let one = group[0].flow;
        let flow = if group.iter().all(|way| way.flow == one) {
            one
        } else {
            Flow::Both
        };
        return vec![vec![(format!("{} {first}", arrow(flow)), DIM)]];
    }
    let last = group[0].nodes.len().saturating_sub(2);
    let item = |way: &&Way| {
        let text = way.nodes[at].link.as_deref().unwrap_or_default();
        if at == last {
            (format!("{} {}: {text}", arrow(way.flow), way.streams), DIM)
        } else {
            (format!("{} {text}", arrow(way.flow)), DIM)
        }
    };
    joined(group.iter().map(item).collect(), "  ", columns)
}

fn arrow(flow: Flow) -> &'static str {
    match flow {
        Flow::In => "▼",
        Flow::Out => "▲",
        Flow::Both => "↕",
    }
}

/// The process tree. A line of descent without a fork takes one row, or as many as it is wide.
pub(super) fn tree(story: &Story, columns: usize) -> Vec<Vec<Span>> {
    let all = &story.processes;
    let mut rows = Vec::new();
    for at in (0..all.len()).filter(|&at| all[at].depth == 0) {
        branch(all, at, "", "", columns, &mut rows);
    }
    rows
}

/// The rows of the process at `at` and of those below it, `first` before the first row and `rest` before the others.
fn branch(all: &[Process], mut at: usize, first: &str, rest: &str, columns: usize, rows: &mut Vec<Vec<Span>>) {
    let above = all[at]
        .parent
        .and_then(|pid| all.iter().find(|parent| parent.pid == pid));
    let mut user = above.and_then(|parent| parent.user_id);
    let mut line = Vec::new();
    let below = loop {
        line.push(process(&all[at], &mut user));
        let children = children(all, at);
        match children[..] {
            [only] => at = only,
            _ => break children,
        }
    };
    let hidden = line.len().saturating_sub(ABOVE_SHOWN + BELOW_SHOWN);
    if hidden > 1 {
        line.splice(ABOVE_SHOWN..ABOVE_SHOWN + hidden, [(format!("{hidden} more"), DIM)]);
    }
    let room = columns
        .saturating_sub(first.chars().count().max(rest.chars().count() + 2))
        .max(20);
    rows.extend(led(joined(line, " › ", room), first, &format!("{rest}  ")));
    let (leaves, forks): (Vec<usize>, Vec<usize>) = below.iter().partition(|&&child| children(all, child).is_empty());
    if !leaves.is_empty() {
        let (mark, under) = if forks.is_empty() { LAST } else { ANOTHER };
        let items = leaves.iter().map(|&leaf| process(&all[leaf], &mut user.clone()));
        let below = joined(items.collect(), " + ", room);
        rows.extend(led(below, &format!("{rest}{mark}"), &format!("{rest}{under}")));
    }
    for (nth, child) in forks.iter().enumerate() {
        let (mark, under) = if nth + 1 == forks.len() { LAST } else { ANOTHER };
        let (first, rest) = (format!("{rest}{mark}"), format!("{rest}{under}"));
        branch(all, *child, &first, &rest, columns, rows);
    }
}

/// Rows with `first` before the first of them and `rest` before the others.
fn led<'a>(rows: Vec<Vec<Span>>, first: &'a str, rest: &'a str) -> impl Iterator<Item = Vec<Span>> + 'a {
    let leads = std::iter::once(first).chain(std::iter::repeat(rest));
    rows.into_iter().zip(leads).map(|(mut row, lead)| {
        row.insert(0, (lead.to_owned(), ""));
        row
    })
}

/// Those directly below: the list has parents before children, each with its depth.
fn children(all: &[Process], at: usize) -> Vec<usize> {
    let depth = all[at].depth;
    (at + 1..all.len())
        .take_while(|&below| all[below].depth > depth)
        .filter(|&below| all[below].depth == depth + 1)
        .collect()
}

/// One process, with its user id if that is another than `user`, its parent's.
fn process(process: &Process, user: &mut Option<u32>) -> Span {
    let (mark, style) = match process.role {
        Role::Shell => ("● ", BOLD),
        Role::Relay => ("○ ", ""),
        Role::Ancestor => ("", DIM),
    };
    // The chain has the whole command of what it shows. Where a program is says little of one above it.
    let what = match process.role {
        Role::Ancestor if process.command.starts_with('/') => {
            let end = process.command.find(' ').unwrap_or(process.command.len());
            let directory = process.command[..end].rfind('/').map_or(0, |at| at + 1);
            &process.command[directory..]
        }
        Role::Ancestor if !process.command.is_empty() => &process.command,
        Role::Ancestor | Role::Relay | Role::Shell => &process.name,
    };
    let changed = process.user_id.filter(|_| process.user_id != *user);
    *user = process.user_id.or(*user);
    let uid = changed.map(|uid| format!(" (uid {uid})")).unwrap_or_default();
    (format!("{mark}{} {}{uid}", process.pid, fit(what, COMMAND_MAX)), style)
}
