//! Exec storms with the sensor and without it: programs whose streams are devices, programs whose streams are pipes, and a
//! build, which is where such programs come from.

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::{
    load::{self, Work},
    make::Make,
    ratio,
    report::Report,
};
use crate::sensor::Sensor;

/// Execs a round, on each core.
const EXECS: usize = 5_000;
/// Rounds of the mixture, each of five execs.
const MIXTURES: usize = 1_000;
/// What happens in one of them.
const MIXTURE: [Work; 3] = [Work::PIPED, Work::PIPELINE, Work::PIPED];
/// The budget: the storm may take this much longer.
const BUDGET: f64 = 1.01;

/// Measures on one core and on all.
pub(super) fn measure(sensor: &Path, cores: &[usize], report: &mut Report) -> Result<()> {
    let make = Make::prepare()?;
    if make.is_none() {
        report.note("no make on this machine: no storm of a build".into());
    }
    let one = cores.get(..1).unwrap_or_default();
    for (place, cores) in [("one core", one), ("all cores", cores)] {
        if cores.len() == 1 && place == "all cores" {
            continue;
        }
        let plain = |part: usize| load::storm(cores, EXECS / part, &[Work::PLAIN]);
        series(&format!("exec storm, {place}"), sensor, plain, EXECS, "us/exec", report)?;
        let piped = |part: usize| load::storm(cores, MIXTURES / part, &MIXTURE);
        series(
            &format!("piped exec storm, {place}"),
            sensor,
            piped,
            MIXTURES,
            "us/mix",
            report,
        )?;
        if let Some(make) = &make {
            let build = |_: usize| make.run(cores);
            let recipes = super::make::RECIPES;
            series(&format!("make, {place}"), sensor, build, recipes, "us/recipe", report)?;
        }
    }
    Ok(())
}

/// `storm` does the work, or one part in so many of it.
fn series(
    name: &str,
    sensor: &Path,
    storm: impl Fn(usize) -> Result<Duration>,
    count: usize,
    unit: &'static str,
    report: &mut Report,
) -> Result<()> {
    eprintln!("  {name}");
    // Page cache and allocator state of the first round would count against whoever comes first.
    storm(10)?;
    let rounds = ratio::alternate(
        report.effort,
        Some(BUDGET),
        || {
            let sensor = Sensor::start(sensor)?;
            let time = storm(1)?;
            sensor.end(|_| {})?;
            Ok(time)
        },
        || storm(1),
    )?;
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    rounds.show(name, Some(BUDGET), count as f64, unit, report);
    Ok(())
}
