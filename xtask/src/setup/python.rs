//! The official parsers of what findings are written as, in a Python environment of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::command;

/// From PyPI: the parser of Security Command Center's findings, the schema of OCSF and what validates against it. Newer
/// releases may accept more; a finding has to pass those that it was made for.
const PARSERS: [&str; 3] = [
    "google-cloud-securitycenter==1.48.0",
    "ocsf-json-schema==1.2.0",
    "jsonschema==4.26.0",
];

/// The Python that has the parsers. It may not exist before [`install`].
pub(crate) fn interpreter() -> Result<PathBuf> {
    Ok(directory()?.join("bin/python"))
}

/// Makes the environment, if it is not complete.
pub(super) fn install() -> Result<()> {
    let directory = directory()?;
    // Written last, so an installation that was interrupted, or is of other releases, is made again.
    let complete = directory.join("complete");
    let wanted = PARSERS.join("\n");
    if fs::read_to_string(&complete).is_ok_and(|there| there == wanted) && interpreter()?.exists() {
        return Ok(());
    }
    eprintln!(
        "installing {} (half a minute): the tests have every finding read by them",
        PARSERS.join(", ")
    );
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("{} can't be removed", directory.display()))?;
    }
    // The distribution's, not a version manager's first: an environment outlives those.
    let system = Path::new("/usr/bin/python3");
    let python = if system.is_file() { system } else { Path::new("python3") };
    command::quietly(Command::new(python).args(["-m", "venv"]).arg(&directory))?;
    let mut pip = Command::new(interpreter()?);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(PARSERS);
    command::quietly(&mut pip)?;
    fs::write(&complete, wanted).with_context(|| format!("{} can't be written", complete.display()))
}

fn directory() -> Result<PathBuf> {
    Ok(super::cache_dir()?.join("finding-parsers"))
}
