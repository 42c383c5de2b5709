//! Files of another process's root directory. Its owner may have put anything there: links that lead out, a FIFO that nobody writes
//! to, a file system that a program of its own serves and never answers. So paths are resolved below that root only, nothing but a
//! regular file is opened, no more than a bound is read, and what lies on a served file system is left alone.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::Path,
};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};

use super::mounts::Mounts;

/// The root directory of a process.
pub struct Root {
    directory: OwnedFd,
    /// File systems that somebody serves, by device number as `stat(2)` gives it; `None` if they are not known: nothing is read.
    mounts: Option<Mounts>,
}

impl Root {
    /// Of a live process.
    pub fn of(pid: u32, mounts: Option<Mounts>) -> io::Result<Self> {
        Self::at(Path::new(&format!("/proc/{pid}/root")), mounts)
    }

    fn at(path: &Path, mounts: Option<Mounts>) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            directory: rustix::fs::open(path, flags, Mode::empty())?,
            mounts,
        })
    }

    /// Opens the regular file at `path` as a process with this root would find it.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let handle = rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve)?;
        open_regular(handle, self.mounts.as_ref())
    }

    /// The first `bound` bytes of it.
    pub fn read(&self, path: &Path, bound: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(bound).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Opens for reading what a handle (`O_PATH`) leads to, if that is a regular file and nobody serves it.
pub fn open_regular(handle: OwnedFd, mounts: Option<&Mounts>) -> io::Result<File> {
    if !mounts.is_some_and(|mounts| device(&handle).is_ok_and(|(major, minor)| !mounts.is_served(major, minor))) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "its file system may wait for somebody",
        ));
    }
    let handle = File::from(handle);
    if !handle.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

/// The device that a file lies on, without asking whoever serves it.
fn device(handle: &impl AsFd) -> io::Result<(u32, u32)> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let status = rustix::fs::statx(handle, "", flags, StatxFlags::INO)?;
    Ok((status.stx_dev_major, status.stx_dev_minor))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, process::Command};

    use super::*;

    #[test]
    fn nothing_outside_and_nothing_but_files_is_read() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(outer.path().join("secret"), "outside").unwrap();
        fs::write(root.join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        symlink("../../../secret", root.join("out")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(root.join("fifo"))
                .status()
                .unwrap()
                .success()
        );
        let jail = Root::at(&root, Some(Mounts::default())).unwrap();
        assert_eq!(jail.read(Path::new("/etc/passwd"), 99).unwrap(), b"inside");
        assert_eq!(jail.read(Path::new("/absolute"), 3).unwrap(), b"ins");
        for path in ["/out", "/loop", "/fifo", "/etc", "/missing", "/../secret"] {
            assert!(jail.read(Path::new(path), 99).is_err(), "{path}");
        }
        let blind = Root::at(&root, None).unwrap();
        assert!(blind.read(Path::new("/etc/passwd"), 99).is_err());
    }
}
