//! Everything that a contributor runs. This file holds the command line alone; each command is a module.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

mod architecture;
mod bench;
mod command;
mod demo;
mod run;
mod sensor;
mod setup;
mod test;
#[allow(dead_code, reason = "sensor-daemon's build script uses the rest")]
mod toolchain;
mod vm;
mod workspace;

/// Sets up, builds, runs, tests and measures the sensor.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "On a new machine, `cargo xtask run` is all that is needed: it installs what is missing, builds both \
                  sides and starts the sensor. Loading programs into the kernel needs root."
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and running need
    ///
    /// Building takes a Rust compiler with its library sources (a rustup toolchain with rust-src, else Debian's rustc-web),
    /// and bpf-linker, which is built against that compiler's LLVM and kept in the user's cache directory. Prints what it
    /// installs and why. Where it can't install, it prints the commands that a person can run.
    Setup {
        /// Also install what the end-to-end tests use: netcats, shells, interpreters, sshd, and the official parsers of
        /// findings
        #[arg(long)]
        tests: bool,
    },
    /// Set up and build the sensor, kernel side included
    ///
    /// Prints the path of the executable on stdout.
    Build {
        /// Build without optimisation, for a debugger (the kernel side is always optimised: the verifier wants it so)
        #[arg(long)]
        debug: bool,
        #[arg(long, hide = true, conflicts_with = "debug", help = "The default")]
        release: bool,
    },
    /// Set up, build, and start the sensor in the foreground
    ///
    /// Findings go to stdout: readable text on a terminal, else one JSON object a line. Diagnostics go to stderr.
    /// Ctrl-C ends it.
    #[command(after_help = "Examples:\n  cargo xtask run\n  cargo xtask run -- --format json --min-severity low")]
    Run {
        /// Arguments of `sensor-daemon run`
        #[arg(last = true, value_name = "ARGS")]
        arguments: Vec<OsString>,
    },
    /// Run all checks: rustfmt, clippy, imports, unit tests, end-to-end tests, two other kernels (as root)
    ///
    /// Runs `setup --tests` first. Stops at the first step that fails.
    Test {
        /// Run only the tests whose name contains this
        filter: Option<String>,
    },
    /// Check that imports between files go downwards, and never in a circle
    ///
    /// docs/architecture.md lists the order of rooms. Prints each circle, and each import against that order.
    Architecture,
    /// Run the sensor on other kernels, each in a virtual machine
    ///
    /// Debian's 5.10, 6.1, 6.12, 6.18 and its newest, each booted in several ways, under KVM or else emulated (then all
    /// of it takes up to 15 minutes). Installs QEMU if it is missing, and downloads kernels when they are first used. Only
    /// installing needs root.
    VmTest {
        /// Run only these versions: such as `6.12`, or `newest`
        #[arg(value_name = "VERSION")]
        versions: Vec<String>,
        /// Run only the oldest and the newest kernel, each booted in one way
        #[arg(long, conflicts_with = "versions")]
        short: bool,
        /// Download the kernels again, in case Debian has newer ones
        #[arg(long)]
        refresh: bool,
    },
    /// Watch the sensor find a real reverse shell on loopback
    ///
    /// Starts the sensor and a listener, opens a shell to the listener, types commands into it, shows how the finding grows,
    /// and ends both. Fails unless the shell answered and exactly one finding began, grew and ended.
    Demo,
    /// Measure what the sensor costs, against its budgets (up to 15 minutes, as root)
    ///
    /// Prints each figure as soon as it is measured. A figure over its budget is shown, and is no error: the machine may
    /// be busy.
    Bench {
        /// Measure only this
        #[arg(value_name = "PART")]
        parts: Vec<bench::Part>,
        /// Measure less, in about three minutes: a quarter of the samples, and the fewest rounds
        #[arg(long)]
        quick: bool,
        /// Also write the figures to this file, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Play a part in a measurement
    #[command(hide = true)]
    BenchHelper {
        #[command(subcommand)]
        part: bench::helper::Part,
    },
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup { tests } => setup::run(tests).map(|()| ExitCode::SUCCESS),
        Task::Build { debug, release: _ } => run::build(debug).map(|()| ExitCode::SUCCESS),
        Task::Run { arguments } => run::run(&arguments),
        Task::Test { filter } => test::run(filter.as_deref()),
        Task::Architecture => architecture::run().map(|()| ExitCode::SUCCESS),
        Task::VmTest {
            versions,
            short,
            refresh,
        } => {
            let extent = if short {
                vm::Extent::Short
            } else {
                vm::Extent::Matrix(versions)
            };
            vm::run(&extent, refresh)
        }
        Task::Demo => demo::run().map(|()| ExitCode::SUCCESS),
        Task::Bench { parts, quick, json } => bench::run(&parts, quick, json.as_deref()).map(|()| ExitCode::SUCCESS),
        Task::BenchHelper { part } => bench::helper::play(part).map(|()| ExitCode::SUCCESS),
    }
}
