//! What the kernel says of the sensor's programs, by the descriptors that the sensor holds.

use std::{fmt, fs};

use anyhow::{Result, ensure};
use sensor_tests::sensor::Sensor;

/// All of them.
pub struct Programs {
    /// Instructions that the verifier went through for each, in the order of loading; none before 5.16.
    verified: Vec<u64>,
    /// Runs that the kernel left out because another task was within the program on the same CPU; none before 5.12.
    pub missed: u64,
}

impl Programs {
    /// Looks at them.
    ///
    /// # Errors
    /// If there are none.
    pub fn of(sensor: &Sensor) -> Result<Self> {
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
                programs.push((id, value("verified_insns:"), value("recursion_misses:")));
            }
        }
        ensure!(!programs.is_empty(), "the sensor holds no program");
        programs.sort_unstable();
        Ok(Self {
            verified: programs.iter().filter_map(|(_, verified, _)| *verified).collect(),
            missed: programs.iter().filter_map(|(_, _, missed)| *missed).sum(),
        })
    }
}

impl fmt::Display for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verified: Vec<String> = self.verified.iter().map(u64::to_string).collect();
        match verified.as_slice() {
            [] => f.write_str("this kernel does not say how many instructions it verified")?,
            some => write!(f, "instructions verified: {}", some.join(" + "))?,
        }
        match self.missed {
            0 => Ok(()),
            missed => write!(f, "; runs left out by the kernel: {missed}"),
        }
    }
}
