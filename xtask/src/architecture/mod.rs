//! `cargo xtask architecture`: imports go downwards, and never in a circle.
//!
//! Two files that import from each other can't be read, tested or changed one by one. This reads the source of the sensor
//! and fails on a circle of imports between files, and on an import against the order of rooms that
//! `docs/architecture.md` lists.
//!
//! `source` reads files, `names` finds out which file a name comes from, `graph` finds circles, `order` knows the rooms.
//! A module that declares its children, or hands on what they define (`pub use`), does not import from them.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use self::{
    graph::{Arrow, Graph},
    order::Order,
    source::Sources,
};
use crate::workspace;

mod graph;
mod names;
mod order;
mod source;
#[cfg(test)]
mod tests;

/// Where the order of rooms is.
const PAGE: &str = "docs/architecture.md";

/// Root files, and the names of those that are libraries.
const CRATES: [(&str, Option<&str>); 4] = [
    ("sensor-common/src/lib.rs", Some("sensor_common")),
    ("sensor-daemon/src/lib.rs", Some("sensor_daemon")),
    ("sensor-daemon/src/main.rs", None),
    ("sensor-ebpf/src/main.rs", None),
];

/// Checks this workspace and prints what is wrong.
///
/// # Errors
/// If anything is, or a file can't be read.
pub(crate) fn run() -> Result<()> {
    let faults = check(workspace::root(), &CRATES)?;
    for fault in &faults {
        println!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} faults in the imports between files: see above", faults.len());
    }
    println!("no circle of imports, and none against the order of rooms");
    Ok(())
}

/// What is wrong with the imports of these crates, a line each.
fn check(workspace: &Path, crates: &[(&str, Option<&str>)]) -> Result<Vec<String>> {
    let mut sources = Sources::default();
    for (root, name) in crates {
        sources.add(workspace, Path::new(root), *name)?;
    }
    let page = fs::read_to_string(workspace.join(PAGE)).context(PAGE)?;
    let order = Order::read(&page).context(PAGE)?;
    let graph = Graph::of(&sources);
    let mut faults: Vec<String> = graph.circles().iter().map(|circle| show_circle(circle)).collect();
    for arrow in graph.arrows() {
        if order.forbids(&arrow)? {
            let Arrow { from, line, to } = arrow;
            let (from, to) = (from.display(), to.display());
            faults.push(format!("against the order: {from}:{line} -> {to}"));
        }
    }
    Ok(faults)
}

fn show_circle(circle: &[Arrow]) -> String {
    let mut text = String::from("circle:");
    for Arrow { from, line, .. } in circle {
        text += &format!(" {}:{line} ->", from.display());
    }
    let first = circle.first().map(|arrow| arrow.from.display().to_string());
    format!("{text} {}", first.unwrap_or_default())
}
