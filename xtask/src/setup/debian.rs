//! Installing packages on Debian and what descends from it.

use std::{fs, process::Command, sync::Once};

use anyhow::{Result, bail};

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
