//! A file to which lines are appended, opened anew when it is told to (logrotate) or when its name leads to another file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::OFlags;

use super::Sink;
use crate::finding::{Encoding, Report};

/// Writes to it.
pub struct Appended {
    name: String,
    path: PathBuf,
    encoding: Encoding,
    open: Option<File>,
    reopen: Arc<AtomicBool>,
}

impl Appended {
    /// Appends to the file at `path`, which is made for its owner alone if it is not there. It is opened anew with the next finding
    /// after `reopen` was set.
    #[must_use]
    pub fn new(path: PathBuf, encoding: Encoding, reopen: Arc<AtomicBool>) -> Self {
        Self {
            name: format!("file={}", path.display()),
            path,
            encoding,
            open: None,
            reopen,
        }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let told = self.reopen.swap(false, Ordering::Relaxed);
        let open = self.open.take().filter(|open| !told && self.is_at_its_path(open));
        let file = match open {
            Some(file) => file,
            None => open_for_lines(&self.path)?,
        };
        Ok(self.open.insert(file))
    }

    fn is_at_its_path(&self, open: &File) -> bool {
        let identity = |metadata: io::Result<std::fs::Metadata>| metadata.ok().map(|file| (file.dev(), file.ino()));
        identity(open.metadata()) == identity(std::fs::metadata(&self.path))
    }
}

/// Opens the file so that what is appended begins a line. A link may lead anywhere, and a stranger's file may be there for a reason of
/// its owner's: both are refused.
fn open_for_lines(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        // Opening a FIFO that nobody reads must fail and not wait.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => refusal(path, "is a symbolic link: name the file itself"),
            _ => error,
        })?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    let metadata = file.metadata()?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
        return Err(refusal(
            path,
            "belongs to another user: remove it, or name another file",
        ));
    }
    // A sensor that was killed may have left a part of a line.
    if metadata.is_file() && metadata.len() > 0 {
        let mut last = [0];
        let readable = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        readable.read_exact_at(&mut last, metadata.len() - 1)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn refusal(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{} {why}", path.display()))
}

impl Sink for Appended {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, report: &Report) -> io::Result<()> {
        let text = self.encoding.text(report);
        let file = self.file()?;
        let before = file.metadata()?.len();
        let written = file.write_all(text.as_bytes());
        if written.is_err() && file.metadata().is_ok_and(|now| now.is_file() && now.len() > before) {
            // A part of a line would spoil the next; it is written again as a whole.
            let _ = file.set_len(before);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;
    use crate::finding::tests::{report, reverse_shell};

    #[test]
    fn lines_are_appended_and_a_rotated_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.json");
        let reopen = Arc::new(AtomicBool::new(false));
        let mut sink = Appended::new(path.clone(), Encoding::Json, Arc::clone(&reopen));
        let report = report(&reverse_shell());
        let line = Encoding::Json.text(&report);
        sink.deliver(&report).unwrap();
        sink.deliver(&report).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), line.repeat(2));
        let rotated = directory.path().join("findings.json.1");
        fs::rename(&path, &rotated).unwrap();
        sink.deliver(&report).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), line);
        // copytruncate
        fs::write(&path, "").unwrap();
        reopen.store(true, Ordering::Relaxed);
        sink.deliver(&report).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), line);
        assert_eq!(fs::read_to_string(&rotated).unwrap(), line.repeat(2));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_until_it_is_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/findings.json");
        let mut sink = Appended::new(path.clone(), Encoding::Json, Arc::default());
        let report = report(&reverse_shell());
        assert!(sink.deliver(&report).is_err());
        fs::create_dir(directory.path().join("logs")).unwrap();
        sink.deliver(&report).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), Encoding::Json.text(&report));
    }

    #[test]
    fn a_torn_last_line_stays_a_line_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.json");
        fs::write(&path, "{\"torn").unwrap();
        let mut sink = Appended::new(path.clone(), Encoding::Json, Arc::default());
        let report = report(&reverse_shell());
        sink.deliver(&report).unwrap();
        let expected = format!("{{\"torn\n{}", Encoding::Json.text(&report));
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn neither_a_link_nor_a_strangers_file_is_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut sink = Appended::new(link, Encoding::Json, Arc::default());
        let error = sink.deliver(&report(&reverse_shell())).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "");
        // Only root can give a file away.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&target, Some(1000), None).unwrap();
            let mut sink = Appended::new(target.clone(), Encoding::Json, Arc::default());
            let error = sink.deliver(&report(&reverse_shell())).unwrap_err().to_string();
            assert!(error.contains("another user"), "{error}");
            assert_eq!(fs::read_to_string(&target).unwrap(), "");
        }
    }
}
