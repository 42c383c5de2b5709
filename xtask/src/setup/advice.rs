//! What a person reads where set-up can't install: the commands for the machine at hand.

use anyhow::{Error, anyhow};

use super::{
    debian,
    packages::{self, Needed},
};
use crate::{
    command,
    toolchain::{BPF_LINKER_LLVM, BPF_LINKER_VERSION, Found},
};

/// Adds both ways to a toolchain to `error`.
pub(super) fn for_toolchain(error: Error, found: &Found) -> Error {
    let mut text = vec![format!("{error:#}"), "What is missing:".into()];
    text.extend(found.missing().into_iter().map(|line| format!("  {line}")));
    let (oldest, newest) = (BPF_LINKER_LLVM.start(), BPF_LINKER_LLVM.end());
    if debian::is_debian() {
        let rows = packages::BUILD
            .iter()
            .chain(packages::COMPILER)
            .map(|package| package.name);
        let mut names: Vec<String> = rows.map(str::to_owned).collect();
        // The LLVM of Debian's rustc-web, where no compiler tells.
        names.push(packages::llvm(
            found.toolchains.first().map_or(22, |toolchain| toolchain.llvm),
        ));
        text.push("With the distribution's compiler:".into());
        text.extend(as_root(&names));
    }
    text.push(format!(
        "{} a rustup toolchain:",
        if debian::is_debian() { "Or with" } else { "With" }
    ));
    text.push("  rustup component add rust-src".into());
    text.push(format!(
        "  # and, from your distribution, the development files of the LLVM that `rustc -vV` names ({oldest} to {newest});"
    ));
    text.push("  # LLVM_PREFIX can name their directory".into());
    text.push(format!(
        "Then run `cargo xtask setup` again: it builds bpf-linker {BPF_LINKER_VERSION} and needs no root for that."
    ));
    anyhow!(text.join("\n"))
}

/// Adds to `error` what was to be installed, why, and how.
pub(super) fn for_packages(error: Error, missing: &[Needed]) -> Error {
    let mut text = vec![format!("{error:#}"), "The end-to-end tests need:".into()];
    text.extend(missing.iter().map(|Needed { name, why }| format!("  {name}: {why}")));
    if debian::is_debian() {
        let names: Vec<String> = missing.iter().map(|package| package.name.clone()).collect();
        text.push("To install them:".into());
        text.extend(as_root(&names));
        text.push("Then run `cargo xtask setup --tests` again.".into());
    } else {
        text.push(
            "Those are Debian's names: install the same programs, then run `cargo xtask setup --tests` again.".into(),
        );
    }
    anyhow!(text.join("\n"))
}

fn as_root(names: &[String]) -> [String; 2] {
    let sudo = if command::is_root() { "" } else { "sudo " };
    [
        format!("  {sudo}apt-get update"),
        format!("  {sudo}apt-get install --no-install-recommends {}", names.join(" ")),
    ]
}
