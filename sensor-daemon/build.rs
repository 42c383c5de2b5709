//! Builds the kernel side and leaves the object at `OUT_DIR/sensor-ebpf`, for the loader to include.
//!
//! Which compiler and linker do it is `toolchain`'s business; `cargo xtask setup` installs them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[path = "../xtask/src/toolchain.rs"]
#[allow(dead_code, reason = "xtask uses the rest")]
mod toolchain;

fn main() -> ExitCode {
    let Err(message) = build() else {
        return ExitCode::SUCCESS;
    };
    // Cargo shows what `cargo::error` says first, and all of stderr once below.
    let (first, rest) = message.split_once('\n').unwrap_or((&message, ""));
    println!("cargo::error={first}");
    eprintln!("{rest}");
    ExitCode::FAILURE
}

fn build() -> Result<(), String> {
    let workspace = path_variable("CARGO_MANIFEST_DIR")?.join("..");
    let out = path_variable("OUT_DIR")?;
    name_version(&workspace)?;
    let found = toolchain::search();
    let Some((chosen, linker)) = found.complete() else {
        return Err(format!(
            "the eBPF object can't be built yet: run `cargo xtask setup`. Missing: {}",
            found.missing().join("; ")
        ));
    };
    let target = match variable("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    let flags = [
        // aya-ebpf picks the layout of pt_regs by it.
        format!("--cfg=bpf_target_arch=\"{}\"", bpf_target_arch()?),
        // BTF is made from debug information; the kernel refuses BTF maps and tp_btf without it.
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // Otherwise the smallest array is cleared by a call of memset.
        "-Clink-arg=--disable-expand-memcpy-in-order".into(),
    ];
    let target_dir = shared_directory(&out).join("ebpf");
    let mut cargo = toolchain::cargo(chosen);
    cargo
        .current_dir(&workspace)
        .args(["build", "--release", "--package", "sensor-ebpf", "--locked"])
        .args(["--target", target, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env(linker_variable(target), &linker)
        // The workspace's release profile is made for the daemon.
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    let output = cargo
        .output()
        .map_err(|error| format!("{}: {error}", chosen.cargo.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("sensor-ebpf does not build with {chosen}\n{text}"));
    }
    // Cargo hides what a successful build script prints, so warnings would never be seen.
    let mut lines = text.lines();
    while let Some(line) = lines.find(|line| line.starts_with("warning")) {
        println!("cargo::warning={line}");
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            println!("cargo::warning={line}");
        }
    }

    let object = target_dir.join(target).join("release/sensor-ebpf");
    let place = out.join("sensor-ebpf");
    fs::copy(&object, &place).map_err(|error| format!("{} to {}: {error}", object.display(), place.display()))?;

    // Only now: a script that failed runs again in any case.
    for input in [
        "sensor-ebpf",
        "sensor-common",
        "Cargo.toml",
        "Cargo.lock",
        "xtask/src/toolchain.rs",
    ] {
        watch(&workspace.join(input));
    }
    watch(&chosen.rustc);
    watch(&linker);
    println!("cargo::rerun-if-env-changed={}", toolchain::LINKER_VARIABLE);
    Ok(())
}

/// Sets SENSOR_VERSION: the package's version, and the commit where the sources are a git checkout: `0.1.0+0123456789ab`.
fn name_version(workspace: &Path) -> Result<(), String> {
    let version = variable("CARGO_PKG_VERSION")?;
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(workspace)
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // Without this check, sources inside another project's repository would be given that project's commit.
    let checkout = workspace.join(".git").exists();
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| checkout);
    let Some(commit) = commit else {
        println!("cargo::rustc-env=SENSOR_VERSION={version}");
        return Ok(());
    };
    println!("cargo::rustc-env=SENSOR_VERSION={version}+{commit}");
    // HEAD itself names a branch and stays as it is when a commit is added; its log grows then.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]).map(|path| workspace.join(path));
        // A path that is missing would run this script at every build.
        if let Some(path) = path.filter(|path| path.exists()) {
            watch(&path);
        }
    }
    Ok(())
}

/// The outer target directory, so that debug and release builds share one build of the kernel side: `core` alone takes
/// longer than all the rest. Else OUT_DIR. It can't be the outer build's own directory, whose lock that cargo holds.
fn shared_directory(out: &Path) -> &Path {
    // Cargo writes the first when it makes the directory, the second when a build ends.
    let marks = ["CACHEDIR.TAG", ".rustc_info.json"];
    out.ancestors()
        .find(|dir| marks.iter().any(|mark| dir.join(mark).is_file()))
        .unwrap_or(out)
}

fn linker_variable(target: &str) -> String {
    let target = target.to_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{target}_LINKER")
}

/// The machine's name as aya-ebpf spells it.
fn bpf_target_arch() -> Result<String, String> {
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    Ok(match arch.as_str() {
        arch if arch.starts_with("riscv64") => "riscv64".into(),
        _ => arch,
    })
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

fn path_variable(name: &str) -> Result<PathBuf, String> {
    variable(name).map(PathBuf::from)
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}; cargo sets it for build scripts"))
}
