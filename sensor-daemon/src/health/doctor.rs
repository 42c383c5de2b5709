//! Prerequisites, one by one: is it there, what does it cost if not, what to do. `doctor` shows all of them; `run` shows
//! those that are missing when the kernel side does not load.

use std::{fmt, fs};

use rustix::thread::{CapabilitySet, capabilities};

use crate::{
    model::{Coverage, Text},
    procfs, programs,
    sources::ebpf::{self, LoadError, LoadOptions, OPTIONAL, PROGRAMS, STREAM_MOVED, WIRE},
};

/// How bad it is that something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there.
    Ok,
    /// The sensor works without it, but less well.
    Degraded,
    /// The sensor does not work without it.
    Missing,
}

/// One prerequisite and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// The outcome.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What its absence costs; empty if it is there.
    pub cost: &'static str,
    /// What to do about it; empty if it is there.
    pub remedy: String,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            verdict: Verdict::Ok,
            found: found.into(),
            cost: "",
            remedy: String::new(),
        }
    }

    fn missing(
        name: impl Into<String>,
        found: impl Into<String>,
        cost: &'static str,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            verdict: Verdict::Missing,
            found: found.into(),
            cost,
            remedy: remedy.into(),
        }
    }

    fn degraded(
        name: impl Into<String>,
        found: impl Into<String>,
        cost: &'static str,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Degraded,
            ..Self::missing(name, found, cost, remedy)
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            verdict,
            found,
            cost,
            remedy,
        } = self;
        let word = match verdict {
            Verdict::Ok => "ok",
            Verdict::Degraded => "degraded",
            Verdict::Missing => "missing",
        };
        write!(f, "{word:9} {name}: {found}")?;
        if *verdict != Verdict::Ok {
            write!(f, "; {cost}; to do: {remedy}")?;
        }
        Ok(())
    }
}

/// Looks at everything.
#[must_use]
pub fn examine() -> Vec<Check> {
    let mut checks = environment();
    match ebpf::Loader::default().open(LoadOptions::default()) {
        Ok(mut opened) => {
            checks.push(Check::ok("kernel types (BTF)", "every struct member that is needed was found"));
            checks.push(Check::ok("ring buffer and maps", "made"));
            for spec in &PROGRAMS {
                let name = format!("program {}", spec.name);
                checks.push(match opened.load(spec) {
                    Ok(()) => Check::ok(name, "the kernel's verifier takes it"),
                    Err(error) => Check::missing(name, error.to_string(), spec.without, remedy(&error)),
                });
            }
            let mut loaded = Vec::new();
            for spec in &OPTIONAL {
                let name = format!("program {}", spec.name);
                checks.push(match opened.load_optional(spec) {
                    Ok(()) => {
                        loaded.push(spec.name);
                        Check::ok(name, "the kernel's verifier takes it")
                    }
                    Err(error) => Check::degraded(name, error, spec.without, OPTIONAL_REMEDY),
                });
            }
            checks.push(coverage(ebpf::coverage(loaded.contains(&STREAM_MOVED.name), loaded.contains(&WIRE.name))));
        }
        Err(error @ (LoadError::NoBtf(_) | LoadError::Btf(_))) => checks.push(Check::missing(
            "kernel types (BTF)",
            error.to_string(),
            "the sensor can't find its way in kernel memory and does not start",
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all large distributions' are, and in a container mount /sys",
        )),
        Err(error) => checks.push(Check::missing(
            "ring buffer and maps",
            error.to_string(),
            "the sensor can't receive events and does not start",
            remedy(&error),
        )),
    }
    checks
}

/// What to do about a kernel side that does not load.
fn remedy(error: &LoadError) -> &'static str {
    if error.is_descriptor_limit() {
        "allow the sensor to open 64 files or more (ulimit -n, systemd: LimitNOFILE=)"
    } else {
        LOAD_REMEDY
    }
}

/// What the sensor can see here.
fn coverage(coverage: Coverage) -> Check {
    let (seen, unseen): (Vec<_>, Vec<_>) = coverage.senses().into_iter().partition(|(_, has)| *has);
    let names = |senses: Vec<(&str, bool)>| senses.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    if unseen.is_empty() {
        return Check::ok("coverage", names(seen));
    }
    Check::degraded(
        "coverage",
        format!("{}; not {}", names(seen), names(unseen)),
        "a takeover that shows in nothing else is not found; each finding says what could be seen",
        "mend what is missing above",
    )
}

const LOAD_REMEDY: &str = "first mend what is missing above; in a container also allow the bpf system call (seccomp); if \
     nothing else is missing, run again with -vv and report the log";

const OPTIONAL_REMEDY: &str = "nothing that has to be done: some kernels do not permit this kind of program";

/// What can be told without loading anything.
fn environment() -> Vec<Check> {
    let mut checks = vec![kernel_version()];
    checks.extend(capability_checks());
    checks.push(lockdown());
    checks.push(pid_namespace());
    checks.push(shells());
    checks
}

fn kernel_version() -> Check {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    match (number(numbers.next()), number(numbers.next())) {
        (Some(major), Some(minor)) if (major, minor) < (5, 10) => Check::missing(
            "kernel version",
            release.clone(),
            "older kernels lack what the sensor is built on and are not tested",
            "boot Linux 5.10 or newer",
        ),
        _ => Check::ok("kernel version", format!("{release} (5.10 or newer is needed)")),
    }
}

fn capability_checks() -> Vec<Check> {
    let held = capabilities(None)
        .map(|sets| sets.effective)
        .unwrap_or(CapabilitySet::empty());
    let grant = |name: &str| {
        format!(
            "run as root, or grant {name} (systemd: AmbientCapabilities=, containers: --cap-add, or `setcap` on the binary)"
        )
    };
    // CAP_SYS_ADMIN contained both until 5.8 and still stands for them.
    let admin = held.contains(CapabilitySet::SYS_ADMIN);
    let mut checks = Vec::new();
    for (set, name, cost) in [
        (
            CapabilitySet::BPF,
            "CAP_BPF",
            "programs and maps can't be loaded, and the sensor does not start",
        ),
        (
            CapabilitySet::PERFMON,
            "CAP_PERFMON",
            "programs can't read kernel memory, and the sensor does not start",
        ),
    ] {
        let name_of_check = format!("capability {name}");
        checks.push(if held.contains(set) || admin {
            Check::ok(name_of_check, "held")
        } else {
            Check::missing(name_of_check, "not held", cost, grant(name))
        });
    }
    for (set, name, cost) in [
        (
            CapabilitySet::SYS_PTRACE,
            "CAP_SYS_PTRACE",
            "paths of other users' processes and renamed shells go unrecognised",
        ),
        (
            CapabilitySet::NET_ADMIN,
            "CAP_NET_ADMIN",
            "connections can't be sampled, and commands that a program receives and runs by itself count as LOW",
        ),
        (
            CapabilitySet::DAC_READ_SEARCH,
            "CAP_DAC_READ_SEARCH",
            "descriptors of other users' processes can't be listed",
        ),
    ] {
        let name_of_check = format!("capability {name}");
        checks.push(if held.contains(set) {
            Check::ok(name_of_check, "held")
        } else {
            Check::degraded(name_of_check, "not held", cost, grant(name))
        });
    }
    checks
}

fn lockdown() -> Check {
    const NAME: &str = "kernel lockdown";
    let Ok(text) = fs::read_to_string("/sys/kernel/security/lockdown") else {
        return Check::ok(NAME, "none that this kernel shows");
    };
    // The mode in force stands in brackets: `none [integrity] confidentiality`.
    let mode = text
        .split('[')
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .unwrap_or("unknown");
    if mode != "confidentiality" {
        return Check::ok(NAME, mode);
    }
    Check::missing(
        NAME,
        mode,
        "BPF programs may not read kernel memory, and the sensor does not start",
        "boot with lockdown=integrity or without lockdown=",
    )
}

fn pid_namespace() -> Check {
    match procfs::sees_host_process_ids() {
        Ok(true) => Check::ok("PID namespace", "the host's"),
        Ok(false) => Check::degraded(
            "PID namespace",
            "a container's",
            "process ids in findings are the host's, and details that /proc gives of processes are left out",
            "share the host's (docker: --pid=host, Kubernetes: hostPID: true)",
        ),
        Err(error) => Check::missing(
            "/proc",
            format!("/proc/self/ns/pid can't be read: {error}"),
            "the self-test at start can't execute its program, and the sensor does not start",
            "mount /proc (mount -t proc proc /proc)",
        ),
    }
}

/// Shows that content tells a shell, on this machine's own.
fn shells() -> Check {
    let shell = ["/bin/sh", "/bin/bash", "/bin/busybox"]
        .into_iter()
        .find(|path| fs::exists(path).unwrap_or(false));
    match shell {
        Some(path) if programs::recognises(path) => {
            Check::ok("shell recognition", format!("{path} is recognised by its content"))
        }
        Some(path) => Check::degraded(
            "shell recognition",
            format!("{path} is not recognised by its content"),
            "copies of it under another name count as any other program",
            "report which shell this is",
        ),
        None => Check::ok(
            "shell recognition",
            "no shell in sight of the sensor; those of others are looked at as they run",
        ),
    }
}

/// The lines of checks, those that are fine left out if `only_bad`.
#[must_use]
pub fn lines(checks: &[Check], only_bad: bool) -> String {
    checks
        .iter()
        .filter(|check| !only_bad || check.verdict != Verdict::Ok)
        .map(|check| Text::from(check.to_string().as_str()).for_terminal() + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_limit_of_open_files_is_not_taken_for_a_forbidden_call() {
        let failed = |number| remedy(&LoadError::NoBtf(io::Error::from_raw_os_error(number)));
        assert!(failed(libc::EMFILE).contains("ulimit -n"));
        assert!(failed(libc::EPERM).contains("seccomp"));
    }

    #[test]
    fn what_can_not_be_seen_is_said() {
        let check = coverage(ebpf::coverage(true, false));
        assert_eq!(check.verdict, Verdict::Degraded);
        assert!(check.found.contains("not deliveries"), "{}", check.found);
    }
}
