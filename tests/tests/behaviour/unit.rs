//! The systemd unit: systemd understands it, it is confined, and the sensor works with what it leaves.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    process::command,
    sensor::{Sensor, binary},
    suite::Alone,
    tools,
};
use tempfile::TempDir;

use super::{
    command_line::{all, output},
    privileges::{Copy, NOBODY},
};

const UNIT: &str = "sensor-daemon.service";

/// The unit with the sensor where it is now.
fn unit() -> Result<(TempDir, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging/systemd")
        .join(UNIT);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let installed = "/usr/bin/sensor-daemon";
    ensure!(text.contains(installed), "the unit does not start {installed}");
    let text = text.replace(installed, &fs::canonicalize(binary()?)?.to_string_lossy());
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join(UNIT), &text)?;
    Ok((dir, text))
}

fn is_understood_and_confined() -> Result<()> {
    let (dir, _) = unit()?;
    let file = dir.path().join(UNIT);
    let analyze = tools::find("systemd-analyze")?;
    let verified = output(command(&analyze).arg("verify").arg(&file))?;
    ensure!(
        verified.status.success() && all(&verified).trim().is_empty(),
        "systemd says: {}",
        all(&verified)
    );
    // In tenths; other sensors' units have 82 to 96.
    let security = ["security", "--offline=true", "--threshold=30"];
    let confined = output(command(&analyze).args(security).arg(&file))?;
    ensure!(
        confined.status.success(),
        "it is more exposed than it was: {}",
        all(&confined)
    );
    Ok(())
}

/// With the unit's capabilities, and as nobody, the sensor lacks none that it would like to have.
fn has_the_capabilities_that_the_sensor_wants() -> Result<()> {
    let (_dir, text) = unit()?;
    let of = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.with_context(|| format!("the unit has no {key}"))
    };
    let granted = of("AmbientCapabilities=")?;
    ensure!(
        of("CapabilityBoundingSet=")? == granted,
        "it has others than it may have"
    );
    let mut set = String::from("-all");
    for name in granted.split_whitespace() {
        let name = name.strip_prefix("CAP_").context("an odd capability")?;
        set.push_str(&format!(",+{}", name.to_lowercase()));
    }
    let options = [
        format!("--inh-caps={set}"),
        format!("--ambient-caps={set}"),
        format!("--bounding-set={set}"),
        "--no-new-privs".into(),
    ];
    let options: Vec<&str> = NOBODY
        .iter()
        .copied()
        .chain(options.iter().map(String::as_str))
        .collect();
    let copy = Copy::new()?;
    let doctor = output(&mut copy.command(&options, &["doctor"])?)?;
    let said = all(&doctor);
    let lacking = said
        .lines()
        .find(|line| line.contains("capability") && !line.starts_with("ok"));
    ensure!(
        doctor.status.success() && lacking.is_none(),
        "the doctor is not content: {said}"
    );
    let sensor = Sensor::start_unread(copy.command(&options, &["run", "--format", "json"])?)?;
    sensor.read()?;
    sensor.fence()?;
    sensor.stop()
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("unit::is_understood_and_confined", is_understood_and_confined),
        (
            "unit::has_the_capabilities_that_the_sensor_wants",
            has_the_capabilities_that_the_sensor_wants,
        ),
    ]
}
