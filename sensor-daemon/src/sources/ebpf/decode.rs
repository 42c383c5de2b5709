//! Bytes from the ring buffer to [`Observation`]: checked lengths, no trust. What user space alone can know (a program's
//! identity, the paths of ancestors) is filled in later.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sensor_common::record::{
    AncestorRecord, ExecRecord, ExitRecord, KIND_CONNECT, KIND_EXEC, KIND_EXIT, KIND_MOVED, KIND_SOCKET_CLOSE,
    ProcessRecord, RecordHeader, SocketCloseRecord, StreamRecord, direction, exec_flag, file_kind, stream_kind,
};
use zerocopy::FromBytes;

use crate::model::{
    Act, Ancestor, BootTime, Cgroup, Credentials, Direction, Endpoint, Exec, Executable, Exit, Namespaces, Observation,
    ProcessId, Program, Socket, SocketClosed, SocketState, Stream, Text, Transport,
};

/// A record that is not what it says it is. Never seen unless the two sides were built from different sources.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer bytes than the record needs.
    #[error("a record of {0} bytes is too short for its kind")]
    Short(usize),
    /// Not one of the kinds in `sensor_common::record`.
    #[error("a record of unknown kind {0}")]
    Kind(u32),
}

/// Reads one record.
///
/// # Errors
/// The bytes are not a whole record.
pub fn decode(bytes: &[u8]) -> Result<Observation, DecodeError> {
    let (header, _) = prefix::<RecordHeader>(bytes)?;
    let time = BootTime(header.time_ns);
    match header.kind {
        KIND_EXEC => {
            let (record, tail) = prefix::<ExecRecord>(bytes)?;
            exec(&record, tail)
                .map(|exec| Observation::Exec(Box::new(exec)))
                .ok_or(DecodeError::Short(bytes.len()))
        }
        KIND_EXIT => {
            let (record, _) = prefix::<ExitRecord>(bytes)?;
            let process = ProcessId::from_start_ns(record.tgid, record.start_ns);
            Ok(Observation::Exit(Exit {
                time,
                process,
                status: record.status,
            }))
        }
        KIND_SOCKET_CLOSE => {
            let (record, _) = prefix::<SocketCloseRecord>(bytes)?;
            Ok(Observation::SocketClosed(SocketClosed {
                time,
                inode: record.inode,
            }))
        }
        KIND_CONNECT | KIND_MOVED => {
            let (record, _) = prefix::<ProcessRecord>(bytes)?;
            let process = ProcessId::from_start_ns(record.tgid, record.start_ns);
            let act = Act { time, process };
            Ok(if header.kind == KIND_CONNECT {
                Observation::Connect(act)
            } else {
                Observation::Moved(act)
            })
        }
        kind => Err(DecodeError::Kind(kind)),
    }
}

/// Whether a record tells of an exec of a file that the kernel side does not know yet.
pub(super) fn is_unknown_file(bytes: &[u8]) -> bool {
    prefix::<ExecRecord>(bytes)
        .is_ok_and(|(record, _)| record.header.kind == KIND_EXEC && record.exe_kind == file_kind::UNKNOWN)
}

fn prefix<T: FromBytes>(bytes: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    T::read_from_prefix(bytes).map_err(|_| DecodeError::Short(bytes.len()))
}

/// `None` if the tail is shorter than the record says.
fn exec(record: &ExecRecord, mut tail: &[u8]) -> Option<Exec> {
    let mut take = |length: u32| {
        let (part, rest) = tail.split_at_checked(length as usize)?;
        tail = rest;
        Some(part)
    };
    // In the order in which the kernel side appends them.
    let path = take(record.path_len)?;
    let cwd = take(record.cwd_len)?;
    let argv = take(record.argv_len)?;
    let script = take(record.script_len)?;
    let cgroup = take(record.cgroup_len)?;
    let cgroup_parent = take(record.cgroup_parent_len)?;
    let held = take(record.held_len)?;

    let flag = |bit| record.flags & bit != 0;
    let cwd = (record.cwd_len > 0 || !flag(exec_flag::CWD_TRUNCATED)).then(|| join(cwd));
    let script = flag(exec_flag::SCRIPT).then(|| absolute(until_nul(script), cwd.as_ref()));
    Some(Exec {
        time: BootTime(record.header.time_ns),
        process: ProcessId::from_start_ns(record.tgid, record.start_ns),
        comm: until_nul(&record.comm).into(),
        credentials: Credentials {
            uid: record.uid,
            gid: record.gid,
            euid: record.euid,
            egid: record.egid,
            capabilities: record.cap_effective,
        },
        executable: Executable {
            path: (record.path_len > 0).then(|| join(path)),
            path_truncated: flag(exec_flag::PATH_TRUNCATED),
            inode: record.exe_inode,
            device: record.exe_dev,
            owner: record.exe_uid,
            size: record.exe_key.size,
            changed: record.exe_key.changed,
            memfd: flag(exec_flag::MEMFD),
            deleted: flag(exec_flag::DELETED),
            setuid: flag(exec_flag::SETUID),
            setgid: flag(exec_flag::SETGID),
        },
        program: Program::default(),
        script,
        cwd,
        argv: split_argv(argv, flag(exec_flag::ARGV_TRUNCATED)),
        argv_truncated: flag(exec_flag::ARGV_TRUNCATED),
        cgroup: Cgroup {
            id: record.cgroup_id,
            leaf: until_nul(cgroup).into(),
            parent: until_nul(cgroup_parent).into(),
        },
        namespaces: Namespaces {
            mnt: record.mnt_ns,
            pid: record.pid_ns,
            net: record.net_ns,
            user: record.user_ns,
        },
        streams: [
            stream(&record.streams[0]),
            stream(&record.streams[1]),
            stream(&record.streams[2]),
        ],
        container: None,
        running: false,
        held: held
            .chunks_exact(size_of::<StreamRecord>())
            .filter_map(|bytes| StreamRecord::read_from_bytes(bytes).ok())
            .filter_map(|record| match stream(&record) {
                Stream::Socket(socket) => Some(socket),
                _ => None,
            })
            .collect(),
        ancestors: record
            .ancestors
            .iter()
            .take_while(|ancestor| ancestor.tgid != 0)
            .map(ancestor)
            .collect(),
    })
}

fn ancestor(record: &AncestorRecord) -> Ancestor {
    Ancestor {
        process: ProcessId::from_start_ns(record.tgid, record.start_ns),
        uid: record.uid,
        comm: until_nul(&record.comm).into(),
        path: None,
        argv: Vec::new(),
        program: Program::default(),
    }
}

/// What a descriptor is.
pub(super) fn stream(record: &StreamRecord) -> Stream {
    let inode = record.inode;
    match record.kind {
        stream_kind::CLOSED => Stream::Closed,
        stream_kind::INET | stream_kind::INET6 | stream_kind::VSOCK => Stream::Socket(socket(record)),
        stream_kind::UNIX => Stream::Unix {
            inode,
            peer: (record.peer_inode != 0).then_some(record.peer_inode),
        },
        stream_kind::OTHER_SOCKET => Stream::OtherSocket { inode },
        stream_kind::PIPE => Stream::Pipe { inode },
        stream_kind::FIFO => Stream::Fifo {
            inode,
            fs: record.fs_dev,
        },
        stream_kind::TERMINAL => Stream::Terminal {
            device: record.rdev,
            inode,
            fs: record.fs_dev,
        },
        stream_kind::TERMINAL_MASTER => Stream::TerminalMaster {
            slave: record.peer_inode,
            fs: record.fs_dev,
        },
        stream_kind::FILE => Stream::File { inode },
        _ => Stream::Other,
    }
}

fn socket(record: &StreamRecord) -> Socket {
    const IPPROTO_MPTCP: u16 = 262;
    let transport = match (record.kind, record.protocol) {
        (stream_kind::VSOCK, _) => Transport::Vsock,
        (_, 6 | IPPROTO_MPTCP) => Transport::Tcp,
        (_, 17) => Transport::Udp,
        (_, 33) => Transport::Dccp,
        (_, 132) => Transport::Sctp,
        (_, protocol) => Transport::Other(protocol),
    };
    Socket {
        inode: record.inode,
        cookie: (record.cookie != 0).then_some(record.cookie),
        netns: record.netns,
        transport,
        state: SocketState::of_tcp(record.state),
        direction: match (transport, record.direction) {
            // UDP has no connection that one side opens. A program that chose its own port waits to be talked to.
            (Transport::Udp, _) if record.port_bound != 0 => Direction::Inbound,
            (Transport::Udp, _) | (_, direction::OUTBOUND) => Direction::Outbound,
            (_, direction::INBOUND) => Direction::Inbound,
            _ => Direction::Unknown,
        },
        local: endpoint(record.kind, &record.local_addr, record.local_port),
        remote: endpoint(record.kind, &record.remote_addr, record.remote_port),
        bytes_received: (record.protocol == 6).then_some(record.bytes_received),
        bytes_sent: (record.protocol == 6).then_some(record.bytes_sent),
        parent_fd: record
            .parent_fds
            .iter()
            .zip(0..)
            .find(|(bits, _)| **bits != 0)
            .map(|(bits, word)| word * 64 + bits.trailing_zeros()),
    }
}

fn endpoint(kind: u32, addr: &[u8; 16], port: u32) -> Endpoint {
    let [a, b, c, d, ..] = *addr;
    let ip = match kind {
        stream_kind::VSOCK => {
            return Endpoint::Vsock {
                cid: u32::from_ne_bytes([a, b, c, d]),
                port,
            };
        }
        stream_kind::INET => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        _ => Ipv6Addr::from(*addr).to_canonical(),
    };
    Endpoint::Ip(SocketAddr::new(ip, port as u16))
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Components, leaf first and each with its NUL, to an absolute path.
fn join(components: &[u8]) -> Text {
    let components = components.strip_suffix(b"\0").unwrap_or(components);
    let mut path = Vec::with_capacity(components.len() + 1);
    for component in components.split(|&byte| byte == 0).rev() {
        path.push(b'/');
        path.extend_from_slice(component);
    }
    Text(path)
}

fn absolute(name: &[u8], cwd: Option<&Text>) -> Text {
    match cwd {
        Some(cwd) if !name.starts_with(b"/") => {
            let name = name.strip_prefix(b"./").unwrap_or(name);
            let separator: &[u8] = if cwd.as_bytes().ends_with(b"/") { b"" } else { b"/" };
            Text([cwd.as_bytes(), separator, name].concat())
        }
        _ => name.into(),
    }
}

/// Arguments, each with its NUL; the last one lacks it where the kernel side had to stop.
fn split_argv(bytes: &[u8], truncated: bool) -> Vec<Text> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let whole = bytes.strip_suffix(b"\0");
    debug_assert!(truncated || whole.is_some() || bytes.last() != Some(&0));
    whole
        .unwrap_or(bytes)
        .split(|&byte| byte == 0)
        .map(Text::from)
        .collect()
}

#[cfg(test)]
mod tests;
