//! `cargo xtask setup`: makes sure that what building, running and testing need is there, and says what it installs and
//! why.
//!
//! `packages` is the table of what is needed, `debian` installs packages, `linker` builds bpf-linker, `python` keeps the
//! parsers of findings, `busybox` keeps a static busybox, `machines` installs what `vm-test` runs on, `advice` prints what a
//! person can do where nothing can be installed. `toolchain` chooses among the compilers that are installed.
//!
//! Everything is said on stderr: the stdout of `cargo xtask run` is the sensor's.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    command,
    toolchain::{self, Found, Toolchain},
    workspace,
};

mod advice;
mod busybox;
mod debian;
mod linker;
mod machines;
mod packages;
mod python;

pub(crate) use busybox::directory as test_tools;
pub(crate) use machines::install as machines;
pub(crate) use python::interpreter as python;

/// Installs what is missing; with `tests`, also what the end-to-end tests use.
///
/// # Errors
/// If something is missing that can't be installed here; then what a person can do is on stderr.
pub(crate) fn run(tests: bool) -> Result<()> {
    let chosen = match complete_toolchain() {
        Some(toolchain) => toolchain,
        None => install_toolchain()?,
    };
    eprintln!(
        "kernel side: {chosen} with bpf-linker {}",
        toolchain::BPF_LINKER_VERSION
    );
    if tests {
        let missing = packages::missing(packages::TESTS);
        if !missing.is_empty() {
            debian::install(&missing).map_err(|error| advice::for_packages(error, &missing))?;
            if let Some(package) = packages::missing(packages::TESTS).first() {
                // The package manager believes in it, so a file of it was deleted by hand.
                bail!(
                    "{0} is installed but incomplete: run `apt-get install --reinstall {0}`",
                    package.name
                );
            }
        }
        busybox::install()?;
        python::install()?;
        eprintln!(
            "tests: {} packages, a static busybox and the parsers of findings are there",
            packages::TESTS.len()
        );
    }
    Ok(())
}

/// A compiler and a bpf-linker that starts: its LLVM may have been removed since it was built.
fn complete_toolchain() -> Option<Toolchain> {
    let found = toolchain::search();
    let (toolchain, linker) = found.complete()?;
    linker::starts(&linker).then(|| toolchain.clone())
}

fn install_toolchain() -> Result<Toolchain> {
    linker::refuse_named_one()?;
    // Linking Rust programs for this host needs these, whatever compiles the kernel side.
    let mut missing = packages::missing(packages::BUILD);
    let found = toolchain::search();
    let mut chosen = first_linkable(&found);
    if chosen.is_none() && debian::usable() {
        debian::refresh();
        chosen = first_linkable(&found);
    }
    if chosen.is_none() {
        missing.extend(packages::COMPILER.iter().map(packages::Needed::from));
    }
    let refused = |error| advice::for_toolchain(error, &found);
    if !missing.is_empty() {
        debian::install(&missing).map_err(refused)?;
    }
    let toolchain = match chosen.or_else(|| first_linkable(&toolchain::search())) {
        Some(toolchain) => toolchain,
        None => bail!(
            "the packages are installed, and still this is missing: {}",
            toolchain::search().missing().join("; ")
        ),
    };
    if linker::llvm_prefix(toolchain.llvm).is_none() {
        debian::install(&[packages::llvm_needed(toolchain.llvm)]).map_err(refused)?;
    }
    linker::build(&toolchain)?;
    Ok(toolchain)
}

/// The best compiler whose LLVM is here or can be installed.
fn first_linkable(found: &Found) -> Option<Toolchain> {
    let has_llvm = |toolchain: &&Toolchain| {
        linker::llvm_prefix(toolchain.llvm).is_some()
            || (debian::usable() && debian::offers(&packages::llvm(toolchain.llvm)))
    };
    found.toolchains.iter().find(has_llvm).cloned()
}

/// rustfmt and clippy are rustup components that a minimal profile leaves out.
///
/// # Errors
/// If one is missing and rustup can't add it.
pub(crate) fn require_linters() -> Result<()> {
    for (component, tool) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let there = command::quietly(workspace::cargo().args([tool, "--version"])).is_ok();
        if there {
            continue;
        }
        let Some(rustup) = command::find("rustup") else {
            bail!("`cargo {tool}` is missing: install your Rust's {component}");
        };
        eprintln!("installing {component}: `cargo xtask test` checks with it");
        command::quietly(std::process::Command::new(rustup).args(["component", "add", component]))?;
    }
    Ok(())
}

/// The cache directory, which has to exist before something is put there.
fn cache_dir() -> Result<PathBuf> {
    match toolchain::cache_dir() {
        Some(dir) => Ok(dir),
        None => bail!("neither XDG_CACHE_HOME nor HOME is set, so there is no place for what set-up builds: set HOME"),
    }
}
