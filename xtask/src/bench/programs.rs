//! Kernel time of each of the sensor's programs, from the kernel's own statistics. These count what a program calls as its
//! tail with the one that was attached.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};

use super::{
    floor::Floor,
    load::{self, Work},
    report::Report,
    resources,
};
use crate::sensor::Sensor;

/// Benign execs of each kind.
const EXECS: usize = 3_000;
/// Tables with room for 64 descriptors are part of another structure, larger ones are not.
const FIRST_OF_A_LARGER_TABLE: i32 = 64;
/// The budget, in ns for one benign exec.
const BUDGET: f64 = 500.0;

/// Nanoseconds and runs of one program since it was loaded.
#[derive(Clone, Copy, Default)]
pub(super) struct Use {
    pub(super) nanoseconds: u64,
    pub(super) runs: u64,
}

impl Use {
    /// The difference.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            nanoseconds: self.nanoseconds - before.nanoseconds,
            runs: self.runs - before.runs,
        }
    }

    /// Nanoseconds of one run.
    pub(super) fn mean(self) -> f64 {
        as_float(self.nanoseconds) / as_float(self.runs.max(1))
    }
}

/// Runs benign storms on one core, with statistics on. They cost something themselves, so no other measurement runs
/// meanwhile, and an empty program shows how much of each figure is theirs.
pub(super) fn measure(sensor: &Sensor, cores: &[usize], report: &mut Report) -> Result<()> {
    let core = cores.get(..1).unwrap_or_default();
    let statistics = enable_stats(Stats::RunTime).context("the kernel's BPF statistics (Linux 5.8 or newer)")?;
    let cpu_before = resources::Snapshot::take(sensor.pid())?;
    let used_before = usage(sensor.pid())?;
    let floor = Floor::attach(c"sched_process_exec")?;
    let exec = |work: &dyn Fn() -> Result<()>| -> Result<f64> {
        let before = used(sensor, "exec_streams")?;
        work()?;
        Ok(used(sensor, "exec_streams")?.since(before).mean())
    };
    let execs = report.effort.samples(EXECS);
    let storm = |work: Work| exec(&|| load::storm(core, execs, &[work]).map(drop));

    let plain = storm(Work::PLAIN)?;
    let piped = storm(Work::PIPED)?;
    let shell = storm(Work::SHELL)?;
    let pipeline = storm(Work::PIPELINE)?;
    let bash = exec(&|| load::pinned(core, || load::bash_pipelines(execs)))?;
    // A process that inherits such a table, as children of bash scripts do, costs the sensor some more reads.
    let high = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), FIRST_OF_A_LARGER_TABLE)
        .context("a descriptor with a high number")?;
    let plain_larger = storm(Work::PLAIN)?;
    let piped_larger = storm(Work::PIPED)?;
    drop(high);

    let floor = floor.mean()?;
    let cpu = resources::Snapshot::take(sensor.pid())?.since(&cpu_before);
    let of = |name| Ok::<_, anyhow::Error>(find(&usage(sensor.pid())?, name)?.since(find(&used_before, name)?));
    let (starts, exits) = (of("exec_streams")?, of("process_exit")?);
    drop(statistics);

    let streams = "exec_streams and what it calls";
    for (name, value, budget, how) in [
        ("kernel time of one benign exec", plain, Some(BUDGET), "null streams"),
        ("  with more than 64 descriptors", plain_larger, None, "null streams"),
        (
            "kernel time of one piped benign exec",
            piped,
            Some(BUDGET),
            "pipes for input and output",
        ),
        (
            "  with more than 64 descriptors",
            piped_larger,
            None,
            "pipes for input and output",
        ),
        ("  of sh -c", shell, None, "pipes for input and output"),
        (
            "  of sh -c with a pipeline",
            pipeline,
            None,
            "mean of the shell and the two programs",
        ),
        ("  started by a bash script", bash, None, "a loop of pipelines"),
    ] {
        report.figure(name, value, "ns").budget(budget).detail(format!(
            "{how}; mean of {execs} or more; {streams}; {:.0} % is the empty program",
            floor / value * 100.0
        ));
    }
    report
        .figure("kernel time of the end of a process", exits.mean(), "ns")
        .detail("program process_exit, all of the above".into());
    report
        .figure("kernel time of an empty program", floor, "ns")
        .detail("what the kernel's statistics cost by themselves, a part of each figure above".into());
    report
        .figure(
            "sensor's CPU for one benign exec",
            cpu.nanoseconds / as_float(starts.runs.max(1)),
            "ns",
        )
        .detail(format!("user space; {} wakeups in {} execs", cpu.switches, starts.runs));
    Ok(())
}

/// What the program of this name has used.
pub(super) fn used(sensor: &Sensor, name: &str) -> Result<Use> {
    find(&usage(sensor.pid())?, name)
}

fn find(usage: &BTreeMap<(u32, String), Use>, wanted: &str) -> Result<Use> {
    usage
        .iter()
        .find_map(|((_, name), used)| (name == wanted).then_some(*used))
        .with_context(|| format!("the sensor has no program {wanted}"))
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
pub(super) fn as_float(number: u64) -> f64 {
    number as f64
}
