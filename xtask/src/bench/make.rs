//! A build that does nothing but execute: what `make` costs by itself.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::load;

/// Targets of the build. Each executes two programs on average: half of them one, half a shell and a pipeline.
pub(super) const RECIPES: usize = 1_000;

/// A Makefile, deleted at the end.
pub(super) struct Make {
    file: PathBuf,
}

impl Make {
    /// None if there is no make.
    pub(super) fn prepare() -> Result<Option<Self>> {
        let version = Command::new("make").arg("--version").stdout(Stdio::null()).status();
        if version.is_err() {
            return Ok(None);
        }
        let names: Vec<String> = (0..RECIPES).map(|number| format!("t{number}")).collect();
        let mut text = format!(".PHONY: all {0}\nall: {0}\n", names.join(" "));
        for (number, name) in names.iter().enumerate() {
            let recipe = if number % 2 == 0 {
                "/bin/true"
            } else {
                "/bin/true | /bin/true"
            };
            writeln!(text, "{name}:\n\t@{recipe}")?;
        }
        let file = std::env::temp_dir().join(format!("xtask-bench-{}.mk", std::process::id()));
        fs::write(&file, text).with_context(|| format!("{} can't be written", file.display()))?;
        Ok(Some(Self { file }))
    }

    /// Builds everything, with a job for each core; its output goes into a pipe, as under every front end of a build. make
    /// itself gives a broken pipe for input to all but one of its jobs.
    pub(super) fn run(&self, cores: &[usize]) -> Result<Duration> {
        load::pinned(cores, || {
            let (output, input) = std::io::pipe().context("a pipe")?;
            let start = Instant::now();
            let status = Command::new("make")
                .args(["--silent", "--jobs", &cores.len().max(2).to_string(), "--file"])
                .arg(&self.file)
                .stdin(Stdio::null())
                .stdout(input.try_clone()?)
                .stderr(input)
                .status()
                .context("make can't be started")?;
            let time = start.elapsed();
            drop(output);
            if !status.success() {
                bail!("make ended with {status}");
            }
            Ok(time)
        })
    }
}

impl Drop for Make {
    fn drop(&mut self) {
        fs::remove_file(&self.file).ok();
    }
}
