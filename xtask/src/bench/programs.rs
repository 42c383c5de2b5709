//! Kernel time of each of the sensor's programs, from the kernel's own statistics.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};

use super::{floor::Floor, load, report::Report, resources};
use crate::sensor::Sensor;

/// Benign execs.
const EXECS: usize = 5_000;
/// The budget of DESIGN, in ns for one benign exec.
const BUDGET: f64 = 500.0;

/// Nanoseconds and runs of one program since it was loaded.
#[derive(Clone, Copy, Default)]
struct Use {
    nanoseconds: u64,
    runs: u64,
}

/// Runs a benign storm on one core, with statistics on. They cost something themselves, so no other measurement runs
/// meanwhile, and an empty program shows how much of each figure is theirs.
pub(super) fn measure(sensor: &Sensor, cores: &[usize], report: &mut Report) -> Result<()> {
    let core = cores.get(..1).unwrap_or_default();
    let statistics = enable_stats(Stats::RunTime).context("the kernel's BPF statistics (Linux 5.8 or newer)")?;
    let before = usage(sensor.pid())?;
    let cpu_before = resources::Snapshot::take(sensor.pid())?;
    let floor = Floor::attach(c"sched_process_exec")?;
    load::storm(core, EXECS)?;
    let floor = floor.mean()?;
    let after = usage(sensor.pid())?;
    let cpu = resources::Snapshot::take(sensor.pid())?.since(&cpu_before);
    drop(statistics);

    let execs = as_float(u64::try_from(EXECS)?);
    for ((id, name), after) in after {
        let before = before.get(&(id, name.clone())).copied().unwrap_or_default();
        let runs = after.runs - before.runs;
        let mean = as_float(after.nanoseconds - before.nanoseconds) / as_float(runs.max(1));
        match name.as_str() {
            "exec_streams" => report
                .figure("kernel time of one benign exec", mean, "ns")
                .budget(BUDGET)
                .detail(format!("mean of {runs}; program exec_streams")),
            "process_exit" => report
                .figure("kernel time of the end of a process", mean, "ns")
                .detail(format!("mean of {runs}; program process_exit")),
            // None of their business, unless somebody else on the machine uses sockets meanwhile.
            _ => continue,
        };
    }
    report
        .figure("  an empty program in its place", floor, "ns")
        .detail("what the kernel's statistics cost by themselves, a part of the figures above".into());
    report
        .figure("sensor's CPU for one benign exec", cpu.nanoseconds / execs, "ns")
        .detail(format!("user space; {} wakeups in all", cpu.switches));
    Ok(())
}

/// What the programs that this process holds have used, by id and name. The kernel keeps 15 characters of a name, which may
/// not tell two programs apart.
fn usage(pid: u32) -> Result<BTreeMap<(u32, String), Use>> {
    let ids = program_ids(pid)?;
    let mut found = BTreeMap::new();
    for program in loaded_programs() {
        // Another process may unload one between being listed and being asked.
        let Ok(program) = program else { continue };
        if ids.contains(&program.id()) {
            let name = program.name_as_str().unwrap_or("(no name)").to_owned();
            let used = Use {
                nanoseconds: u64::try_from(program.run_time().as_nanos())?,
                runs: program.run_count(),
            };
            found.insert((program.id(), name), used);
        }
    }
    ensure!(!found.is_empty(), "the sensor holds no loaded program");
    Ok(found)
}

/// The kernel tells in fdinfo which program a descriptor (of a program or of a link) stands for.
fn program_ids(pid: u32) -> Result<Vec<u32>> {
    let directory = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&directory).with_context(|| format!("the sensor's {directory}"))?;
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    Ok(texts
        .filter_map(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
        })
        .collect())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn as_float(number: u64) -> f64 {
    number as f64
}
