//! What the kernel says of the sensor's programs, by the descriptors that the sensor holds.

use std::{collections::HashMap, fmt, fs};

use anyhow::{Context as _, Result, ensure};
use sensor_tests::sensor::Sensor;

/// Those that the sensor can do without, and what runs them here is `cases::carried` and `cases::unaided`.
const OPTIONAL: [&str; 3] = ["open_files", "wire", "stream_moved"];

/// One of them.
struct Program {
    id: u64,
    name: String,
    /// Instructions that the verifier went through; unknown before 5.16.
    verified: Option<u64>,
    /// Runs since [`count_runs`], other than those as the tail of another program.
    runs: u64,
    /// Runs that the kernel left out because another task was within the program on the same CPU; unknown before 5.12.
    missed: Option<u64>,
}

/// All of them, in the order of loading.
pub struct Programs(Vec<Program>);

/// Has the kernel count runs from now on.
///
/// # Errors
/// If it does not.
pub fn count_runs() -> Result<()> {
    fs::write("/proc/sys/kernel/bpf_stats_enabled", "1").context("/proc/sys/kernel/bpf_stats_enabled")
}

impl Programs {
    /// Looks at them.
    ///
    /// # Errors
    /// If there are none.
    pub fn of(sensor: &Sensor) -> Result<Self> {
        let names = names()?;
        let mut programs = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/fdinfo", sensor.pid()))? {
            // The sensor may have closed it meanwhile: it looks at files of others as they run. Its programs stay open.
            let Ok(text) = fs::read_to_string(entry?.path()) else {
                continue;
            };
            let value = |name: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
            };
            // Links have the first, too.
            if let (true, Some(id)) = (text.contains("prog_jited:"), value("prog_id:")) {
                programs.push(Program {
                    id,
                    name: names.get(&id).context("a program without a name")?.clone(),
                    verified: value("verified_insns:"),
                    runs: value("run_cnt:").context("the kernel does not count runs")?,
                    missed: value("recursion_misses:"),
                });
            }
        }
        ensure!(!programs.is_empty(), "the sensor holds no program");
        programs.sort_unstable_by_key(|program| program.id);
        Ok(Self(programs))
    }

    /// Runs that the kernel left out, of all programs.
    pub fn missed(&self) -> u64 {
        self.0.iter().filter_map(|program| program.missed).sum()
    }

    /// Of the programs that the sensor can do without it has exactly those that `doctor` calls fine, and what it has did
    /// run: the kernel may attach a program to a function that it never calls.
    ///
    /// # Errors
    /// If not.
    pub fn as_doctor_says(&self, doctor: &str) -> Result<()> {
        for name in OPTIONAL {
            let fine = doctor.contains(&format!("ok        program {name}: "));
            let held = self.0.iter().find(|program| program.name == name);
            ensure!(
                fine == held.is_some(),
                "`doctor` {} {name}, and the sensor {} it: {doctor}",
                if fine { "takes" } else { "misses" },
                if held.is_some() { "has" } else { "lacks" }
            );
            ensure!(
                held.is_none_or(|program| program.runs > 0),
                "{name} is there and never ran"
            );
        }
        Ok(())
    }
}

/// Of all programs in the kernel, by id.
fn names() -> Result<HashMap<u64, String>> {
    let mut names = HashMap::new();
    for program in aya::programs::loaded_programs() {
        let program = program?;
        names.insert(
            program.id().into(),
            String::from_utf8_lossy(program.name()).into_owned(),
        );
    }
    Ok(names)
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |program: &Program| match program.verified {
            Some(count) => format!("{} {count}", program.name),
            None => program.name.clone(),
        };
        let programs: Vec<String> = self.0.iter().map(said).collect();
        let known = self.0.iter().any(|program| program.verified.is_some());
        let of = if known { "instructions verified" } else { "programs" };
        write!(f, "{of}: {}", programs.join(", "))?;
        match self.missed() {
            0 => Ok(()),
            missed => write!(f, "; runs left out by the kernel: {missed}"),
        }
    }
}
