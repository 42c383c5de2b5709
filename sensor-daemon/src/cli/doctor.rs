//! `sensor-daemon doctor`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;

use crate::health::doctor::{self, Verdict};

/// Arguments of `doctor`: none yet.
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn doctor(_arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let checks = doctor::examine();
    let mut stdout = io::stdout().lock();
    stdout.write_all(doctor::lines(&checks, false).as_bytes())?;
    let verdict = |wanted| checks.iter().filter(|check| check.verdict == wanted).count();
    let (missing, degraded) = (verdict(Verdict::Missing), verdict(Verdict::Degraded));
    let summary = match (missing, degraded) {
        (0, 0) => "The sensor can run here.".to_owned(),
        (0, degraded) => format!("The sensor can run here, with {degraded} limitation(s)."),
        (missing, _) => format!("The sensor can't run here: {missing} prerequisite(s) missing."),
    };
    writeln!(stdout, "{summary}")?;
    Ok(if missing == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
