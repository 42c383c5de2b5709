//! `cargo xtask test`: runs every check of the project, one after the other, and prints a summary.

use std::{
    fmt::Display,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{architecture, command, setup, vm, workspace};

/// Tests that ran, as the test harnesses counted them.
#[derive(Clone, Copy, Default)]
struct Count {
    passed: u64,
    failed: u64,
}

/// Runs every step until one fails.
pub(crate) fn run(filter: Option<&str>) -> Result<ExitCode> {
    if !command::is_root() {
        bail!(
            "the end-to-end tests load programs into the kernel and start sshd and set-uid programs: run as root, \
             e.g. `sudo -E env PATH=\"$PATH\" cargo xtask test`"
        );
    }
    let mut steps = Steps::default();
    match steps.run_all(filter) {
        Ok(()) => {
            steps.summarise();
            // The last line, in the form in which runners look for proof that tests ran.
            println!("{} passed, {} failed", steps.tests.passed, steps.tests.failed);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            steps.summarise();
            Err(error)
        }
    }
}

#[derive(Default)]
struct Steps {
    done: Vec<String>,
    tests: Count,
}

impl Steps {
    fn run_all(&mut self, filter: Option<&str>) -> Result<()> {
        let (python, tools) = self.step("set-up", || {
            setup::run(true)?;
            setup::require_linters()?;
            Ok((setup::python()?, setup::test_tools()?))
        })?;
        self.step("rustfmt", || {
            command::openly(workspace::cargo().args(["fmt", "--all", "--check"]))
        })?;
        self.step("clippy", || {
            command::openly(workspace::cargo().args(["clippy", "--all-targets", "--", "-D", "warnings"]))
        })?;
        self.step("clippy, kernel side", || command::openly(&mut clippy_kernel_side()))?;
        self.step("architecture", architecture::run)?;
        let sensor = self.step("build", || workspace::build_sensor(true))?;
        let mut unit = workspace::cargo();
        unit.args([
            "test",
            "--workspace",
            "--exclude",
            "sensor-ebpf",
            "--exclude",
            "sensor-tests",
        ]);
        unit.env("SENSOR_TEST_PYTHON", &python);
        self.tests("unit tests", unit.args(filter_arguments(filter)))?;
        let mut end_to_end = workspace::cargo();
        end_to_end
            .args(["test", "--no-fail-fast", "--package", "sensor-tests"])
            .args(filter_arguments(filter))
            .env("SENSOR_DAEMON", sensor)
            .env("SENSOR_TEST_PYTHON", python)
            .env("SENSOR_TEST_TOOLS", tools);
        self.tests("end-to-end tests", &mut end_to_end)?;
        if filter.is_none() {
            self.other_kernels()?;
        }
        if self.tests.passed == 0 {
            bail!(
                "no test ran: `{}` is part of no test's name",
                filter.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// The oldest and the newest kernel that are supported; `vm-test` runs those between as well.
    fn other_kernels(&mut self) -> Result<()> {
        let score = self.step("other kernels", || vm::short(false))?;
        self.tests.passed += score.passed;
        self.tests.failed += score.failed;
        if score.failed > 0 {
            bail!("step `other kernels`: {} checks failed in a machine", score.failed);
        }
        Ok(())
    }

    fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("== {name}");
        let start = Instant::now();
        let result = work();
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        self.note(name, verdict, start);
        result.with_context(|| format!("step `{name}`"))
    }

    fn tests(&mut self, name: &str, command: &mut Command) -> Result<()> {
        println!("== {name}");
        let start = Instant::now();
        let (count, result) = run_counting(command);
        self.tests.passed += count.passed;
        self.tests.failed += count.failed;
        let verdict = match &result {
            Ok(()) => format!("{} ok", count.passed),
            Err(_) => format!("FAILED, {} ok, {} not", count.passed, count.failed),
        };
        self.note(name, verdict, start);
        result.with_context(|| format!("step `{name}`"))
    }

    fn note(&mut self, name: &str, verdict: impl Display, start: Instant) {
        let line = format!("{name:<20} {verdict} ({:.0} s)", start.elapsed().as_secs_f64());
        println!("-- {line}");
        self.done.push(line);
    }

    fn summarise(&self) {
        println!("\n== summary");
        for line in &self.done {
            println!("{line}");
        }
    }
}

/// The BPF toolchain may have no clippy, so the host's compiler looks at the kernel side as if it were for the host.
fn clippy_kernel_side() -> Command {
    let mut command = workspace::cargo();
    command
        .args(["clippy", "--package", "sensor-ebpf", "--bins"])
        // There is nothing that unwinds on the host side of `no_std`. A profile of its own keeps the others' builds.
        .args([
            "--config",
            "profile.kernel-side.inherits='dev'",
            "--config",
            "profile.kernel-side.panic='abort'",
        ])
        .args(["--profile", "kernel-side", "--", "-D", "warnings"]);
    command
}

/// A harness reads its first free argument as a part of test names.
fn filter_arguments(filter: Option<&str>) -> Vec<&str> {
    filter.map(|filter| vec!["--", filter]).unwrap_or_default()
}

/// Runs `cargo test`, passing its output on and counting what its harnesses report.
fn run_counting(command: &mut Command) -> (Count, Result<()>) {
    let mut count = Count::default();
    let result = (|| {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("cargo can't be started")?;
        let stdout = child.stdout.take().context("cargo has no stdout")?;
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("reading cargo's output")?;
            let text = String::from_utf8_lossy(&line);
            println!("{text}");
            std::io::stdout().flush().ok();
            if let Some(result) = text.strip_prefix("test result:") {
                count.passed += number_before(result, "passed");
                count.failed += number_before(result, "failed");
            }
        }
        let status = child.wait().context("waiting for cargo")?;
        if !status.success() {
            bail!("`{}` failed ({status})", command::show(command));
        }
        Ok(())
    })();
    (count, result)
}

/// `12` of ` ok. 12 passed; 0 failed; …` before `passed`.
fn number_before(text: &str, word: &str) -> u64 {
    let mut before = "";
    for next in text.split_whitespace() {
        if next.trim_end_matches([';', '.']) == word {
            return before.parse().unwrap_or_default();
        }
        before = next;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::number_before;

    #[test]
    fn a_harness_result_is_counted() {
        let line = " FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.00s";
        assert_eq!(number_before(line, "passed"), 12);
        assert_eq!(number_before(line, "failed"), 3);
        assert_eq!(number_before(line, "absent"), 0);
    }
}
