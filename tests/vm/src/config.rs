//! What the configuration file says is in force.

use std::{fs, io::Write as _};

use anyhow::{Context as _, Result};
use sensor_tests::{
    lab::Lab,
    peer::{Listener, V4},
    programs::Programs,
    sensor::Sensor,
};

use crate::{cases, run::in_a_lab};

/// Of two shells that differ in their peer's port, the one that an exception is for is not reported.
pub fn exception() -> Result<()> {
    let (excepted, other) = (Listener::tcp(V4)?, Listener::tcp(V4)?);
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile()?;
    write!(
        file,
        "[[exception]]\nid = \"console\"\nreason = \"A console that is meant to be.\"\nbinary = \"{}\"\nport = {}\n",
        fs::canonicalize("/bin/sh")?.display(),
        excepted.port()?
    )?;
    let sensor = Sensor::start_with(&["--config", file.path().to_str().context("an odd path")?])?;
    let attackers = Programs::new()?;
    let both = |lab: &Lab<'_>| {
        let address = format!("127.0.0.1:{}", excepted.port()?);
        cases::start(lab, &["tcp", &address, "sss", "/bin/sh"])?;
        let mut peer = excepted.accept()?;
        peer.shell()?;
        cases::connect(lab, &other, "tcp", "127.0.0.1")
    };
    in_a_lab(both, &Lab::new(&sensor, &attackers)?)?;
    sensor.stop()
}
