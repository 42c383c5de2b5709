//! The official parser of Security Command Center findings, in a Python environment of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::command;

/// From PyPI. Newer releases may accept more; a finding has to pass the one that it was made for.
const PARSER: &str = "google-cloud-securitycenter==1.48.0";

/// The Python that has the parser. It may not exist before [`install`].
pub(crate) fn interpreter() -> Result<PathBuf> {
    Ok(directory()?.join("bin/python"))
}

/// Makes the environment, if it is not complete.
pub(super) fn install() -> Result<()> {
    let directory = directory()?;
    // Written last, so an installation that was interrupted is made again.
    let complete = directory.join("complete");
    if complete.is_file() && interpreter()?.exists() {
        return Ok(());
    }
    eprintln!("installing {PARSER} (half a minute): the tests have every finding read by it");
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("{} can't be removed", directory.display()))?;
    }
    // The distribution's, not a version manager's first: an environment outlives those.
    let system = Path::new("/usr/bin/python3");
    let python = if system.is_file() { system } else { Path::new("python3") };
    command::quietly(Command::new(python).args(["-m", "venv"]).arg(&directory))?;
    let mut pip = Command::new(interpreter()?);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PARSER]);
    command::quietly(&mut pip)?;
    fs::write(&complete, PARSER).with_context(|| format!("{} can't be written", complete.display()))
}

fn directory() -> Result<PathBuf> {
    Ok(super::cache_dir()?.join(PARSER.replace("==", "-")))
}
