//! Which file imports from which, and the circles among them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

use super::{
    names::Target,
    source::{Import, Module, ModuleId, Sources},
};

/// For each file, the files that it imports from, and the line where it does so first.
#[derive(Default)]
pub(super) struct Graph {
    arrows: BTreeMap<PathBuf, BTreeMap<PathBuf, usize>>,
}

/// An import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) from: PathBuf,
    pub(super) line: usize,
    pub(super) to: PathBuf,
}

impl Graph {
    /// Reads the arrows off the sources.
    pub(super) fn of(sources: &Sources) -> Self {
        let mut graph = Self::default();
        for (id, module) in sources.modules.iter().enumerate() {
            for import in &module.imports {
                if let Some(target) = sources.resolve(id, &import.path)
                    && !is_reexport(sources, id, import, target)
                {
                    graph.add(module, &sources.modules[target.module()], import.line);
                }
            }
            for mention in &module.mentions {
                let Some(target) = sources.resolve(id, &mention.path) else {
                    continue;
                };
                // A single small name may be a variable, and a module alone is no value.
                let is_type = mention.path[0].starts_with(char::is_uppercase);
                if mention.path.len() > 1 || is_type && matches!(target, Target::Item(_)) {
                    graph.add(module, &sources.modules[target.module()], mention.line);
                }
            }
        }
        graph
    }

    fn add(&mut self, from: &Module, to: &Module, line: usize) {
        if from.file != to.file {
            let arrows = self.arrows.entry(from.file.clone()).or_default();
            let first = arrows.entry(to.file.clone()).or_insert(line);
            *first = line.min(*first);
        }
    }

    /// Every arrow.
    pub(super) fn arrows(&self) -> impl Iterator<Item = Arrow> {
        self.arrows.iter().flat_map(|(from, arrows)| {
            arrows.iter().map(|(to, line)| Arrow {
                from: from.clone(),
                line: *line,
                to: to.clone(),
            })
        })
    }

    /// Circles, the shortest first. Each arrow that is part of any circle is part of one of these.
    pub(super) fn circles(&self) -> Vec<Vec<Arrow>> {
        let mut circles = Vec::new();
        let mut known = BTreeSet::new();
        for arrow in self.arrows() {
            let Some(back) = self.shortest(&arrow.to, &arrow.from) else {
                continue;
            };
            let circle = [vec![arrow], back].concat();
            let files: BTreeSet<PathBuf> = circle.iter().map(|arrow| arrow.from.clone()).collect();
            if known.insert(files) {
                circles.push(circle);
            }
        }
        circles.sort_by_key(Vec::len);
        // A long circle that only repeats arrows of shorter ones says nothing new.
        let mut shown: Vec<Arrow> = Vec::new();
        circles.retain(|circle| {
            let new = circle.iter().any(|arrow| !shown.contains(arrow));
            shown.extend(circle.iter().cloned());
            new
        });
        circles
    }

    /// The shortest way along arrows.
    fn shortest(&self, from: &Path, to: &Path) -> Option<Vec<Arrow>> {
        let mut came: BTreeMap<&Path, Arrow> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            if at == to {
                let mut way = Vec::new();
                let mut at = to;
                while at != from {
                    let arrow = came.get(at)?;
                    way.push(arrow.clone());
                    (at, _) = self.arrows.get_key_value(&arrow.from)?;
                }
                way.reverse();
                return Some(way);
            }
            for (next, line) in self.arrows.get(at).into_iter().flatten() {
                if next != from && !came.contains_key(next.as_path()) {
                    came.insert(
                        next,
                        Arrow {
                            from: at.to_owned(),
                            line: *line,
                            to: next.clone(),
                        },
                    );
                    queue.push_back(next);
                }
            }
        }
        None
    }
}

/// A file that hands on what its children define needs nothing of them itself.
fn is_reexport(sources: &Sources, mut id: ModuleId, import: &Import, target: Target) -> bool {
    // From a module inside a file to the module that is the file.
    while let Some(parent) = sources.modules[id].parent
        && sources.modules[parent].file == sources.modules[id].file
    {
        id = parent;
    }
    import.exported && sources.is_below(target.module(), id)
}
