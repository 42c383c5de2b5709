//! `cargo xtask vm-test`: the sensor, built once, on one kernel after the other, each in a virtual machine.
//!
//! This file has the matrix and its report. `kernels` finds and keeps kernels, which `apt` fetches from Debian; `guest`
//! builds what runs inside and `archive` packs it; `machine` runs one machine. What is checked inside is in `tests/vm`.

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, bail};

use self::{
    kernels::{Kernel, NEWEST, Store},
    machine::{Accelerator, Line, Plan},
};
use crate::setup;

pub(crate) mod apt;
mod archive;
mod guest;
mod kernels;
mod machine;

/// The oldest that the sensor is for, Debian's and with them many clouds', and the newest that there is.
const VERSIONS: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", NEWEST];

/// A way to boot a kernel.
struct Boot {
    name: &'static str,
    /// Further words of the kernel's command line.
    words: &'static str,
    cpus: u32,
    /// What to check, as `tests/vm` calls it.
    checks: &'static str,
}

const BOOTS: [Boot; 4] = [
    Boot {
        name: "as it is",
        words: "",
        cpus: 1,
        checks: "all",
    },
    // As under Secure Boot.
    Boot {
        name: "two CPUs, lockdown=integrity",
        words: "lockdown=integrity",
        cpus: 2,
        checks: "all",
    },
    Boot {
        name: "security modules without bpf",
        words: "lsm=lockdown,yama,apparmor",
        cpus: 1,
        checks: "all",
    },
    Boot {
        name: "lockdown=confidentiality",
        words: "lockdown=confidentiality",
        cpus: 1,
        checks: "confidentiality",
    },
];

/// Checks that ran.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Score {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// What to run.
pub(crate) enum Extent {
    /// Every boot of these versions, of all if there are none.
    Matrix(Vec<String>),
    /// [`short`].
    Short,
}

/// Runs it and says what came of it.
///
/// # Errors
/// If nothing could be run. A kernel that can't be had counts as a failure like any other.
pub(crate) fn run(extent: &Extent, refresh: bool) -> Result<ExitCode> {
    let Score { passed, failed } = match extent {
        Extent::Short => short(refresh)?,
        Extent::Matrix(versions) if versions.is_empty() => matrix(&VERSIONS, &BOOTS, refresh)?,
        Extent::Matrix(versions) => {
            let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
            matrix(&versions, &BOOTS, refresh)?
        }
    };
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The oldest and the newest kernel, as they are.
///
/// # Errors
/// As [`run`].
pub(crate) fn short(refresh: bool) -> Result<Score> {
    matrix(&[VERSIONS[0], NEWEST], &BOOTS[..1], refresh)
}

fn matrix(versions: &[&str], boots: &[Boot], refresh: bool) -> Result<Score> {
    // Before anything takes time.
    for version in versions {
        kernels::wanted(version)?;
    }
    setup::machines()?;
    let start = Instant::now();
    let mut store = Store::open(refresh)?;
    let busybox = store.busybox()?;
    let mut run = Run {
        dir: store.work(),
        accelerator: None,
        score: Score::default(),
        rows: Vec::new(),
    };
    guest::pack(&busybox, &run.archive())?;
    for version in versions {
        match store.kernel(version) {
            Ok(kernel) => boots.iter().for_each(|boot| run.boot(&kernel, boot)),
            Err(error) => run.fail(version, &format!("the kernel can't be had: {error:#}")),
        }
    }
    println!("\n== summary");
    for row in &run.rows {
        println!("{row}");
    }
    println!("{} machines ({:.0} s)", run.rows.len(), start.elapsed().as_secs_f64());
    if run.rows.is_empty() {
        bail!("no machine ran");
    }
    Ok(run.score)
}

/// The matrix, as far as it has come.
struct Run {
    dir: std::path::PathBuf,
    accelerator: Option<Accelerator>,
    score: Score,
    rows: Vec<String>,
}

impl Run {
    fn archive(&self) -> std::path::PathBuf {
        self.dir.join("initramfs")
    }

    fn boot(&mut self, kernel: &Kernel, boot: &Boot) {
        let archive = self.archive();
        let accelerator = *self
            .accelerator
            .get_or_insert_with(|| machine::accelerator(&kernel.image, &archive, &self.dir));
        let plan = Plan {
            kernel: &kernel.image,
            archive: &archive,
            accelerator,
            cpus: boot.cpus,
            words: boot.words,
            checks: boot.checks,
        };
        let start = Instant::now();
        let mut release = kernel.version.clone();
        let mut score = Score::default();
        println!("== Linux {}, {}", kernel.version, boot.name);
        let ended = machine::watch(&plan, &self.dir, |line| match line {
            Line::Kernel(said) => said.clone_into(&mut release),
            Line::Passed { name: _ } => score.passed += 1,
            Line::Note(text) => println!("   {text}"),
            Line::Failed { name, why } => {
                score.failed += 1;
                println!("   FAILED {name}: {why}");
            }
            Line::End { passed, failed } => {
                if (*passed, *failed) != (score.passed, score.failed) {
                    score.failed += 1;
                    println!("   FAILED: lines were lost, the machine counts {passed} passed and {failed} failed");
                }
            }
        });
        self.score.passed += score.passed;
        self.score.failed += score.failed;
        let name = format!("Linux {release}, {}", boot.name);
        match ended {
            Ok(()) if score.failed == 0 && score.passed > 0 => {
                let seconds = start.elapsed().as_secs_f64();
                println!("   {} ok ({seconds:.0} s)", score.passed);
                self.rows.push(format!("{name}: {} ok ({seconds:.0} s)", score.passed));
            }
            Ok(()) => {
                println!("   its console ended with:\n{}", machine::console(&self.dir));
                self.rows
                    .push(format!("{name}: FAILED, {} ok, {} not", score.passed, score.failed));
            }
            Err(error) => self.fail(&name, &format!("{error:#}")),
        }
    }

    fn fail(&mut self, name: &str, why: &str) {
        self.score.failed += 1;
        println!("   FAILED: {why}");
        let first = why.lines().next().unwrap_or_default();
        self.rows.push(format!("{name}: FAILED, {first}"));
    }
}
