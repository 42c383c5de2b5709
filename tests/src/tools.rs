//! Programs of the machine that the tests need.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Where the attackers' programs are looked for, whatever the PATH of whoever runs the tests: wrappers of version
/// managers would add execs of their own.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The path of `tool`.
///
/// # Errors
/// If it is not installed: a test that needs it has to fail, not to pass unseen.
pub fn find(tool: &str) -> Result<PathBuf> {
    let found = PATH
        .split(':')
        .map(|dir| Path::new(dir).join(tool))
        .find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!("`{tool}` is not installed: run cargo xtask setup --tests"),
    }
}
