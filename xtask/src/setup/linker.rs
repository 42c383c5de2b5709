//! Building bpf-linker for a compiler's LLVM.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    command,
    toolchain::{self, BPF_LINKER_VERSION, Toolchain},
};

/// Whether the linker at `path` can be run.
pub(super) fn starts(path: &Path) -> bool {
    command::quietly(Command::new(path).arg("--version")).is_ok()
}

/// A linker that the user names is the user's: it is not replaced.
///
/// # Errors
/// If there is one.
pub(super) fn refuse_named_one() -> Result<()> {
    if env::var_os(toolchain::LINKER_VARIABLE).is_some() {
        bail!(
            "{} names no bpf-linker that starts: correct it, or unset it to have one built",
            toolchain::LINKER_VARIABLE
        );
    }
    Ok(())
}

/// The directory with `bin`, `include` and `lib` of that LLVM: LLVM_PREFIX, else what an llvm-config says.
pub(super) fn llvm_prefix(major: u32) -> Option<PathBuf> {
    let named = env::var_os("LLVM_PREFIX").map(|prefix| Path::new(&prefix).join("bin/llvm-config"));
    let debian = PathBuf::from(format!("/usr/lib/llvm-{major}/bin/llvm-config"));
    let on_path = [format!("llvm-config-{major}"), "llvm-config".into()];
    let candidates = named
        .into_iter()
        .chain([debian])
        .chain(on_path.iter().filter_map(|name| command::find(name)));
    candidates.filter(|config| config.is_file()).find_map(|config| {
        let version = command::quietly(Command::new(&config).arg("--version")).ok()?;
        let prefix = command::quietly(Command::new(&config).arg("--prefix")).ok()?;
        let prefix = PathBuf::from(prefix.trim());
        // Debian's plain runtime package has an llvm-config and no headers.
        let usable = version.starts_with(&format!("{major}.")) && prefix.join("include/llvm-c").is_dir();
        usable.then_some(prefix)
    })
}

/// Builds it into the project's cache. Takes about a minute.
pub(super) fn build(toolchain: &Toolchain) -> Result<()> {
    let major = toolchain.llvm;
    let prefix = llvm_prefix(major).with_context(|| {
        format!("no LLVM {major} with headers (llvm-c) to build bpf-linker with; LLVM_PREFIX can name its directory")
    })?;
    let root = toolchain.linker_root().map_or_else(super::cache_dir, Ok)?;
    eprintln!(
        "building bpf-linker {BPF_LINKER_VERSION} for LLVM {major} (about a minute): links the kernel side; kept in {}",
        root.display()
    );
    // The compiler of this workspace builds it: the one for the kernel side need not be able to build for the host.
    let cargo = env::var_os("CARGO").map_or_else(|| toolchain.cargo.clone(), PathBuf::from);
    let mut install = toolchain::clean_command(&cargo);
    install
        .args([
            "install",
            "bpf-linker",
            "--version",
            BPF_LINKER_VERSION,
            "--locked",
            "--force",
            "--no-default-features",
        ])
        .args(["--features", &format!("llvm-{major}"), "--root"])
        .arg(&root)
        .env("LLVM_PREFIX", prefix);
    if let Some(name) = env::var_os("RUSTUP_TOOLCHAIN") {
        install.env("RUSTUP_TOOLCHAIN", name);
    }
    command::quietly(&mut install)?;
    let linker = root.join("bin/bpf-linker");
    if !starts(&linker) {
        bail!(
            "{} was built and does not start; delete {} and try again",
            linker.display(),
            root.display()
        );
    }
    Ok(())
}
