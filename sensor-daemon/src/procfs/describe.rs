//! A running process, described from `/proc` as the kernel side describes one that is executed.

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt},
};

use procfs::process::Process;

use super::{
    process::{arguments, executable, identify},
    text::{kernel_device, namespace},
};
use crate::model::{
    Ancestor, BootTime, Cgroup, Credentials, Exec, Executable, Namespaces, Owner, ProcessId, Program, Socket, Stream,
    Text, Transport,
};

/// Ancestors that are looked up, as many as the kernel side reports.
const ANCESTORS_MAX: usize = sensor_common::record::ANCESTORS_MAX;

/// Describes a process as if it had just been executed, but for what its programs are. `None` if the process is gone.
#[must_use]
pub fn describe(owner: &Owner, parent: Option<&Owner>, now: BootTime) -> Option<Exec> {
    let pid = owner.process.pid;
    let process = Process::new(pid.try_into().ok()?).ok()?;
    let status = process.status().ok()?;
    let argv = arguments(pid);
    let streams = [0, 1, 2].map(|fd| standard_stream(owner, fd, &process, parent));
    let exec = Exec {
        time: now,
        process: owner.process,
        program: Program::default(),
        comm: owner.comm.clone(),
        credentials: Credentials {
            uid: status.ruid,
            gid: status.rgid,
            euid: status.euid,
            egid: status.egid,
            capabilities: status.capeff,
        },
        executable: describe_executable(pid),
        script: None,
        cwd: process.cwd().ok().map(|path| path.as_os_str().as_bytes().into()),
        argv,
        argv_truncated: false,
        cgroup: cgroup(&process),
        namespaces: namespaces(pid),
        streams,
        held: Vec::new(),
        container: None,
        running: true,
        ancestors: ancestors(status.ppid),
    };
    // What was looked at belongs to it if it is this process still.
    (identify(pid) == Some(owner.process)).then_some(exec)
}

fn standard_stream(owner: &Owner, fd: u32, process: &Process, parent: Option<&Owner>) -> Stream {
    let known = owner.descriptors.iter().find(|descriptor| descriptor.fd == fd);
    match known.map(|descriptor| descriptor.stream.clone()) {
        Some(Stream::Socket(socket)) => Stream::Socket(Socket {
            parent_fd: parent.and_then(|parent| descriptor_of(parent, socket.inode)),
            // A loop whose command is caught in the act has read it.
            bytes_received: socket
                .bytes_received
                .or(Some(1).filter(|_| socket.transport == Transport::Tcp)),
            ..socket
        }),
        Some(stream) => stream,
        None if process.fd_from_fd(fd as i32).is_ok() => Stream::Other,
        None => Stream::Closed,
    }
}

/// The lowest descriptor at which a process holds this socket.
fn descriptor_of(owner: &Owner, inode: u64) -> Option<u32> {
    let holds = |stream: &Stream| matches!(stream, Stream::Socket(socket) if socket.inode == inode);
    let descriptors = owner.descriptors.iter();
    descriptors
        .filter(|descriptor| holds(&descriptor.stream))
        .map(|descriptor| descriptor.fd)
        .min()
}

fn describe_executable(pid: u32) -> Executable {
    let link = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let path = executable(pid);
    let memfd = path
        .as_ref()
        .is_some_and(|path| path.as_bytes().starts_with(b"/memfd:"));
    let deleted = link.is_some_and(|link| link.as_os_str().as_bytes().ends_with(b" (deleted)"));
    let metadata = fs::metadata(format!("/proc/{pid}/exe")).ok();
    let mode = metadata.as_ref().map_or(0, MetadataExt::mode);
    Executable {
        path,
        path_truncated: false,
        inode: metadata.as_ref().map_or(0, MetadataExt::ino),
        device: metadata.as_ref().map_or(0, |metadata| kernel_device(metadata.dev())),
        owner: metadata.as_ref().map_or(0, MetadataExt::uid),
        size: metadata.as_ref().map_or(0, MetadataExt::size),
        changed: metadata.as_ref().map_or(0, |metadata| metadata.ctime() as u64),
        memfd,
        deleted: deleted && !memfd,
        setuid: mode & 0o4000 != 0,
        setgid: mode & 0o2000 != 0,
    }
}

fn namespace_number(pid: u32, name: &str) -> u32 {
    namespace(pid, name).unwrap_or(0) as u32
}

fn namespaces(pid: u32) -> Namespaces {
    Namespaces {
        mnt: namespace_number(pid, "mnt"),
        pid: namespace_number(pid, "pid_for_children"),
        net: namespace_number(pid, "net"),
        user: namespace_number(pid, "user"),
    }
}

/// The unified hierarchy's, or the pids controller's where that one is empty, as the kernel side chooses.
fn cgroup(process: &Process) -> Cgroup {
    let Ok(groups) = process.cgroups() else {
        return Cgroup::default();
    };
    let unified = groups
        .0
        .iter()
        .find(|group| group.hierarchy == 0 && group.pathname != "/");
    let pids = groups
        .0
        .iter()
        .find(|group| group.controllers.iter().any(|controller| controller == "pids"));
    let Some(group) = unified.or(pids) else {
        return Cgroup::default();
    };
    let mut components = group.pathname.rsplit('/');
    let mut next = || Text::from(components.next().unwrap_or_default());
    Cgroup {
        id: 0,
        leaf: next(),
        parent: next(),
    }
}

fn ancestors(parent: i32) -> Vec<Ancestor> {
    let mut ancestors = Vec::new();
    let mut pid = parent;
    while pid > 0 && ancestors.len() < ANCESTORS_MAX {
        let Ok(stat) = Process::new(pid).and_then(|process| process.stat()) else {
            break;
        };
        let number = pid as u32;
        ancestors.push(Ancestor {
            process: ProcessId::from_start_ticks(number, stat.starttime),
            uid: Process::new(pid).and_then(|process| process.uid()).unwrap_or(0),
            comm: Text::from(stat.comm.as_str()),
            path: executable(number),
            argv: arguments(number),
            program: Program::default(),
        });
        pid = stat.ppid;
    }
    ancestors
}
