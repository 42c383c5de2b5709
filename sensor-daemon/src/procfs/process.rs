//! Questions about live processes, answered from `/proc`. Every answer is checked against the process's start time, so
//! that a reused process id never lends another process's details; a process that is gone has none.

use std::{
    fs,
    io::{ErrorKind, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use procfs::ProcError;
use rustix::io::Errno;

use crate::model::{ProcessId, Text};

/// Most bytes of a process's arguments that are read.
const ARGV_MAX: u64 = 2048;
/// The process that has this number now.
#[must_use]
pub fn identify(pid: u32) -> Option<ProcessId> {
    let stat = procfs::process::Process::new(pid.try_into().ok()?).ok()?.stat().ok()?;
    Some(ProcessId::from_start_ticks(pid, stat.starttime))
}

/// The process that has this number now, and the number of its parent.
#[must_use]
pub fn identify_with_parent(pid: u32) -> Option<(ProcessId, u32)> {
    let stat = procfs::process::Process::new(pid.try_into().ok()?).ok()?.stat().ok()?;
    let process = ProcessId::from_start_ticks(pid, stat.starttime);
    Some((process, stat.ppid.try_into().ok()?))
}

/// Whether this very process is alive. If it can't be told, for want of descriptors for example, it is.
#[must_use]
pub fn is_alive(process: ProcessId) -> bool {
    let Ok(pid) = process.pid.try_into() else { return false };
    match procfs::process::Process::new(pid).and_then(|found| found.stat()) {
        Ok(stat) => ProcessId::from_start_ticks(process.pid, stat.starttime) == process,
        Err(error) => !is_gone(&error),
    }
}

/// Whether the error says that there is no such process (any longer).
fn is_gone(error: &ProcError) -> bool {
    match error {
        ProcError::NotFound(_) => true,
        ProcError::Io(error, _) => error.raw_os_error() == Some(Errno::SRCH.raw_os_error()),
        _ => false,
    }
}

/// The executable of a live process, as it sees it itself.
#[must_use]
pub fn executable(pid: u32) -> Option<Text> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let path = path.as_os_str().as_bytes();
    Some(path.strip_suffix(b" (deleted)").unwrap_or(path).into())
}

/// The arguments of a live process, as far as 2048 bytes hold them.
#[must_use]
pub fn arguments(pid: u32) -> Vec<Text> {
    let mut bytes = Vec::new();
    let Ok(file) = fs::File::open(format!("/proc/{pid}/cmdline")) else {
        return Vec::new();
    };
    if file.take(ARGV_MAX).read_to_end(&mut bytes).is_err() || bytes.is_empty() {
        return Vec::new();
    }
    bytes
        .strip_suffix(b"\0")
        .unwrap_or(&bytes)
        .split(|&byte| byte == 0)
        .map(Text::from)
        .collect()
}

/// Whether this very process is alive and has the socket open.
///
/// Alive, but not to be looked into (no CAP_SYS_PTRACE, no descriptor left): it may, for all that is known.
#[must_use]
pub fn holds_socket(process: ProcessId, inode: u64) -> bool {
    if !is_alive(process) {
        return false;
    }
    let process = format!("/proc/{}", process.pid);
    let of_leader = holds(Path::new(&process), inode);
    // The first thread may have ended before the others, which go on with what it had open.
    of_leader.unwrap_or_else(|| {
        let threads = fs::read_dir(format!("{process}/task")).into_iter().flatten().flatten();
        threads
            .into_iter()
            .any(|thread| holds(&thread.path(), inode) == Some(true))
    })
}

/// Whether a thread has the socket open; none if it has nothing open at all.
fn holds(thread: &Path, inode: u64) -> Option<bool> {
    let wanted = format!("socket:[{inode}]");
    let descriptors = match fs::read_dir(thread.join("fd")) {
        Ok(descriptors) => descriptors,
        Err(error) => return Some(error.kind() != ErrorKind::NotFound),
    };
    let mut links = descriptors.map(|entry| fs::read_link(entry?.path())).peekable();
    links.peek()?;
    Some(links.any(|link| match link {
        Ok(target) => target.as_os_str() == wanted.as_str(),
        // Closed meanwhile; what can't be read otherwise may be it.
        Err(error) => error.kind() != ErrorKind::NotFound,
    }))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::unix::fs::MetadataExt as _};

    use super::*;

    fn this_process() -> ProcessId {
        identify(std::process::id()).unwrap()
    }

    fn another(process: ProcessId) -> ProcessId {
        ProcessId::from_start_ns(process.pid, process.start.0 + 10_000_000)
    }

    #[test]
    fn a_process_is_known_by_its_start() {
        let this = this_process();
        assert!(is_alive(this));
        assert!(!is_alive(another(this)));
        assert!(!is_alive(ProcessId { pid: u32::MAX, ..this }));
    }

    #[test]
    fn held_sockets_are_found_and_others_are_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
        let inode = fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino();
        assert!(holds_socket(this_process(), inode));
        assert!(!holds_socket(this_process(), inode + 1_000_000));
        drop(listener);
        assert!(!holds_socket(this_process(), inode));
    }
}
