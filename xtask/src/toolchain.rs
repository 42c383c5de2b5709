//! Which compiler and which linker build the kernel side.
//!
//! Owns: the search, the environment of the inner cargo, the place of bpf-linker. Installs nothing: that is `setup`.
//! Shared by xtask and by sensor-daemon's build script (which includes this file), so it uses `std` alone.
//!
//! The BPF target has no prebuilt `core`, so the compiler needs its library sources and unstable flags. Two kinds of
//! toolchain have the sources: a rustup toolchain with the component rust-src, and Debian's `rustc-web` with
//! `rust-web-src`. bpf-linker reads that compiler's LLVM bitcode, so it has to be built against the same LLVM.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release of bpf-linker that the project is built and tested with.
pub(crate) const BPF_LINKER_VERSION: &str = "0.13.0";

/// The LLVM majors that this release of bpf-linker can be built against.
pub(crate) const BPF_LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// Oldest compiler that builds the workspace: (major, minor), as `rust-version` in Cargo.toml.
const OLDEST_RUSTC: (u32, u32) = (1, 95);

/// Names a bpf-linker of the user's own. It is taken at its word, so a wrong LLVM shows up as a link error.
pub(crate) const LINKER_VARIABLE: &str = "SENSOR_BPF_LINKER";

/// A compiler that has everything but, perhaps, its linker.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    /// What people call it: `rustup nightly-x86_64-unknown-linux-gnu`.
    pub(crate) label: String,
    pub(crate) rustc: PathBuf,
    pub(crate) cargo: PathBuf,
    /// `1.96.0`
    pub(crate) release: String,
    /// Major version of the LLVM that the compiler emits bitcode of.
    pub(crate) llvm: u32,
}

impl Toolchain {
    /// Where this project keeps the bpf-linker that fits this compiler, or the one that the user named.
    ///
    /// A bpf-linker on PATH is left alone: nothing in it tells reliably which LLVM a static build contains, and a
    /// mismatch fails with an unreadable bitcode error.
    pub(crate) fn linker_path(&self) -> Option<PathBuf> {
        match env::var_os(LINKER_VARIABLE) {
            Some(path) => Some(PathBuf::from(path)),
            None => Some(self.linker_root()?.join("bin/bpf-linker")),
        }
    }

    /// The `cargo install --root` of that linker. `None` without a home directory.
    pub(crate) fn linker_root(&self) -> Option<PathBuf> {
        let name = format!("bpf-linker-{BPF_LINKER_VERSION}-llvm{}", self.llvm);
        Some(cache_dir()?.join(name))
    }

    /// The linker, if it is there.
    pub(crate) fn linker(&self) -> Option<PathBuf> {
        self.linker_path().filter(|path| path.is_file())
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (rustc {}, LLVM {})", self.label, self.release, self.llvm)
    }
}

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Best first.
    pub(crate) toolchains: Vec<Toolchain>,
    /// One line for each compiler that was looked at and can't be used.
    pub(crate) rejected: Vec<String>,
}

impl Found {
    /// The best toolchain whose linker is there too.
    pub(crate) fn complete(&self) -> Option<(&Toolchain, PathBuf)> {
        self.toolchains
            .iter()
            .find_map(|toolchain| Some((toolchain, toolchain.linker()?)))
    }

    /// What is missing, one line each.
    pub(crate) fn missing(&self) -> Vec<String> {
        if self.toolchains.is_empty() {
            let mut lines = vec!["no Rust compiler with its library sources (needed for the BPF target)".into()];
            lines.extend(self.rejected.iter().map(|line| format!("looked at {line}")));
            return lines;
        }
        self.toolchains
            .iter()
            .map(|toolchain| match toolchain.linker_path() {
                Some(path) => format!("bpf-linker for {toolchain}: no file {}", path.display()),
                None => format!("bpf-linker for {toolchain}: HOME is not set, so it has no place"),
            })
            .collect()
    }
}

/// Looks at every rustup toolchain, then at the distribution's compiler.
pub(crate) fn search() -> Found {
    let mut found = Found::default();
    for dir in rustup_toolchains() {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let label = format!("rustup {name}");
        if !dir.join("lib/rustlib/src/rust/library").is_dir() {
            found.rejected.push(format!("{label}: no rust-src"));
            continue;
        }
        found.consider(label, dir.join("bin/rustc"), dir.join("bin/cargo"));
    }
    let (rustc, cargo) = (Path::new("/usr/bin/rustc"), Path::new("/usr/bin/cargo"));
    let label = "the distribution's compiler".to_owned();
    match sysroot(rustc) {
        Some(root) if root.join("lib/rustlib/src/rust/library").is_dir() => {
            found.consider(label, rustc.into(), cargo.into());
        }
        Some(_) => found.rejected.push(format!("{label}: no library sources")),
        None => found.rejected.push(format!("{label}: no /usr/bin/rustc")),
    }
    found
}

impl Found {
    fn consider(&mut self, label: String, rustc: PathBuf, cargo: PathBuf) {
        match inspect(&label, rustc, cargo) {
            Ok(toolchain) => self.toolchains.push(toolchain),
            Err(reason) => self.rejected.push(format!("{label}: {reason}")),
        }
    }
}

fn inspect(label: &str, rustc: PathBuf, cargo: PathBuf) -> Result<Toolchain, String> {
    if !cargo.is_file() {
        return Err(format!("no {}", cargo.display()));
    }
    let text = output(Command::new(&rustc).arg("-vV")).ok_or_else(|| format!("{} -vV failed", rustc.display()))?;
    let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let release = field("release:").unwrap_or_default().to_owned();
    if version(&release) < Some(OLDEST_RUSTC) {
        let (major, minor) = OLDEST_RUSTC;
        return Err(format!("rustc {release} is older than {major}.{minor}"));
    }
    let llvm = field("LLVM version:")
        .and_then(version)
        .map(|(major, _)| major)
        .unwrap_or_default();
    if !BPF_LINKER_LLVM.contains(&llvm) {
        return Err(format!("its LLVM {llvm} has no bpf-linker {BPF_LINKER_VERSION}"));
    }
    Ok(Toolchain {
        label: label.to_owned(),
        rustc,
        cargo,
        release,
        llvm,
    })
}

/// `1.97.0-nightly` is (1, 97).
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Installed rustup toolchains: nightly before stable before the rest, newest name first, each directory once.
fn rustup_toolchains() -> Vec<PathBuf> {
    let home = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(home()?.join(".rustup")));
    let Some(entries) = home.and_then(|home| home.join("toolchains").read_dir().ok()) else {
        return Vec::new();
    };
    let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    names.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rank = match name.split('-').next() {
            Some("nightly") => 0,
            Some("stable") => 1,
            _ => 2,
        };
        (rank, std::cmp::Reverse(name))
    });
    let mut seen = Vec::new();
    names.retain(|path| {
        // A toolchain can have a second name that is a link to the first.
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let new = !seen.contains(&real);
        seen.push(real);
        new
    });
    names
}

/// A command for this program with an environment in which only `toolchain` decides what is compiled and how.
///
/// Cargo and the rustup proxies export what they chose (RUSTC, RUSTUP_TOOLCHAIN, RUSTFLAGS, wrappers, CARGO_BUILD_*,
/// LD_LIBRARY_PATH); an inner cargo would obey. How to reach registries is the user's and stays.
pub(crate) fn clean_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if !is_inherited(&name) {
            command.env_remove(&name);
        }
    }
    command
}

fn is_inherited(name: &OsString) -> bool {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        // The job server, so that both builds together use the cores once.
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "RUSTUP_HOME",
    ];
    // Set by cargo for build scripts, without a prefix; TARGET and friends mislead C builds.
    const DROPPED: [&str; 8] = [
        "CARGO",
        "RUST",
        "LD_LIBRARY_PATH",
        "OUT_DIR",
        "TARGET",
        "HOST",
        "PROFILE",
        "OPT_LEVEL",
    ];
    let Some(name) = name.to_str() else {
        return true;
    };
    KEPT.iter().any(|prefix| name.starts_with(prefix)) || !DROPPED.iter().any(|prefix| name.starts_with(prefix))
}

/// `cargo` of `toolchain` in that environment, with unstable flags allowed.
pub(crate) fn cargo(toolchain: &Toolchain) -> Command {
    let mut command = clean_command(&toolchain.cargo);
    command.env("RUSTC", &toolchain.rustc).env("RUSTC_BOOTSTRAP", "1");
    command
}

/// The project's directory in the user's cache: what takes long to build and outlives `cargo clean`.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(home()?.join(".cache")))?;
    Some(cache.join("sensor-build"))
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let text = output(clean_command(rustc).args(["--print", "sysroot"]))?;
    Some(PathBuf::from(text.trim_end()))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
