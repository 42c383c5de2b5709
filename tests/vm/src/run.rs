//! Which checks a machine runs. The host chooses with the word `checks=` on the kernel's command line, which the kernel
//! hands to its first program as a variable.

use std::env;

use anyhow::{Context, Result, anyhow, bail, ensure};
use sensor_tests::{lab::Lab, process::sweep, sensor::Sensor};

use crate::{
    cases::{self, missed_runs},
    config, machine, prerequisites,
    programs::{self, Programs},
    report::Report,
};

/// Runs what the host asked for.
///
/// # Errors
/// If the host can't be told what came of it. A check that fails is no error: the report has it.
pub fn run(report: &mut Report) -> Result<()> {
    match env::var("checks").as_deref() {
        // Says nothing but which kernel runs: the host only wants to know whether machines start here.
        Ok("none") => Ok(()),
        Ok("all") => everything(report),
        Ok("confidentiality") => {
            report.check("machine::as_asked", machine::as_asked)?;
            report.check(
                "refusal::lockdown_confidentiality",
                prerequisites::refusal_in_confidentiality,
            )?;
            Ok(())
        }
        other => bail!("checks={other:?} means nothing"),
    }
}

fn everything(report: &mut Report) -> Result<()> {
    report.check("machine::as_asked", machine::as_asked)?;
    let doctor = report.check("doctor::all_ok", prerequisites::doctor_all_ok)?;
    report.check("machine::counts_runs", programs::count_runs)?;
    // The self-test is a part of it.
    let Some(sensor) = report.check("sensor::starts", Sensor::start)? else {
        return Ok(());
    };
    // None is compiled here; a lab can't be without.
    let attackers = sensor_tests::programs::Programs::new()?;
    for (name, run) in cases::all() {
        report.check(name, || in_a_lab(run, &Lab::new(&sensor, &attackers)?))?;
    }
    if let Some(programs) = report.check("sensor::programs", || Programs::of(&sensor))? {
        report.note(&programs.to_string())?;
        report.check("sensor::has_what_doctor_says", || {
            programs.as_doctor_says(&doctor.context("doctor failed")?)
        })?;
        report.check("sensor::loses_nothing", || nothing_lost(&sensor, &programs))?;
        report.check("sensor::ends_well", || ends_well(&sensor, &programs))?;
    }
    report.check("config::exception", config::exception)?;
    report.check("refusal::no_btf", prerequisites::refusal_without_btf)?;
    Ok(())
}

/// Runs one case and demands that it caused the findings that it accounted for and no others.
pub fn in_a_lab(run: impl FnOnce(&Lab<'_>) -> Result<()>, lab: &Lab<'_>) -> Result<()> {
    let outcome = run(lab);
    let output = lab.output();
    let swept = sweep(&[lab.sensor.pid()]);
    let settled = swept.and_then(|()| lab.settle());
    outcome.and(settled).map_err(|error| match output.trim() {
        "" => error,
        said => anyhow!("{error:#}; its programs said: {}", said.replace('\n', " / ")),
    })
}

/// No finding of any case says that an event was lost, but for those that the kernel itself left out.
fn nothing_lost(sensor: &Sensor, programs: &Programs) -> Result<()> {
    sensor.lines(0, |lines| {
        ensure!(!lines.is_empty(), "not one finding was written");
        for line in lines {
            let finding = line.finding.as_ref().map_err(|error| anyhow!("{error}"))?;
            let (said, missed) = (missed_runs(finding)?, programs.missed());
            ensure!(said <= missed, "{missed} runs were left out, and a finding says {said}");
        }
        Ok(())
    })
}

fn ends_well(sensor: &Sensor, programs: &Programs) -> Result<()> {
    sensor.stop()?;
    let said = sensor.diagnostics();
    let last = said.last().context("it said nothing")?;
    ensure!(last.contains("stopped"), "its last word is {last:?}");
    let complaints = said
        .iter()
        .filter(|line| line.contains("WARN") || line.contains("ERROR"));
    // It has to, where the kernel does.
    let expected = u64::min(programs.missed(), 1) as usize;
    ensure!(complaints.count() <= expected, "it complained: {}", said.join(" / "));
    Ok(())
}
