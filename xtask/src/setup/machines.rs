//! What virtual machines run on. Kernels and what is inside the machines are `vm`'s business.

use anyhow::{Result, anyhow};

use super::{
    debian,
    packages::{self, Package},
};
use crate::{command, vm::apt};

const QEMU: &[Package] = &[Package {
    name: "qemu-system-x86",
    proof: &["/usr/bin/qemu-system-x86_64", "/usr/local/bin/qemu-system-x86_64"],
    why: "the virtual machines that other kernels run in",
}];

/// Installs it, if it is not there.
///
/// # Errors
/// If it can't be installed here; the message tells how a person would.
pub(crate) fn install() -> Result<()> {
    let missing = packages::missing(QEMU);
    if missing.is_empty() || command::find("qemu-system-x86_64").is_some() {
        return Ok(());
    }
    let installed = debian::install(&missing).or_else(|error| {
        let mirror = apt::mirror().map_err(|_| anyhow!("{error:#}"))?;
        debian::install_backports(&missing, &mirror).map_err(|other| anyhow!("{error:#}; from backports: {other:#}"))
    });
    installed.map_err(|error| {
        anyhow!(
            "{error:#}; virtual machines need QEMU for x86_64: install it (Debian: `apt-get install \
             --no-install-recommends qemu-system-x86` as root) and try again"
        )
    })
}
