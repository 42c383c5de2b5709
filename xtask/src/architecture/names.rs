//! Follows a path to the module that defines what it names, through every `pub use` on the way.
//!
//! Example: `engine.rs` says `use super::Route`, `detect/mod.rs` says `pub use route::Route`, and `detect/route.rs` has
//! `struct Route`. Then `engine.rs` imports from `detect/route.rs`, not from `detect/mod.rs`.

use std::collections::BTreeSet;

use super::source::{ModuleId, Sources};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Module(ModuleId),
    /// Something that this module defines.
    Item(ModuleId),
}

impl Target {
    /// The module that it is, or that defines it.
    pub(super) fn module(self) -> ModuleId {
        match self {
            Self::Module(id) | Self::Item(id) => id,
        }
    }
}

impl Sources {
    /// Where `path` leads that is written in the module `from`. None for what is no part of these sources.
    pub(super) fn resolve(&self, from: ModuleId, path: &[String]) -> Option<Target> {
        self.follow(from, path, &mut BTreeSet::new())
    }

    fn follow(&self, from: ModuleId, path: &[String], seen: &mut BTreeSet<(ModuleId, String)>) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let mut target = match first.as_str() {
            "crate" => Target::Module(self.root(from)),
            "self" => Target::Module(from),
            "super" => Target::Module(self.modules[from].parent?),
            name => self
                .look_up(from, name, seen)
                .or_else(|| Some(Target::Module(*self.crates.get(name)?)))?,
        };
        for name in rest {
            target = match target {
                Target::Module(id) if name == "super" => Target::Module(self.modules[id].parent?),
                // What is not found there comes from a macro, and so from there.
                Target::Module(id) => self.look_up(id, name, seen).unwrap_or(Target::Item(id)),
                // A variant or an associated function.
                Target::Item(_) => target,
            };
        }
        Some(target)
    }

    /// What `name` stands for in the module `id`. `seen` keeps modules that import from each other from an endless search.
    fn look_up(&self, id: ModuleId, name: &str, seen: &mut BTreeSet<(ModuleId, String)>) -> Option<Target> {
        let module = &self.modules[id];
        if let Some(child) = module.children.get(name) {
            return Some(Target::Module(*child));
        }
        if module.items.contains(name) {
            return Some(Target::Item(id));
        }
        if !seen.insert((id, name.to_owned())) {
            return None;
        }
        let named = module
            .imports
            .iter()
            .filter(|import| import.name.as_deref() == Some(name));
        for import in named {
            if let Some(target) = self.follow(id, &import.path, seen) {
                return Some(target);
            }
        }
        let globs = module.imports.iter().filter(|import| import.name.is_none());
        for glob in globs {
            if let Some(Target::Module(other)) = self.follow(id, &glob.path, seen)
                && let Some(target) = self.look_up(other, name, seen)
            {
                return Some(target);
            }
        }
        None
    }

    fn root(&self, mut id: ModuleId) -> ModuleId {
        while let Some(parent) = self.modules[id].parent {
            id = parent;
        }
        id
    }

    /// Whether `id` is `ancestor` or somewhere below it.
    pub(super) fn is_below(&self, mut id: ModuleId, ancestor: ModuleId) -> bool {
        while id != ancestor {
            match self.modules[id].parent {
                Some(parent) => id = parent,
                None => return false,
            }
        }
        true
    }
}
