//! Takeovers that no exec tells of: those that were under way before the sensor, and programs that put a connection on
//! their own streams. Yields the execs that the kernel side would have reported, as far as `/proc` still knows. And all
//! that is open, by `/proc` alone, where the kernel's iterator is not to be had.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt},
    },
    path::Path,
};

use procfs::{
    net::{TcpState, UdpState},
    process::{FDPermissions, FDTarget, Process, all_processes},
};

use super::{
    open_files::{OpenFiles, Owner},
    procfs::{arguments, executable, identify},
};
use crate::{
    enrich::identity::Identities,
    model::{
        Ancestor, BootTime, Cgroup, Credentials, Descriptor, Direction, Endpoint, Exec, Executable, Namespaces,
        ProcessId, Program, Socket, SocketState, Stream, Text, Transport,
    },
};

/// Ancestors that are looked up, as many as the kernel side reports.
const ANCESTORS_MAX: usize = sensor_common::record::ANCESTORS_MAX;

/// Which running processes are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Those with a connection among their standard streams.
    Sockets,
    /// Those with standard input from a pipe or terminal as well.
    SocketsAndPipes,
}

/// Describes the processes of interest among those that have something open, as if they had just been executed. Best effort:
/// a process that goes away meanwhile is left out.
#[must_use]
pub fn find(files: &OpenFiles, interest: Interest, now: BootTime, identities: &mut Identities) -> Vec<Exec> {
    let mut found: Vec<_> = files
        .owners()
        .filter(|owner| owner.process.pid != std::process::id() && is_of_interest(owner, interest, identities))
        .collect::<Vec<_>>()
        .iter()
        .filter_map(|owner| describe(owner, files.of_pid(owner.parent).as_ref(), now, identities))
        .collect();
    // Shells before their commands, as they came.
    found.sort_by_key(|exec| (exec.process.start, exec.process.pid));
    found
}

fn is_of_interest(owner: &Owner, interest: Interest, identities: &mut Identities) -> bool {
    let mut streams = owner.descriptors.iter().filter(|descriptor| descriptor.fd <= 2);
    let is_connection = |stream: &Stream| stream.socket().is_some_and(Socket::has_peer);
    if streams.clone().any(|descriptor| is_connection(&descriptor.stream)) {
        return true;
    }
    let piped = streams.any(|descriptor| descriptor.fd == 0 && descriptor.stream.is_piped());
    if interest == Interest::Sockets || !piped {
        return false;
    }
    // Most of a machine's processes have a pipe or a terminal; few of them read commands from it.
    let pid = owner.process.pid;
    let path = executable(pid);
    let program = identities.of_process(pid, path.as_ref(), &owner.comm, &arguments(pid));
    program.executes_text()
}

/// `None` if the process is gone.
fn describe(owner: &Owner, parent: Option<&Owner>, now: BootTime, identities: &mut Identities) -> Option<Exec> {
    let pid = owner.process.pid;
    let process = Process::new(pid.try_into().ok()?).ok()?;
    let status = process.status().ok()?;
    let argv = arguments(pid);
    let streams = [0, 1, 2].map(|fd| standard_stream(owner, fd, &process, parent));
    let mut exec = Exec {
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
        ancestors: ancestors(status.ppid, identities),
    };
    (exec.program, _) = identities.of_exec(&exec);
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

/// Everything that is open on the machine, as far as `/proc` tells: it knows which UNIX sockets there are, but not which
/// belong together.
#[must_use]
pub fn open_files() -> OpenFiles {
    let mut files = OpenFiles::default();
    let Ok(processes) = all_processes() else {
        return files;
    };
    let mut tables: HashMap<u32, SocketTable> = HashMap::new();
    for process in processes.flatten() {
        let pid = process.pid() as u32;
        let (Some(id), Ok(stat), Ok(descriptors)) = (identify(pid), process.stat(), process.fd()) else {
            continue;
        };
        let table = tables
            .entry(namespace(pid, "net"))
            .or_insert_with(|| SocketTable::of(&process));
        let descriptors: Vec<Descriptor> = descriptors
            .flatten()
            .filter_map(|info| {
                let fd = u32::try_from(info.fd).ok()?;
                let mode = info.mode();
                Some(Descriptor {
                    fd,
                    stream: open_stream(pid, fd, info.target, table)?,
                    read: mode.contains(FDPermissions::READ),
                    write: mode.contains(FDPermissions::WRITE),
                })
            })
            .collect();
        if !descriptors.is_empty() {
            files.push(Owner {
                process: id,
                parent: stat.ppid as u32,
                comm: Text::from(stat.comm.as_str()),
                descriptors,
            });
        }
    }
    files
}

/// What a descriptor is that bytes travel through.
fn open_stream(pid: u32, fd: u32, target: FDTarget, table: &SocketTable) -> Option<Stream> {
    Some(match target {
        FDTarget::Socket(inode) => table
            .find(inode)
            .map_or(Stream::Unix { inode, peer: None }, Stream::Socket),
        FDTarget::Pipe(inode) => Stream::Pipe { inode },
        FDTarget::Path(path) => {
            let file = fs::metadata(format!("/proc/{pid}/fd/{fd}")).ok()?;
            file_stream(pid, fd, &path, &file)?
        }
        _ => return None,
    })
}

/// The same of a file with a name.
fn file_stream(pid: u32, fd: u32, path: &Path, file: &fs::Metadata) -> Option<Stream> {
    let (inode, fs) = (file.ino(), kernel_device(file.dev()));
    let device = kernel_device(file.rdev());
    let kind = file.file_type();
    if kind.is_fifo() {
        return Some(Stream::Fifo { inode, fs });
    }
    if !kind.is_char_device() {
        return None;
    }
    if rustix::fs::major(file.rdev()) == 5 && rustix::fs::minor(file.rdev()) == 2 {
        // The master's own inode says nothing; the slave lies beside it.
        let number = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
        let number = number
            .lines()
            .find_map(|line| line.strip_prefix("tty-index:"))?
            .trim()
            .to_owned();
        let slaves = if path.ends_with("pts/ptmx") {
            path.parent()?
        } else {
            Path::new("/dev/pts")
        };
        let slave = Path::new("/proc")
            .join(pid.to_string())
            .join("root")
            .join(slaves.strip_prefix("/").ok()?);
        let slave = fs::metadata(slave.join(number)).ok()?;
        return Some(Stream::TerminalMaster {
            slave: slave.ino(),
            fs: kernel_device(slave.dev()),
        });
    }
    matches!(rustix::fs::major(file.rdev()), 4 | 5 | 136..=143).then_some(Stream::Terminal { device, inode, fs })
}

/// A device number in the kernel's internal form.
fn kernel_device(device: u64) -> u32 {
    rustix::fs::major(device) << 20 | rustix::fs::minor(device)
}

/// The sockets of one network namespace.
struct SocketTable {
    sockets: Vec<Socket>,
}

impl SocketTable {
    fn of(process: &Process) -> Self {
        let netns = namespace(process.pid() as u32, "net");
        let tcp = [process.tcp(), process.tcp6()].into_iter().flatten().flatten();
        let tcp: Vec<_> = tcp.collect();
        let listening: Vec<u16> = tcp
            .iter()
            .filter(|entry| entry.state == TcpState::Listen)
            .map(|entry| entry.local_address.port())
            .collect();
        let tcp = tcp.iter().map(|entry| Socket {
            // Nothing tells any more who opened it; a listener on the same port does as good as.
            direction: if listening.contains(&entry.local_address.port()) {
                Direction::Inbound
            } else {
                Direction::Outbound
            },
            state: tcp_state(&entry.state),
            ..socket(
                entry.inode,
                netns,
                Transport::Tcp,
                entry.local_address,
                entry.remote_address,
            )
        });
        let udp = [process.udp(), process.udp6()]
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| Socket {
                direction: Direction::Unknown,
                state: match entry.state {
                    UdpState::Established => SocketState::Connected,
                    UdpState::Close => SocketState::Unconnected,
                },
                ..socket(
                    entry.inode,
                    netns,
                    Transport::Udp,
                    entry.local_address,
                    entry.remote_address,
                )
            });
        Self {
            sockets: tcp.chain(udp).collect(),
        }
    }

    fn find(&self, inode: u64) -> Option<Socket> {
        self.sockets.iter().find(|socket| socket.inode == inode).cloned()
    }
}

fn socket(inode: u64, netns: u32, transport: Transport, local: SocketAddr, remote: SocketAddr) -> Socket {
    let endpoint = |addr: SocketAddr| {
        let ip = match addr.ip() {
            IpAddr::V6(ip) => ip.to_canonical(),
            ip => ip,
        };
        Endpoint::Ip(SocketAddr::new(ip, addr.port()))
    };
    Socket {
        inode,
        cookie: None,
        netns,
        transport,
        state: SocketState::Unconnected,
        direction: Direction::Unknown,
        local: endpoint(local),
        remote: endpoint(remote),
        bytes_received: None,
        bytes_sent: None,
        parent_fd: None,
    }
}

fn tcp_state(state: &TcpState) -> SocketState {
    match state {
        TcpState::Established | TcpState::SynRecv | TcpState::FinWait1 | TcpState::FinWait2 | TcpState::CloseWait => {
            SocketState::Connected
        }
        TcpState::SynSent => SocketState::Connecting,
        TcpState::Listen => SocketState::Listening,
        _ => SocketState::Unconnected,
    }
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
        unknown: false,
        memfd,
        deleted: deleted && !memfd,
        setuid: mode & 0o4000 != 0,
        setgid: mode & 0o2000 != 0,
    }
}

fn namespace(pid: u32, name: &str) -> u32 {
    fs::metadata(format!("/proc/{pid}/ns/{name}")).map_or(0, |metadata| metadata.ino() as u32)
}

fn namespaces(pid: u32) -> Namespaces {
    Namespaces {
        mnt: namespace(pid, "mnt"),
        pid: namespace(pid, "pid_for_children"),
        net: namespace(pid, "net"),
        user: namespace(pid, "user"),
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

fn ancestors(parent: i32, identities: &mut Identities) -> Vec<Ancestor> {
    let mut ancestors = Vec::new();
    let mut pid = parent;
    while pid > 0 && ancestors.len() < ANCESTORS_MAX {
        let Ok(stat) = Process::new(pid).and_then(|process| process.stat()) else {
            break;
        };
        let number = pid as u32;
        let (path, argv, comm) = (executable(number), arguments(number), Text::from(stat.comm.as_str()));
        let program = identities.of_process(number, path.as_ref(), &comm, &argv);
        ancestors.push(Ancestor {
            process: ProcessId::from_start_ticks(number, stat.starttime),
            uid: Process::new(pid).and_then(|process| process.uid()).unwrap_or(0),
            comm,
            path,
            argv,
            program,
        });
        pid = stat.ppid;
    }
    ancestors
}
