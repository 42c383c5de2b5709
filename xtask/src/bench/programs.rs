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
/// Tables with room for 64 descriptors are part of another structure, larger ones are not.
const FIRST_OF_A_LARGER_TABLE: i32 = 64;
/// The budget, in ns for one benign exec.
const BUDGET: f64 = 500.0;

/// Nanoseconds and runs of one program since it was loaded.
#[derive(Clone, Copy, Default)]
struct Use {
    nanoseconds: u64,
    runs: u64,
}

/// Runs benign storms on one core, with statistics on. They cost something themselves, so no other measurement runs
/// meanwhile, and an empty program shows how much of each figure is theirs.
pub(super) fn measure(sensor: &Sensor, cores: &[usize], report: &mut Report) -> Result<()> {
    let core = cores.get(..1).unwrap_or_default();
    let statistics = enable_stats(Stats::RunTime).context("the kernel's BPF statistics (Linux 5.8 or newer)")?;
    let cpu_before = resources::Snapshot::take(sensor.pid())?;
    let floor = Floor::attach(c"sched_process_exec")?;
    let usual = storm(sensor, core)?;
    // A process that inherits such a table, as children of bash scripts do, costs the sensor some more reads.
    let high = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), FIRST_OF_A_LARGER_TABLE)
        .context("a descriptor with a high number")?;
    let larger = storm(sensor, core)?;
    drop(high);
    let cpu = resources::Snapshot::take(sensor.pid())?.since(&cpu_before);
    let floor = floor.mean()?;
    drop(statistics);

    report
        .figure("kernel time of one benign exec", usual.exec, "ns")
        .budget(BUDGET)
        .detail(format!("mean of {EXECS}; program exec_streams"));
    report
        .figure("  with more than 64 descriptors", larger.exec, "ns")
        .detail("three different files as streams; program exec_streams".into());
    report
        .figure("  of the end of a process", usual.exit, "ns")
        .detail("program process_exit".into());
    report
        .figure("  of an empty program", floor, "ns")
        .detail("what the kernel's statistics cost by themselves, a part of each figure above".into());
    report
        .figure(
            "sensor's CPU for one benign exec",
            cpu.nanoseconds / (2.0 * execs()?),
            "ns",
        )
        .detail(format!("user space; {} wakeups in all", cpu.switches));
    Ok(())
}

/// Mean nanoseconds of a run.
struct Means {
    exec: f64,
    exit: f64,
}

fn storm(sensor: &Sensor, core: &[usize]) -> Result<Means> {
    let before = usage(sensor.pid())?;
    load::storm(core, EXECS)?;
    let after = usage(sensor.pid())?;
    let mean = |wanted: &str| -> Result<f64> {
        let (program, after) = after
            .iter()
            .find(|((_, name), _)| name == wanted)
            .with_context(|| format!("the sensor has no program {wanted}"))?;
        let before = before.get(program).copied().unwrap_or_default();
        Ok(as_float(after.nanoseconds - before.nanoseconds) / as_float((after.runs - before.runs).max(1)))
    };
    Ok(Means {
        exec: mean("exec_streams")?,
        exit: mean("process_exit")?,
    })
}

fn execs() -> Result<f64> {
    Ok(as_float(u64::try_from(EXECS)?))
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
