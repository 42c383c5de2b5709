//! `cargo xtask bench`: what the sensor costs, each figure beside its budget.
//!
//! `load` makes the execs, the other modules each measure one thing, `report` shows it. Whoever measures the sensor's own
//! programs reads them by the ids that its process holds, so another sensor on the machine is not measured with it.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{command, sensor::Sensor, setup, workspace};

mod flood;
mod floor;
mod latency;
mod load;
mod programs;
mod report;
mod resources;
mod storm;

/// Measures, prints the table, and writes `json` if asked to.
pub(crate) fn run(json: Option<&Path>) -> Result<()> {
    ensure!(
        command::is_root(),
        "measuring loads programs into the kernel: run it as root"
    );
    setup::run(false)?;
    let sensor = workspace::build_sensor(true)?;
    close_inherited();
    let mut report = report::Report::default();
    let cores = load::cores()?;
    report.note(format!("{} cores, Linux {}", cores.len(), release()?));

    eprintln!("measuring: resident memory, and 10 s of doing nothing");
    measure(&sensor, |sensor| resources::measure(sensor, &mut report))?;
    eprintln!("measuring: kernel time of each program");
    measure(&sensor, |sensor| programs::measure(sensor, &cores, &mut report))?;
    eprintln!("measuring: from a shell on a socket to its finding");
    measure(&sensor, |sensor| latency::measure(sensor, &mut report))?;
    eprintln!("measuring: a storm in which every exec matches");
    measure(&sensor, |sensor| flood::measure(sensor, &cores, &mut report))?;
    eprintln!("measuring: exec storms with and without the sensor, alternating (the longest part)");
    storm::measure(&sensor, &cores, &mut report)?;

    report.print();
    if let Some(path) = json {
        report.write(path)?;
    }
    Ok(())
}

/// Each measurement has a sensor of its own, which has seen nothing yet.
fn measure(path: &Path, work: impl FnOnce(&Sensor) -> Result<()>) -> Result<()> {
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
