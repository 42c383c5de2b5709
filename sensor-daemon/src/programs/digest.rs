//! SHA-256 and size of executed files. Remembers those it has read, by what tells each from what it becomes.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::SystemTime,
};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::stamp::Stamp;
use crate::{
    model::{Executable, FileDigest},
    procfs::{Mounts, Root, open_regular},
};

/// Largest file that is read, in bytes: a few hundred milliseconds of one thread.
const SIZE_MAX: u64 = 64 << 20;
const CHUNK: usize = 64 << 10;
const CACHE_MAX: usize = 256;

/// Remembers digests.
#[derive(Default)]
pub struct Digests {
    /// By the executed file's device as well: device numbers differ between file systems that share files, so the kernel's counts.
    known: HashMap<(u32, Stamp), FileDigest>,
}

impl Digests {
    /// The content of an executed file: through `pid`, if the process that runs it lives, else by its path below `root`. `None` if it
    /// can't be had any more, is another one by now, or is too large.
    pub fn of(
        &mut self,
        executed: &Executable,
        pid: Option<u32>,
        root: Option<&Root>,
        mounts: Option<&Mounts>,
    ) -> Option<FileDigest> {
        let running = pid.and_then(|pid| open_running(pid, mounts).ok());
        let by_path = || {
            let path = executed
                .path
                .as_ref()
                .filter(|_| !executed.memfd && !executed.path_truncated)?;
            let path = std::str::from_utf8(path.as_bytes()).ok()?;
            root?.open(Path::new(path)).ok()
        };
        running
            .and_then(|file| self.of_file(executed, file))
            .or_else(|| self.of_file(executed, by_path()?))
    }

    fn of_file(&mut self, executed: &Executable, file: File) -> Option<FileDigest> {
        let now = SystemTime::now();
        let stamp = || file.metadata().map(|metadata| Stamp::of(&metadata));
        let before = stamp().ok()?;
        let changed = before.changed.0.cast_unsigned();
        let is_it = before.inode == executed.inode && (executed.changed == 0 || changed == executed.changed);
        if !is_it || before.size > SIZE_MAX {
            return None;
        }
        let key = (executed.device, before);
        if let Some(known) = self.known.get(&key) {
            return Some(known.clone());
        }
        let (sha256, read) = hash(&file).ok()?;
        // It may have been written to meanwhile.
        if read != before.size || stamp().ok()? != before {
            return None;
        }
        let digest = FileDigest { sha256, size: read };
        if before.is_settled(now) {
            if self.known.len() >= CACHE_MAX {
                self.known.clear();
            }
            self.known.insert(key, digest.clone());
        }
        Some(digest)
    }
}

fn open_running(pid: u32, mounts: Option<&Mounts>) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    open_regular(
        rustix::fs::open(format!("/proc/{pid}/exe"), flags, Mode::empty())?,
        mounts,
    )
}

/// In lowercase hexadecimal, with the number of bytes.
fn hash(file: &File) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    // One byte more than allowed tells that it grew.
    let mut file = file.take(SIZE_MAX + 1);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        total += read as u64;
    }
    let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, total))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;

    fn executed(path: &Path) -> Executable {
        let metadata = fs::metadata(path).unwrap();
        Executable {
            inode: metadata.ino(),
            changed: metadata.ctime().cast_unsigned(),
            ..Executable::default()
        }
    }

    #[test]
    fn a_file_is_read_once_and_only_if_it_is_the_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abc");
        fs::write(&path, "abc").unwrap();
        let it = executed(&path);
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        while !stamp.is_settled(SystemTime::now()) {
            std::thread::yield_now();
        }
        let mut digests = Digests::default();
        let mut of = |it: &Executable| digests.of_file(it, File::open(&path).unwrap());
        let digest = of(&it).unwrap();
        assert_eq!(digest.size, 3);
        assert_eq!(
            digest.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let another = Executable {
            inode: it.inode + 1,
            ..it.clone()
        };
        assert_eq!(of(&another), None);
        let replaced = Executable {
            changed: it.changed + 1,
            ..it.clone()
        };
        assert_eq!(of(&replaced), None);
        assert_eq!(digests.known.len(), 1);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(SIZE_MAX + 1)
            .unwrap();
        assert_eq!(
            digests.of_file(&executed(&path), File::open(&path).unwrap()),
            None,
            "too large"
        );
    }

    #[test]
    fn a_running_program_is_read_through_its_process() {
        let exe = std::env::current_exe().unwrap();
        let size = fs::metadata(&exe).unwrap().size();
        let digest = Digests::default().of(
            &executed(&exe),
            Some(std::process::id()),
            None,
            Mounts::of(std::process::id()).as_ref(),
        );
        assert_eq!(
            digest.map(|digest| digest.size),
            Some(size).filter(|size| *size <= SIZE_MAX)
        );
    }
}
