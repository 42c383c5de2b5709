//! What a descriptor is. `may_have_socket` and `is_piped` are the questions asked of every exec on the machine; the rest
//! runs for the few that they hold for.

use sensor_common::record::{StreamRecord, stream_kind};

use crate::{
    kernel::{self, Fault, File, FileType, Files, Sock},
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

/// Whether one of the three streams may be a socket: all that most execs are asked.
#[inline(always)]
pub fn may_have_socket(files: Files) -> Result<bool, Fault> {
    let sockets = kernel::socket_operations();
    if sockets == 0 {
        return Ok(true);
    }
    let [stdin, stdout, stderr] = files.standard_stream_operations()?;
    Ok(stdin == sockets || stdout == sockets || stderr == sockets)
}

/// Whether one of the three streams is a socket that a network peer can be at. Descriptors that share an open file, as
/// those of most programs do, are looked at once.
#[inline(always)]
pub fn has_network_socket(files: &[File; 3]) -> Result<bool, Fault> {
    let [stdin, stdout, stderr] = *files;
    Ok(is_network_socket(stdin)?
        || (stdout != stdin && is_network_socket(stdout)?)
        || (stderr != stdout && stderr != stdin && is_network_socket(stderr)?))
}

/// Whether bytes from another process can come through this: a pipe, a UNIX socket, a pseudo-terminal.
#[inline(always)]
pub fn is_piped(file: FileType) -> bool {
    match file.mode & S_IFMT {
        S_IFIFO | S_IFSOCK => true,
        S_IFCHR => is_pseudo_terminal(file.rdev),
        _ => false,
    }
}

/// Whether this is a socket with a network peer, or that waits for one's answer.
#[inline(always)]
pub fn is_connected(file: File) -> bool {
    // include/net/tcp_states.h: all states but CLOSE, TIME_WAIT, LISTEN and what comes after them.
    const CONNECTED: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8;

    if file.file_type().mode & S_IFMT != S_IFSOCK {
        return false;
    }
    let Ok(Some(sock)) = file.socket() else {
        return false;
    };
    matches!(sock.family(), Ok(AF_INET | AF_INET6 | AF_VSOCK)) && CONNECTED >> (sock.state() & 31) & 1 != 0
}

#[inline(always)]
fn is_network_socket(file: File) -> Result<bool, Fault> {
    if file.0 == 0 || file.inode()?.mode()? & S_IFMT != S_IFSOCK {
        return Ok(false);
    }
    let Some(sock) = file.socket()? else {
        return Ok(false);
    };
    if kernel::socket_operations() == 0 {
        kernel::learn_socket_operations(file);
    }
    Ok(matches!(sock.family()?, AF_INET | AF_INET6 | AF_VSOCK))
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
    // Nothing tells the end of others, and entries of theirs would stay for good.
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
            stream.kind = if magic == PIPEFS_MAGIC {
                stream_kind::PIPE
            } else {
                stream_kind::FIFO
            };
        }
        S_IFCHR => {
            stream.rdev = inode.rdev();
            if stream.rdev == PTMX {
                stream.kind = stream_kind::TERMINAL_MASTER;
                let slave = file.terminal_slave()?;
                stream.peer_inode = slave.number();
                (stream.fs_dev, _) = slave.file_system()?;
            } else if is_terminal(stream.rdev) {
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

/// Majors of Documentation/admin-guide/devices.txt: 4 and 5 are consoles, serial lines, `/dev/tty` and `/dev/ptmx`; 136
/// to 143 are pseudo-terminals.
#[inline(always)]
fn is_terminal(rdev: u32) -> bool {
    matches!(rdev >> 20, 4 | 5) || is_pseudo_terminal(rdev)
}

/// The slave side.
#[inline(always)]
fn is_pseudo_terminal(rdev: u32) -> bool {
    matches!(rdev >> 20, 136..=143)
}

/// Major 5, minor 2: `/dev/ptmx`.
const PTMX: u32 = 5 << 20 | 2;
