//! Installing packages on Debian and what descends from it.

use std::{fs, os::unix::fs::symlink, process::Command, sync::Once};

use anyhow::{Context as _, Result, bail};

use super::packages::Needed;
use crate::command;

/// Whether packages can be installed here.
pub(super) fn usable() -> bool {
    command::is_root() && is_debian()
}

/// Whether this is a distribution with Debian's packages.
pub(super) fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let named = release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .any(|value| value.contains("debian"));
    named && command::find("apt-get").is_some()
}

/// Fetches the lists of packages, once.
pub(super) fn refresh() {
    static FETCHED: Once = Once::new();
    FETCHED.call_once(|| {
        eprintln!("fetching the lists of packages: something has to be installed");
        // Not fatal: one of many sources may be down, and the others may do.
        if let Err(error) = command::quietly(apt_get().arg("update")) {
            eprintln!("warning: {error:#}");
        }
    });
}

/// Whether a source of packages has `package`.
pub(super) fn offers(package: &str) -> bool {
    let Ok(text) = command::quietly(Command::new("apt-cache").env("LC_ALL", "C").args(["policy", package])) else {
        return false;
    };
    text.lines().any(|line| {
        line.trim()
            .strip_prefix("Candidate:")
            .is_some_and(|version| version.trim() != "(none)")
    })
}

/// Installs `packages` from this release's backports: where some package of theirs is installed from there already, the
/// release's own would have to replace it. The machine's own sources stay as they are.
pub(super) fn install_backports(packages: &[Needed], mirror: &str) -> Result<()> {
    let suite = format!("{}-backports", codename()?);
    let sources = tempfile::tempdir()?;
    for source in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten() {
        symlink(source.path(), sources.path().join(source.file_name()))?;
    }
    let own = sources.path().join("sensor-backports.list");
    fs::write(own, format!("deb {mirror} {suite} main\n"))?;
    let apt_get = || {
        let mut command = apt_get();
        command
            .arg("-o")
            .arg(format!("Dir::Etc::sourceparts={}", sources.path().display()));
        command
    };
    eprintln!("fetching the lists of {suite}");
    command::quietly(apt_get().arg("update"))?;
    let names = packages.iter().map(|package| &package.name);
    command::quietly(
        apt_get()
            .args([
                "install",
                "--yes",
                "--no-install-recommends",
                "--no-remove",
                "-t",
                &suite,
            ])
            .args(names),
    )?;
    Ok(())
}

fn codename() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.map(str::to_owned).context("/etc/os-release names no release")
}

/// Installs `packages`, saying why.
pub(super) fn install(packages: &[Needed]) -> Result<()> {
    if !is_debian() {
        bail!("this is not Debian, so packages can't be installed here");
    }
    if !command::is_root() {
        bail!("only root can install packages");
    }
    refresh();
    for Needed { name, why } in packages {
        eprintln!("installing {name}: {why}");
    }
    let names = packages.iter().map(|package| &package.name);
    // Installing must never remove: rustc-web conflicts with Debian's older rustc, which somebody may need.
    command::quietly(
        apt_get()
            .args(["install", "--yes", "--no-install-recommends", "--no-remove"])
            .args(names),
    )?;
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
        .args(["-q", "-o", "DPkg::Lock::Timeout=120"]);
    command
}
