//! Reads the source of a crate: its modules, the names that each defines, and what each imports.
//!
//! This file knows nothing of other modules than the one it reads; `names` follows a path from one to the other. Test
//! code (`#[cfg(test)]`) is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree, Visibility, visit::Visit};

/// Position of a module in [`Sources::modules`].
pub(super) type ModuleId = usize;

/// The modules of all crates that are checked together.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) modules: Vec<Module>,
    /// A crate's name, as paths begin with it, and its library's root.
    pub(super) crates: BTreeMap<String, ModuleId>,
}

/// A module: a file, or a part of one that is written `mod name { … }`.
pub(super) struct Module {
    /// Relative to the workspace.
    pub(super) file: PathBuf,
    /// None for the root of a crate.
    pub(super) parent: Option<ModuleId>,
    pub(super) children: BTreeMap<String, ModuleId>,
    /// Types, functions, constants and macros that are defined here.
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    /// Paths outside of `use`, such as `super::time::now` in a call.
    pub(super) mentions: Vec<Mention>,
}

/// One name of a `use` declaration. `use a::{b, c as d}` has two.
pub(super) struct Import {
    /// How the module calls it; None for `*`.
    pub(super) name: Option<String>,
    pub(super) path: Vec<String>,
    /// Whether others can import it from here (`pub use`).
    pub(super) exported: bool,
    pub(super) line: usize,
}

/// A path in code.
pub(super) struct Mention {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

impl Sources {
    /// Adds a crate, from its root file on. A library is known to the other crates by its name; a binary has none.
    ///
    /// # Errors
    /// If a file can't be read or parsed.
    pub(super) fn add(&mut self, workspace: &Path, root: &Path, name: Option<&str>) -> Result<()> {
        let id = self.read_file(workspace, root, &directory(root), None)?;
        if let Some(name) = name {
            self.crates.insert(name.to_owned(), id);
        }
        Ok(())
    }

    /// Adds the module of a file. The files of its children are in `children`, relative to the workspace.
    fn read_file(
        &mut self,
        workspace: &Path,
        file: &Path,
        children: &Path,
        parent: Option<ModuleId>,
    ) -> Result<ModuleId> {
        let text = fs::read_to_string(workspace.join(file)).with_context(|| format!("{}", file.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("{} is no Rust", file.display()))?;
        self.read_items(workspace, file, children, parent, &parsed.items)
    }

    fn read_items(
        &mut self,
        workspace: &Path,
        file: &Path,
        children: &Path,
        parent: Option<ModuleId>,
        items: &[Item],
    ) -> Result<ModuleId> {
        let id = self.modules.len();
        let mut reader = Reader::default();
        for item in items {
            reader.visit_item(item);
        }
        let Reader {
            items,
            imports,
            mentions,
            declared,
        } = reader;
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            items,
            imports,
            mentions,
        });
        for child in declared {
            let name = child.ident.to_string();
            let below = children.join(&name);
            let child = match &child.content {
                Some((_, items)) => self.read_items(workspace, file, &below, Some(id), items)?,
                None => {
                    let places = [below.with_extension("rs"), below.join("mod.rs")];
                    let Some(place) = places.iter().find(|place| workspace.join(place).is_file()) else {
                        bail!("{} declares `mod {name}`, which has no file", file.display());
                    };
                    self.read_file(workspace, place, &below, Some(id))?
                }
            };
            self.modules[id].children.insert(name, child);
        }
        Ok(id)
    }
}

/// Where the children of a crate's root file are.
fn directory(root: &Path) -> PathBuf {
    root.parent().unwrap_or(Path::new("")).to_owned()
}

/// Collects what one module says.
#[derive(Default)]
struct Reader {
    items: BTreeSet<String>,
    imports: Vec<Import>,
    mentions: Vec<Mention>,
    declared: Vec<ItemMod>,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if attributes(item).iter().any(is_test) {
            return;
        }
        self.items.extend(name(item));
        match item {
            // A module of its own, even inside a function: nothing in it belongs to this one.
            Item::Mod(module) => self.declared.push(module.clone()),
            _ => syn::visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let test = match item {
            syn::ImplItem::Fn(function) => function.attrs.iter().any(is_test),
            syn::ImplItem::Const(constant) => constant.attrs.iter().any(is_test),
            _ => false,
        };
        if !test {
            syn::visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            let exported = !matches!(item.vis, Visibility::Inherited);
            self.import(&item.tree, &[], exported);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let line = path
                .segments
                .first()
                .map_or(0, |segment| segment.ident.span().start().line);
            let path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.mentions.push(Mention { path, line });
        }
        // Arguments of a generic type are paths too.
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone());
    }

    // `pub(in path)` and `#[derive(path)]` import nothing of ours.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

impl Reader {
    /// Adds each name of a `use` tree, of which `before` has been read.
    fn import(&mut self, tree: &UseTree, before: &[String], exported: bool) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        let (name, ident, path) = match tree {
            UseTree::Path(path) => return self.import(&path.tree, &with(&path.ident), exported),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, exported);
                }
                return;
            }
            // `use super::time::{self}`
            UseTree::Name(name) if name.ident == "self" => {
                (before.last().cloned(), name.ident.span(), before.to_owned())
            }
            UseTree::Name(name) => (Some(name.ident.to_string()), name.ident.span(), with(&name.ident)),
            UseTree::Rename(rename) => {
                let path = if rename.ident == "self" {
                    before.to_owned()
                } else {
                    with(&rename.ident)
                };
                (Some(rename.rename.to_string()), rename.ident.span(), path)
            }
            UseTree::Glob(glob) => (None, glob.star_token.spans[0], before.to_owned()),
        };
        self.imports.push(Import {
            name,
            path,
            exported,
            line: ident.start().line,
        });
    }

    /// Adds the paths in a macro's arguments, which are no syntax yet: names with `::` between them.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.mention(&mut path, line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Group(group) => {
                    self.mention(&mut path, line);
                    colons = 0;
                    self.scan(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.mention(&mut path, line);
                    colons = 0;
                }
            }
        }
        self.mention(&mut path, line);
    }

    fn mention(&mut self, path: &mut Vec<String>, line: usize) {
        if !path.is_empty() {
            let path = std::mem::take(path);
            self.mentions.push(Mention { path, line });
        }
    }
}

/// The name that an item defines in its module. Modules and imports are kept elsewhere.
fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether this is `#[cfg(test)]`, or `#[cfg(all(test, …))]`.
fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .meta
            .require_list()
            .is_ok_and(|list| requires_test(list.tokens.clone()))
}

fn requires_test(condition: TokenStream) -> bool {
    let mut all = true;
    condition.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => {
            all = ident == "all";
            ident == "test"
        }
        TokenTree::Group(group) => all && requires_test(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}
