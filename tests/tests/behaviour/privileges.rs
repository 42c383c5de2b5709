//! What the sensor says where it may not do its work, and how little it needs.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use anyhow::{Result, ensure};
use sensor_tests::{
    process::command,
    sensor::{Sensor, binary},
    suite::Alone,
    tools,
};
use tempfile::TempDir;

use crate::command_line::{all, output};

/// Options of setpriv that make a process nobody's.
pub const NOBODY: &[&str] = &["--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// The sensor where everybody can execute it.
pub struct Copy(TempDir);

impl Copy {
    pub fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        fs::copy(binary()?, dir.path().join("sensor-daemon"))?;
        Ok(Self(dir))
    }

    /// The sensor with `arguments`, run with the privileges that setpriv's `options` leave.
    pub fn command(&self, options: &[&str], arguments: &[&str]) -> Result<Command> {
        let mut setpriv = command(tools::find("setpriv")?);
        setpriv
            .args(options)
            .arg(self.0.path().join("sensor-daemon"))
            .args(arguments);
        Ok(setpriv)
    }
}

/// `run` and `doctor` fail with the same clear lines: `missing` names are missing, `held` ones are not.
fn refuses(options: &[&str], missing: &[&str], held: &[&str]) -> Result<()> {
    let copy = Copy::new()?;
    for arguments in [&["run", "--format", "json"][..], &["doctor"]] {
        let output = output(&mut copy.command(options, arguments)?)?;
        let said = all(&output);
        ensure!(
            output.status.code() == Some(1),
            "{arguments:?} ends with {}: {said}",
            output.status
        );
        for name in missing {
            let line = said
                .lines()
                .find(|line| line.contains("missing") && line.contains(name));
            ensure!(
                line.is_some_and(|line| line.contains("to do")),
                "{arguments:?} does not say that {name} is missing: {said}"
            );
        }
        for name in held {
            let line = said
                .lines()
                .find(|line| line.contains("missing") && line.contains(&format!("capability {name}:")));
            ensure!(line.is_none(), "{arguments:?} says that {name} is missing: {said}");
        }
        let long = said.lines().filter(|line| line.len() > 600).count();
        ensure!(
            long == 0 && said.lines().count() < 40,
            "{arguments:?} says too much: {said}"
        );
        if arguments.contains(&"run") {
            ensure!(output.stdout.is_empty(), "an output that is no finding: {said}");
        }
    }
    Ok(())
}

fn another_user() -> Result<()> {
    refuses(NOBODY, &["CAP_BPF", "CAP_PERFMON"], &[])
}

fn root_without_capabilities() -> Result<()> {
    refuses(
        &["--bounding-set=-all", "--inh-caps=-all"],
        &["CAP_BPF", "CAP_PERFMON"],
        &[],
    )
}

fn one_capability_of_two() -> Result<()> {
    let options = [
        "--inh-caps=-all,+bpf",
        "--ambient-caps=-all,+bpf",
        "--bounding-set=-all,+bpf",
    ];
    refuses(&[NOBODY, &options].concat(), &["CAP_PERFMON"], &["CAP_BPF"])
}

/// No root, two capabilities: it watches.
fn two_capabilities() -> Result<()> {
    let copy = Copy::new()?;
    let options = [
        "--inh-caps=-all,+bpf,+perfmon",
        "--ambient-caps=-all,+bpf,+perfmon",
        "--bounding-set=-all,+bpf,+perfmon",
    ];
    let sensor = Sensor::start_unread(copy.command(&[NOBODY, &options].concat(), &["run", "--format", "json"])?)?;
    sensor.read()?;
    sensor.fence()?;
    sensor.stop()
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("privileges::another_user", another_user),
        ("privileges::root_without_capabilities", root_without_capabilities),
        ("privileges::one_capability_of_two", one_capability_of_two),
        ("privileges::two_capabilities_are_enough", two_capabilities),
    ]
}
