//! Wall time of an exec storm with the sensor, as a ratio to the same storm without it.
//!
//! Machines drift (frequency, neighbours), so rounds alternate and each ratio is of two rounds that ran one after the
//! other; which comes first alternates too.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{load, quantile, report::Report, sorted};
use crate::sensor::Sensor;

/// Execs a round, on each core.
const EXECS: usize = 5_000;
/// Pairs of rounds, or fewer on a machine that is too slow for so many.
const PAIRS: usize = 9;
const FEWEST_PAIRS: usize = 3;
const LONGEST: Duration = Duration::from_secs(100);
/// The budget: the storm may take this much longer.
const BUDGET: f64 = 1.01;

/// Measures on one core and on all.
pub(super) fn measure(sensor: &Path, cores: &[usize], report: &mut Report) -> Result<()> {
    let one = cores.get(..1).unwrap_or_default();
    series("exec storm, one core", sensor, one, report)?;
    if cores.len() > 1 {
        series("exec storm, all cores", sensor, cores, report)?;
    }
    Ok(())
}

fn series(name: &str, sensor: &Path, cores: &[usize], report: &mut Report) -> Result<()> {
    // Page cache and allocator state of the first round would count against whoever comes first.
    load::storm(cores, EXECS / 10)?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let end = Instant::now() + LONGEST;
    for pair in 0..PAIRS {
        if pair >= FEWEST_PAIRS && Instant::now() > end {
            break;
        }
        if pair % 2 == 0 {
            without.push(load::storm(cores, EXECS)?);
            with.push(storm_with(sensor, cores)?);
        } else {
            with.push(storm_with(sensor, cores)?);
            without.push(load::storm(cores, EXECS)?);
        }
    }
    let ratios = sorted(
        with.iter()
            .zip(&without)
            .map(|(with, without)| ratio(*with, *without))
            .collect(),
    );
    // The same machine, the same work, no sensor in either: what the ratios above can't tell apart.
    let noise = sorted(
        without
            .windows(2)
            .filter_map(|two| Some(ratio(*two.last()?, *two.first()?)))
            .collect(),
    );
    let spread = |values: &[f64]| {
        let of = |part| quantile(values, part);
        format!(
            "quartiles {:.3} to {:.3}, extremes {:.3} to {:.3}",
            of(0.25),
            of(0.75),
            of(0.0),
            of(1.0)
        )
    };
    let median = quantile(&ratios, 0.5);
    report.figure(name, median, "ratio").budget(BUDGET).detail(format!(
        "{} pairs of {EXECS} execs a core; {}",
        ratios.len(),
        spread(&ratios)
    ));
    report
        .figure(&format!("{name}, noise"), quantile(&noise, 0.5), "ratio")
        .detail(spread(&noise));
    let per_exec = sorted(without.iter().map(|time| micros(*time)).collect());
    report
        .figure(
            &format!("{name}, without"),
            quantile(&per_exec, 0.5) / count(EXECS),
            "us/exec",
        )
        .detail("wall time of one start and end of /bin/true, on each core".into());
    Ok(())
}

fn storm_with(path: &Path, cores: &[usize]) -> Result<Duration> {
    let sensor = Sensor::start(path)?;
    let time = load::storm(cores, EXECS)?;
    sensor.end(|_| {})?;
    Ok(time)
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn count(number: usize) -> f64 {
    number as f64
}
