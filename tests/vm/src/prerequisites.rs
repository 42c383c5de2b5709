//! What the sensor says about a machine before it watches it: `doctor`, and clear refusals where it can't work.

use std::{
    fs::{self, File},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use sensor_tests::{deadline::wait_for, sensor};

/// Everything that the sensor needs is there, and all that it can do without: `doctor` has nothing but `ok`. Gives what it
/// says.
pub fn doctor_all_ok() -> Result<String> {
    let (status, text) = run(&["doctor"])?;
    let bad = text
        .lines()
        .find(|line| !line.starts_with("ok ") && *line != "The sensor can run here.");
    ensure!(bad.is_none(), "doctor: {}", bad.unwrap_or_default());
    ensure!(status.success(), "doctor ended with {}", status);
    for program in ["exec_program", "open_files", "wire", "stream_moved"] {
        ensure!(
            text.contains(&format!("program {program}: the kernel's verifier takes it")),
            "doctor did not load {program}: {text}"
        );
    }
    Ok(text)
}

/// Without the kernel's types both commands end at once, with lines that say so and what to do.
pub fn refusal_without_btf() -> Result<()> {
    const DIRECTORY: &str = "/sys/kernel/btf";
    mount("none", DIRECTORY, "tmpfs", MountFlags::empty(), None).context("hiding BTF")?;
    let outcome = refusal("kernel types (BTF)", "CONFIG_DEBUG_INFO_BTF");
    unmount(DIRECTORY, UnmountFlags::empty()).context("showing BTF again")?;
    outcome
}

/// Likewise under `lockdown=confidentiality`.
pub fn refusal_in_confidentiality() -> Result<()> {
    refusal("kernel lockdown", "lockdown=integrity")
}

/// `check` is the prerequisite that has to be reported as missing, `remedy` a part of what to do about it.
fn refusal(check: &str, remedy: &str) -> Result<()> {
    let missing = format!("missing   {check}: ");
    for command in ["run", "doctor"] {
        let (status, text) = run(&[command])?;
        ensure!(status.code() == Some(1), "{command} ended with {}: {text}", status);
        ensure!(!text.contains("panicked"), "{command} panicked: {text}");
        let line = text.lines().find(|line| line.contains(&missing));
        ensure!(
            line.is_some_and(|line| line.contains(remedy)),
            "{command} does not say `{missing}…{remedy}`: {text}"
        );
    }
    Ok(())
}

/// Runs the sensor's program to its end; gives what it said on both outputs, too.
fn run(arguments: &[&str]) -> Result<(ExitStatus, String)> {
    let said = tempfile::NamedTempFile::new()?;
    let mut child = Command::new(sensor::binary()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::options().append(true).open(said.path())?)
        .stderr(File::options().append(true).open(said.path())?)
        .spawn()
        .context("starting the sensor")?;
    // A sensor that should have refused would run for ever.
    let status = wait_for(&format!("the end of `sensor-daemon {}`", arguments.join(" ")), || {
        Ok(child.try_wait()?)
    });
    if status.is_err() {
        child.kill()?;
        child.wait()?;
    }
    let text = String::from_utf8_lossy(&fs::read(said.path())?).into_owned();
    Ok((status.with_context(|| text.replace('\n', " / "))?, text))
}
