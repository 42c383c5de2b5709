//! Debian's kernels: which package has the one that is wanted, and where it is kept. One that is there is used as it is,
//! until newer ones are asked for: versions vanish from mirrors, so none is pinned.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::apt::Apt;
use crate::toolchain;

/// Stands for the newest kernel that Debian has.
pub(super) const NEWEST: &str = "newest";

/// Built for virtual machines, and half as large as the others.
const FLAVOUR: &str = "-cloud-amd64";

/// A kernel that can be booted.
pub(super) struct Kernel {
    /// As it was asked for: `6.12`.
    pub(super) version: String,
    /// Its compressed image.
    pub(super) image: PathBuf,
}

/// Where kernels and busybox are kept.
pub(super) struct Store {
    root: PathBuf,
    /// Opened when first needed: with everything there, no network is.
    apt: Option<Apt>,
    refresh: bool,
    /// Held for as long as this is.
    _lock: File,
}

impl Store {
    /// With `refresh`, what is there is fetched anew.
    ///
    /// # Errors
    /// If there is no place for it.
    pub(super) fn open(refresh: bool) -> Result<Self> {
        let Some(cache) = toolchain::cache_dir() else {
            bail!("neither XDG_CACHE_HOME nor HOME is set, so there is no place for kernels: set HOME");
        };
        let root = cache.join("vm");
        let lock = lock(&root.join("work")).with_context(|| format!("{} can't be used", root.display()))?;
        Ok(Self {
            root,
            apt: None,
            refresh,
            _lock: lock,
        })
    }

    /// A directory for what is written anew each time.
    pub(super) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The kernel `version`: the first numbers of one, or [`NEWEST`].
    ///
    /// # Errors
    /// If it can't be had.
    pub(super) fn kernel(&mut self, version: &str) -> Result<Kernel> {
        let wanted = wanted(version)?;
        let image = self.root.join("kernels").join(version).join("vmlinuz");
        self.keep(&image, |apt| {
            let names = ["linux-image-", "linux-binary-"].map(|prefix| apt.names(prefix));
            let [images, binaries] = names;
            let names = images?.into_iter().chain(binaries?);
            let Some(package) = best(names, &wanted) else {
                bail!("Debian has no kernel {version}");
            };
            apt.file(&package, "*/vmlinuz*")
        })?;
        Ok(Kernel {
            version: version.to_owned(),
            image,
        })
    }

    /// A busybox that needs no libraries.
    ///
    /// # Errors
    /// If it can't be had.
    pub(super) fn busybox(&mut self) -> Result<PathBuf> {
        let path = self.root.join("busybox");
        self.keep(&path, |apt| apt.file("busybox-static", "*/busybox"))?;
        Ok(path)
    }

    /// Makes sure that `path` is there, whole.
    fn keep(&mut self, path: &Path, fetch: impl FnOnce(&Apt) -> Result<Vec<u8>>) -> Result<()> {
        if path.is_file() && !self.refresh {
            return Ok(());
        }
        let apt = match self.apt.take() {
            Some(apt) => apt,
            None => Apt::open(self.root.join("apt"))?,
        };
        let content = fetch(self.apt.insert(apt))?;
        let place = || format!("{} can't be written", path.display());
        fs::create_dir_all(path.parent().unwrap_or(path)).with_context(place)?;
        let part = path.with_extension("part");
        fs::write(&part, content).with_context(place)?;
        fs::rename(&part, path).with_context(place)
    }
}

/// Waits until no other run writes below `dir`, and keeps others from it until the file is closed.
fn lock(dir: &Path) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let file = File::create(dir.join("lock"))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            eprintln!("another run of this command is under way: waiting for it");
            file.lock()?;
        }
        other => other?,
    }
    Ok(file)
}

/// The numbers that a version has to begin with.
pub(super) fn wanted(version: &str) -> Result<Vec<u32>> {
    if version == NEWEST {
        return Ok(Vec::new());
    }
    let numbers: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
    match numbers {
        Ok(numbers) => Ok(numbers),
        Err(_) => bail!("`{version}` is no kernel version: give one like 6.12, or {NEWEST}"),
    }
}

/// The newest of the kernel packages among `names` whose version begins with `wanted`.
fn best(names: impl Iterator<Item = String>, wanted: &[u32]) -> Option<String> {
    names
        .filter_map(|name| Some((rank(&name)?, name)))
        .filter(|((numbers, _), _)| numbers.starts_with(wanted))
        .max()
        .map(|(_, name)| name)
}

/// Orders kernel packages, and tells them from others: `linux-image-5.10.0-46-cloud-amd64`,
/// `linux-binary-7.3.4+deb13-cloud-amd64`. Where both are there, `linux-binary` has the image.
fn rank(name: &str) -> Option<(Vec<u32>, bool)> {
    let (version, binary) = match name.strip_prefix("linux-binary-") {
        Some(version) => (version, true),
        None => (name.strip_prefix("linux-image-")?, false),
    };
    let version = version.strip_suffix(FLAVOUR)?;
    let numbers: Vec<u32> = version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    // Shorter ones are packages that only depend on the newest of their line.
    (version.starts_with(|c: char| c.is_ascii_digit()) && numbers.len() >= 3).then_some((numbers, binary))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(version: &str) -> Option<String> {
        let names = [
            "linux-image-5.10.0-9-cloud-amd64",
            "linux-image-5.10.0-46-cloud-amd64",
            "linux-image-5.10.0-46-amd64",
            "linux-image-6.1-cloud-amd64",
            "linux-image-6.1.0-0.deb11.52-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64-unsigned",
            "linux-image-7.3.4+deb13-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-image-cloud-amd64",
        ];
        best(names.into_iter().map(str::to_owned), &wanted(version).unwrap())
    }

    #[test]
    fn the_newest_of_a_line_is_chosen() {
        assert_eq!(choose("5.10").as_deref(), Some("linux-image-5.10.0-46-cloud-amd64"));
        assert_eq!(choose("6.1").as_deref(), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(
            choose("6.12").as_deref(),
            Some("linux-image-6.12.117+deb13-cloud-amd64")
        );
        assert_eq!(
            choose("newest").as_deref(),
            Some("linux-binary-7.3.4+deb13-cloud-amd64")
        );
        assert_eq!(choose("6.18"), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for version in ["", "6.", "../x", "six"] {
            assert!(wanted(version).is_err(), "{version}");
        }
    }
}
