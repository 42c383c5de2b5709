//! What a descriptor is. `kinds` runs for every exec on the machine that has a stream of which the operations do not tell
//! that it is plain. The rest runs for the few execs that `kinds` finds to matter.

use sensor_common::{
    device::{self, PTMX},
    record::{StreamRecord, stream_kind},
    tcp_state,
};

use crate::{
    kernel::{self, Fault, File, FileType, Operations, Sock, TypedFile},
    maps,
};

// include/linux/socket.h, include/uapi/linux/in.h, include/uapi/linux/stat.h, include/linux/net.h: user-space interface.
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_VSOCK: u16 = 40;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_DCCP: u16 = 33;
const IPPROTO_SCTP: u16 = 132;
const IPPROTO_MPTCP: u16 = 262;
const SOCK_STREAM: u16 = 1;
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
const S_IFREG: u16 = 0o100_000;
const S_IFCHR: u16 = 0o020_000;
const S_IFIFO: u16 = 0o010_000;
// include/uapi/linux/magic.h
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// What a standard stream is, as far as the hot path has to know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Closed, a file, a device.
    Plain,
    /// A pipe, a UNIX socket, a pseudo-terminal: bytes of another process can come through it.
    Piped,
    /// A socket that a network peer can be at.
    Network,
}

/// What the three streams are. Those that share an open file, as those of most programs do, are looked at once.
#[inline(always)]
pub fn kinds(files: &[File; 3], operations: &[u64; 3]) -> Result<[Kind; 3], Fault> {
    let stdin = kind(files[0], operations[0])?;
    let stdout = if files[1] == files[0] {
        stdin
    } else {
        kind(files[1], operations[1])?
    };
    let stderr = if files[2] == files[1] {
        stdout
    } else if files[2] == files[0] {
        stdin
    } else {
        kind(files[2], operations[2])?
    };
    Ok([stdin, stdout, stderr])
}

#[inline(always)]
fn kind(file: File, operations: u64) -> Result<Kind, Fault> {
    match kernel::operations(operations) {
        Operations::Plain => return Ok(Kind::Plain),
        Operations::Pipe => return Ok(Kind::Piped),
        Operations::Socket | Operations::Unknown => {}
    }
    let inode = file.inode()?;
    match inode.mode()? & S_IFMT {
        S_IFSOCK => {
            let Some(sock) = file.socket()? else {
                return Ok(Kind::Plain);
            };
            kernel::learn(file.operations(), Operations::Socket);
            Ok(match sock.family()? {
                AF_INET | AF_INET6 | AF_VSOCK => Kind::Network,
                _ => Kind::Piped,
            })
        }
        S_IFIFO => {
            kernel::learn(file.operations(), Operations::Pipe);
            Ok(Kind::Piped)
        }
        S_IFREG => {
            kernel::learn(file.operations(), Operations::Plain);
            Ok(Kind::Plain)
        }
        S_IFCHR => {
            let rdev = inode.rdev();
            if device::is_memory(rdev) {
                kernel::learn(file.operations(), Operations::Plain);
            }
            Ok(if device::is_pseudo_terminal(rdev) {
                Kind::Piped
            } else {
                Kind::Plain
            })
        }
        _ => Ok(Kind::Plain),
    }
}

/// Whether bytes from another process can come through this: a pipe, a UNIX socket, a pseudo-terminal.
#[inline(always)]
pub fn is_piped(file: FileType) -> bool {
    match file.mode & S_IFMT {
        S_IFIFO | S_IFSOCK => true,
        S_IFCHR => device::is_pseudo_terminal(file.rdev),
        _ => false,
    }
}

/// Whether this is a socket with a network peer, or that waits for one's answer.
#[inline(always)]
pub fn is_connected(file: File) -> bool {
    if file.file_type().mode & S_IFMT != S_IFSOCK {
        return false;
    }
    let Ok(Some(sock)) = file.socket() else {
        return false;
    };
    matches!(sock.family(), Ok(AF_INET | AF_INET6 | AF_VSOCK)) && tcp_state::has_peer(sock.state())
}

/// Whether bytes from another process can come through this, or go to one: a pipe, a socket, either side of a
/// pseudo-terminal.
#[inline(always)]
pub fn carries_bytes(file: File) -> bool {
    let file = file.file_type();
    is_piped(file) || file.mode & S_IFMT == S_IFCHR && file.rdev == PTMX
}

/// Fills in what one stream is, and asks for a record at the end of its socket. A field that can't be read stays zero.
#[inline(always)]
pub fn classify(file: File, stream: &mut StreamRecord) -> Result<(), Fault> {
    describe(file, stream)?;
    // The kernel reports the end of these sockets alone. An entry of another socket would stay for good.
    if matches!(stream.kind, stream_kind::INET | stream_kind::INET6)
        && matches!(
            stream.protocol,
            IPPROTO_TCP | IPPROTO_DCCP | IPPROTO_SCTP | IPPROTO_MPTCP
        )
        && let Some(sock) = file.socket()?
    {
        maps::watch_socket(sock, stream.inode);
    }
    Ok(())
}

/// Fills in what one pipe or FIFO is.
#[inline(always)]
pub fn describe_pipe(file: TypedFile, stream: &mut StreamRecord) {
    let (device, magic) = file.file_system();
    stream.kind = pipe_kind(magic);
    stream.fs_dev = device;
    stream.inode = file.inode_number();
    stream.mode = file.access();
}

#[inline(always)]
fn pipe_kind(magic: u64) -> u32 {
    if magic == PIPEFS_MAGIC {
        stream_kind::PIPE
    } else {
        stream_kind::FIFO
    }
}

/// Fills in what one stream is.
#[inline(always)]
pub fn describe(file: File, stream: &mut StreamRecord) -> Result<(), Fault> {
    if file.0 == 0 {
        stream.kind = stream_kind::CLOSED;
        return Ok(());
    }
    stream.kind = stream_kind::OTHER;
    stream.mode = file.access();
    let inode = file.inode()?;
    stream.inode = inode.number();
    match inode.mode()? & S_IFMT {
        S_IFSOCK => {
            if let Some(sock) = file.socket()? {
                socket(sock, stream)?;
            }
        }
        S_IFIFO => {
            let (device, magic) = inode.file_system()?;
            stream.fs_dev = device;
            stream.kind = pipe_kind(magic);
        }
        S_IFCHR => {
            stream.rdev = inode.rdev();
            if stream.rdev == PTMX {
                stream.kind = stream_kind::TERMINAL_MASTER;
                let slave = file.terminal_slave()?;
                stream.peer_inode = slave.number();
                (stream.fs_dev, _) = slave.file_system()?;
            } else if device::is_terminal(stream.rdev) {
                stream.kind = stream_kind::TERMINAL;
                (stream.fs_dev, _) = inode.file_system()?;
            }
        }
        S_IFREG => stream.kind = stream_kind::FILE,
        _ => {}
    }
    Ok(())
}

#[inline(always)]
fn socket(sock: Sock, stream: &mut StreamRecord) -> Result<(), Fault> {
    stream.kind = stream_kind::OTHER_SOCKET;
    let family = sock.family()?;
    stream.state = sock.state();
    stream.socket_type = sock.socket_type();
    stream.protocol = sock.protocol();
    stream.cookie = sock.cookie();
    stream.netns = sock.netns();
    match family {
        AF_INET | AF_INET6 => {
            let (local_port, remote_port) = sock.ports();
            stream.local_port = u32::from(local_port);
            stream.remote_port = u32::from(remote_port);
            if family == AF_INET {
                stream.kind = stream_kind::INET;
                let (local, remote) = sock.ipv4();
                stream.local_addr[..4].copy_from_slice(&local);
                stream.remote_addr[..4].copy_from_slice(&remote);
            } else {
                stream.kind = stream_kind::INET6;
                (stream.local_addr, stream.remote_addr) = sock.ipv6();
            }
            stream.port_bound = u8::from(sock.port_bound());
            stream.direction = maps::direction_of(sock);
            if stream.protocol == IPPROTO_TCP && stream.socket_type == SOCK_STREAM {
                stream.bytes_received = sock.tcp_bytes_received();
                stream.bytes_sent = sock.tcp_bytes_sent();
            }
        }
        AF_VSOCK => {
            stream.kind = stream_kind::VSOCK;
            let ((local_cid, local_port), (remote_cid, remote_port)) = sock.vsock();
            stream.local_port = local_port;
            stream.remote_port = remote_port;
            stream.local_addr[..4].copy_from_slice(&local_cid.to_ne_bytes());
            stream.remote_addr[..4].copy_from_slice(&remote_cid.to_ne_bytes());
        }
        AF_UNIX => {
            stream.kind = stream_kind::UNIX;
            stream.peer_inode = sock.unix_peer().map_or(0, Sock::inode_number);
        }
        _ => {}
    }
    Ok(())
}
