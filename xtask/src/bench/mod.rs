//! `cargo xtask bench`: what the sensor costs, each figure beside its budget.
//!
//! `load` makes the execs, the other modules each measure one thing, `report` shows it. Whoever measures the sensor's own
//! programs reads them by the ids that its process holds, so another sensor on the machine is not measured with it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use self::report::{Effort, Report};
use crate::{command, sensor::Sensor, setup, workspace};

mod crowd;
mod flood;
mod floor;
pub(crate) mod helper;
mod latency;
mod load;
mod make;
mod packets;
mod programs;
mod ratio;
mod relay;
mod report;
mod resources;
mod storm;

/// Shells behind a carrier, of each kind.
const RELAYED: usize = 200;

/// What can be measured by itself, in the order in which all of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Memory, and ten seconds of doing nothing
    Resources,
    /// Kernel time of each program
    Programs,
    /// From a shell on a socket to its finding
    Latency,
    /// From a shell that another process carries to its finding
    Relays,
    /// The same, and idling, among thousands of processes
    Crowd,
    /// Whether anything is lost when every exec matches
    Flood,
    /// What everybody's connections pay while one is watched
    Packets,
    /// Exec storms with and without the sensor: the longest part
    Storms,
}

/// Measures `parts` (all, if there are none), prints each figure when it is there, and writes `json` if asked to.
pub(crate) fn run(parts: &[Part], quick: bool, json: Option<&Path>) -> Result<()> {
    ensure!(
        command::is_root(),
        "measuring loads programs into the kernel: run it as root"
    );
    setup::run(false)?;
    let sensor = workspace::build_sensor(true)?;
    close_inherited();
    let effort = if quick { Effort::Quick } else { Effort::Full };
    let mut report = Report::begin(effort);
    let cores = load::cores()?;
    report.note(format!("{} cores, Linux {}", cores.len(), release()?));
    if quick {
        report.note("quick: a quarter of the samples and 3 pairs of rounds, so ratios are rough".into());
    }

    for part in Part::value_variants() {
        if !parts.is_empty() && !parts.contains(part) {
            continue;
        }
        if let Some(value) = part.to_possible_value() {
            eprintln!(
                "measuring: {}: {}",
                value.get_name(),
                value.get_help().map(ToString::to_string).unwrap_or_default()
            );
        }
        measure(*part, &sensor, &cores, &mut report).with_context(|| format!("measuring {part:?}"))?;
    }

    report.finish();
    if let Some(path) = json {
        report.write(path)?;
    }
    Ok(())
}

fn measure(part: Part, path: &Path, cores: &[usize], report: &mut Report) -> Result<()> {
    match part {
        Part::Resources => with_sensor(path, |sensor| resources::measure(sensor, report)),
        Part::Programs => with_sensor(path, |sensor| programs::measure(sensor, cores, report)),
        Part::Latency => with_sensor(path, |sensor| latency::measure(sensor, report)),
        Part::Relays => with_sensor(path, |sensor| relay::measure(sensor, RELAYED, "", report)),
        Part::Crowd => crowd::measure(path, report),
        Part::Flood => with_sensor(path, |sensor| flood::measure(sensor, cores, report)),
        Part::Packets => packets::measure(path, cores, report),
        Part::Storms => storm::measure(path, cores, report),
    }
}

/// Each measurement has a sensor of its own, which has seen nothing yet.
fn with_sensor(path: &Path, work: impl FnOnce(&Sensor) -> Result<()>) -> Result<()> {
    let sensor = Sensor::start(path)?;
    work(&sensor)?;
    sensor.end(|_| {})
}

/// Descriptors that whoever started this left open would be inherited by every program of a storm, and make its descriptor
/// table larger than usual. What is ours at this point are the standard streams.
fn close_inherited() {
    // SAFETY: nothing in this process has a descriptor open and lives on: builds and set-up are over.
    unsafe {
        libc::close_range(3, libc::c_uint::MAX, 0);
    }
}

fn release() -> Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("/proc/sys/kernel/osrelease")?;
    Ok(text.trim().to_owned())
}

/// The middle of `sorted`, and more generally the value below which a share of `part` of all lies.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index below the number of samples"
    )]
    let index = (part * last as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::{quantile, sorted};

    #[test]
    fn quantiles_of_a_few_values() {
        let values = sorted(vec![3.0, 1.0, 2.0, 5.0, 4.0]);
        assert!((quantile(&values, 0.5) - 3.0).abs() < f64::EPSILON);
        assert!((quantile(&values, 0.99) - 5.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
