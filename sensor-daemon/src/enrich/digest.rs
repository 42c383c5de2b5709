//! SHA-256 and size of executed files. Remembers those it has read, by inode number, size and times.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::{
    posture::Mounts,
    rooted::{Root, identity, open_regular},
};
use crate::model::{Executable, FileDigest};

/// Largest file that is read, in bytes: a few hundred milliseconds of one thread.
const SIZE_MAX: u64 = 64 << 20;
const CHUNK: usize = 64 << 10;
const CACHE_MAX: usize = 256;

/// Remembers digests.
#[derive(Default)]
pub(super) struct Digests {
    known: HashMap<Key, FileDigest>,
}

/// A file as it was when it was read. Device numbers differ between file systems that share files, so the kernel's counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    device: u32,
    inode: u64,
    size: u64,
    modified: i64,
    changed: i64,
}

impl Digests {
    /// The content of an executed file: through `pid`, if the process that runs it lives, else by its path below `root`. `None` if it
    /// can't be had any more, is another one by now, or is too large.
    pub(super) fn of(
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

    fn of_file(&mut self, executed: &Executable, mut file: File) -> Option<FileDigest> {
        let before = identity(&file).ok()?;
        let (inode, size, modified, changed) = before;
        let is_it = inode == executed.inode && (executed.changed == 0 || changed.cast_unsigned() == executed.changed);
        if !is_it || size > SIZE_MAX {
            return None;
        }
        let key = Key {
            device: executed.device,
            inode,
            size,
            modified,
            changed,
        };
        if let Some(known) = self.known.get(&key) {
            return Some(known.clone());
        }
        let (sha256, read) = hash(&mut file).ok()?;
        // It may have been written to meanwhile.
        if read != size || identity(&file).ok()? != before {
            return None;
        }
        let digest = FileDigest { sha256, size };
        if self.known.len() >= CACHE_MAX {
            self.known.clear();
        }
        self.known.insert(key, digest.clone());
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
fn hash(file: &mut File) -> io::Result<(String, u64)> {
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
