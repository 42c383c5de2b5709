//! What runs in a virtual machine: the sensor and the program of `tests/vm`, built once, without need for libraries.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::archive::Archive;
use crate::workspace;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds both programs and packs them with `busybox` into the file `archive`.
///
/// # Errors
/// If they do not build, or there is no room.
pub(super) fn pack(busybox: &Path, archive: &Path) -> Result<()> {
    let [sensor, init] = build()?;
    let read = |path: &Path| fs::read(path).with_context(|| format!("{} can't be read", path.display()));
    let mut files = Archive::default();
    for dir in ["bin", "dev", "proc", "sys", "tmp"] {
        files.directory(dir);
    }
    // The kernel opens it for the first program's streams.
    files.device("dev/console", 5, 1);
    files.program("init", &read(&init)?);
    files.program("bin/sensor-daemon", &read(&sensor)?);
    files.program("bin/busybox", &read(busybox)?);
    fs::write(archive, files.finish()).with_context(|| format!("{} can't be written", archive.display()))
}

fn build() -> Result<[PathBuf; 2]> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the virtual machines are x86_64 ones, and so have to be the programs in them: run this on x86_64");
    }
    let mut cargo = workspace::cargo();
    cargo
        .args(["build", "--release", "--target", TARGET])
        .args(["--package", "sensor-daemon", "--package", "sensor-vm-tests"])
        // Takes precedence over the variables below.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("cargo can't be started")?;
    if !output.status.success() {
        bail!("what runs in the machines does not build; what cargo says about it is above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = |name: &str| {
        messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message.pointer("/target/name").and_then(Value::as_str) == Some(name))
            .find_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
            .with_context(|| format!("cargo built {name} and named no executable"))
    };
    Ok([executable("sensor-daemon")?, executable("vm-init")?])
}
