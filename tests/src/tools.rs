//! Programs of the machine that the tests need.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

/// Names a directory that comes before those of the machine: what set-up keeps for the tests.
const OWN: &str = "SENSOR_TEST_TOOLS";

/// Where the attackers' programs are looked for, whatever the PATH of whoever runs the tests: wrappers of version
/// managers would add execs of their own.
#[must_use]
pub fn path() -> String {
    let own = env::var(OWN).map(|own| own + ":").unwrap_or_default();
    own + "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

/// The path of `tool`.
///
/// # Errors
/// If it is not installed: a test that needs it has to fail, not to pass unseen.
pub fn find(tool: &str) -> Result<PathBuf> {
    let found = path()
        .split(':')
        .map(|dir| Path::new(dir).join(tool))
        .find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!("`{tool}` is not installed: run cargo xtask setup --tests"),
    }
}
