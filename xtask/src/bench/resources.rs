//! Memory of the sensor, and what it does while nothing matches.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

use super::report::Report;
use crate::sensor::Sensor;

/// How long it is watched.
const IDLE: Duration = Duration::from_secs(10);
/// The budgets.
const STEADY_MB: f64 = 12.0;
const PEAK_MB: f64 = 25.0;
const WAKEUPS_PER_SECOND: f64 = 1.0;
/// Meant to be nothing at all.
const CPU_PERCENT: f64 = 0.05;

/// Watches a sensor that has just become ready.
pub(super) fn measure(sensor: &Sensor, report: &mut Report) -> Result<()> {
    let before = Snapshot::take(sensor.pid())?;
    // Time itself is what is measured here.
    let idle = report.effort.time(IDLE);
    std::thread::sleep(idle);
    let used = Snapshot::take(sensor.pid())?.since(&before);
    memory(sensor, "", report)?;
    let seconds = idle.as_secs_f64();
    let others = match sensor.forget_lines() {
        0 => String::new(),
        lines => format!("NOT idle: {lines} lines about somebody else's takeovers meanwhile"),
    };
    report
        .figure("CPU while idle", used.nanoseconds / 1e9 / seconds * 100.0, "%")
        .budget(CPU_PERCENT)
        .detail(others.clone());
    report
        .figure("wakeups while idle", used.switches / seconds, "per s")
        .budget(WAKEUPS_PER_SECOND)
        .detail(others);
    Ok(())
}

/// Memory of the sensor by now.
pub(super) fn memory(sensor: &Sensor, place: &str, report: &mut Report) -> Result<()> {
    let status = read(Path::new(&format!("/proc/{}/status", sensor.pid())))?;
    for (kind, member, most) in [("steady", "VmRSS:", STEADY_MB), ("peak", "VmHWM:", PEAK_MB)] {
        report
            .figure(
                &format!("resident memory, {kind}{place}"),
                megabytes(&status, member)?,
                "MB",
            )
            .budget(most);
    }
    Ok(())
}

/// What all threads of a process have used since it began.
pub(super) struct Snapshot {
    /// On a CPU.
    pub(super) nanoseconds: f64,
    /// Times that a thread gave up or lost its CPU.
    pub(super) switches: f64,
}

impl Snapshot {
    /// As the kernel counts it now.
    pub(super) fn take(pid: u32) -> Result<Self> {
        let mut taken = Self {
            nanoseconds: 0.0,
            switches: 0.0,
        };
        let tasks = format!("/proc/{pid}/task");
        for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
            let task = task?.path();
            // In ns, where `stat` counts in ticks of 10 ms.
            let schedstat = read(&task.join("schedstat"))?;
            taken.nanoseconds += schedstat.split(' ').next().unwrap_or_default().parse::<f64>()?;
            let status = read(&task.join("status"))?;
            taken.switches +=
                field(&status, "voluntary_ctxt_switches:")? + field(&status, "nonvoluntary_ctxt_switches:")?;
        }
        Ok(taken)
    }

    /// The difference.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            nanoseconds: self.nanoseconds - before.nanoseconds,
            switches: self.switches - before.switches,
        }
    }
}

fn megabytes(status: &str, name: &str) -> Result<f64> {
    Ok(field(status, name)? * 1024.0 / 1e6)
}

fn field(status: &str, name: &str) -> Result<f64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("no {name} in the sensor's status"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}
