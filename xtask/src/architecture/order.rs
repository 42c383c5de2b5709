//! The order of rooms: which room may import from which. It is read from `docs/architecture.md`.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use anyhow::{Context, Result, bail, ensure};

use super::graph::Arrow;

/// The line that the block of the page begins with.
const HEAD: &str = "rooms, highest first:";

/// Rooms by level, and rooms that may import from a few others only.
pub(super) struct Order {
    levels: BTreeMap<String, usize>,
    only: BTreeMap<String, Vec<String>>,
}

impl Order {
    /// Reads the block of `page`:
    ///
    /// ```text
    /// rooms, highest first:
    /// cli
    /// sinks store
    /// model
    /// store: model
    /// ```
    ///
    /// Each line is a level. A room may import from rooms of lower levels, but not from its neighbours. The last line says
    /// that `store` imports from `model` and from nothing else.
    ///
    /// # Errors
    /// If there is no such block, or a room is named twice.
    pub(super) fn read(page: &str) -> Result<Self> {
        let mut lines = page.lines().skip_while(|line| line.trim() != HEAD);
        lines
            .next()
            .with_context(|| format!("the page has no block that begins with `{HEAD}`"))?;
        let mut order = Self {
            levels: BTreeMap::new(),
            only: BTreeMap::new(),
        };
        for (level, line) in lines.take_while(|line| !line.starts_with("```")).enumerate() {
            if let Some((room, others)) = line.split_once(':') {
                let others = others.split_whitespace().map(str::to_owned).collect();
                order.only.insert(room.trim().to_owned(), others);
                continue;
            }
            for room in line.split_whitespace() {
                let before = order.levels.insert(room.to_owned(), level);
                ensure!(before.is_none(), "the order of rooms names `{room}` twice");
            }
        }
        for room in order.only.iter().flat_map(|(room, others)| others.iter().chain([room])) {
            order.level(room)?;
        }
        Ok(order)
    }

    /// Whether the arrow goes upwards, or to a neighbour, or to a room that its own does not import from.
    ///
    /// # Errors
    /// If a room is not in the order.
    pub(super) fn forbids(&self, arrow: &Arrow) -> Result<bool> {
        let (from, to) = (room(&arrow.from), room(&arrow.to));
        if from == to {
            return Ok(false);
        }
        // The root of the sensor's library and its `main` are above all rooms.
        let Some(from) = from else { return Ok(false) };
        let Some(to) = to else { return Ok(true) };
        let allowed = self.only.get(&from).is_none_or(|others| others.contains(&to));
        Ok(!allowed || self.level(&from)? >= self.level(&to)?)
    }

    fn level(&self, room: &str) -> Result<usize> {
        match self.levels.get(room) {
            Some(level) => Ok(*level),
            None => bail!("the order of rooms in docs/architecture.md does not name `{room}`"),
        }
    }
}

/// The room of a file: a folder or file below `sensor-daemon/src`, and each other crate as a whole. None for the root of
/// the sensor's library and its `main`.
fn room(file: &Path) -> Option<String> {
    let mut parts = file.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let package = parts.next()?;
    if package != "sensor-daemon" {
        return Some(package.to_owned());
    }
    let name = parts.nth(1)?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    (!matches!(name, "lib" | "main")).then(|| name.to_owned())
}
