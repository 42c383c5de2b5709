//! Everything that is open on the machine, by `/proc` alone: where the kernel's iterator is not to be had.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::{FileTypeExt as _, MetadataExt},
    path::Path,
};

use procfs::{
    net::{TcpState, UdpState},
    process::{FDPermissions, FDTarget, Process, all_processes},
};

use sensor_common::device;

use super::{
    process::identify,
    text::{kernel_device, namespace},
};
use crate::model::{Descriptor, Direction, Endpoint, OpenFiles, Owner, Socket, SocketState, Stream, Text, Transport};

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
            .entry(namespace(pid, "net").unwrap_or(0) as u32)
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

/// What a file with a name is that bytes travel through.
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
    if device == device::PTMX {
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
    device::is_terminal(device).then_some(Stream::Terminal { device, inode, fs })
}

/// The sockets of one network namespace.
struct SocketTable {
    sockets: Vec<Socket>,
}

impl SocketTable {
    fn of(process: &Process) -> Self {
        let netns = namespace(process.pid() as u32, "net").unwrap_or(0) as u32;
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
            state: SocketState::of_tcp(entry.state.to_u8()),
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
