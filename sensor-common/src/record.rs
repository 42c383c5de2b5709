//! The records that cross the ring buffer. Each begins with a [`RecordHeader`]; an exec record is followed by a tail of
//! `tail_len` bytes with the variable parts, in the order of [`ExecRecord`]'s `*_len` fields.
//!
//! Kinds, states and flags are plain integers here, never Rust enums: they come from another program and are checked
//! where user space converts them.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `RecordHeader::kind` of an [`ExecRecord`].
pub const KIND_EXEC: u32 = 1;
/// `RecordHeader::kind` of an [`ExitRecord`].
pub const KIND_EXIT: u32 = 2;
/// `RecordHeader::kind` of a [`SocketCloseRecord`].
pub const KIND_SOCKET_CLOSE: u32 = 3;
/// `RecordHeader::kind` of a [`ProcessRecord`]: a process that may relay for a piped shell connects to somebody.
pub const KIND_CONNECT: u32 = 4;
/// `RecordHeader::kind` of a [`ProcessRecord`]: a connection became a standard stream of a running process.
pub const KIND_MOVED: u32 = 5;

/// Nanoseconds of one tick of `/proc/PID/stat`: `USER_HZ` is 100 on every architecture that Rust and BPF share.
pub const TICK_NS: u64 = 10_000_000;
/// Most bytes of an argument list that cross the ring buffer.
pub const ARGV_MAX: usize = 4096;
/// Most bytes of one path component, its NUL included (`NAME_MAX` + 1).
pub const NAME_MAX: usize = 256;
/// Most components (and mount crossings) of one path.
pub const PATH_DEPTH_MAX: usize = 64;
/// Most bytes of one path.
pub const PATH_MAX: usize = 4096;
/// Most bytes of a name that the kernel holds as one string: the name given to exec, a cgroup's leaf.
pub const TEXT_MAX: usize = 4096;
/// Bytes of the tail of an exec record at most. Room for every part at its longest.
pub const TAIL_MAX: usize = ARGV_MAX + 2 * PATH_MAX + TEXT_MAX + 2 * NAME_MAX + HELD_MAX * size_of::<StreamRecord>();
/// Ancestors that an exec record carries.
pub const ANCESTORS_MAX: usize = 8;
/// Descriptors of the parent that are compared with the streams: 0 to this, exclusive.
pub const PARENT_FDS_MAX: usize = 256;

/// Network sockets of the parent that an exec record carries.
pub const HELD_MAX: usize = 4;

/// `StreamRecord::kind`: what a descriptor is.
pub mod stream_kind {
    /// The descriptor is closed.
    pub const CLOSED: u32 = 0;
    /// An AF_INET socket.
    pub const INET: u32 = 1;
    /// An AF_INET6 socket.
    pub const INET6: u32 = 2;
    /// An AF_VSOCK socket.
    pub const VSOCK: u32 = 3;
    /// An AF_UNIX socket.
    pub const UNIX: u32 = 4;
    /// A socket of another family.
    pub const OTHER_SOCKET: u32 = 5;
    /// An anonymous pipe.
    pub const PIPE: u32 = 6;
    /// A named pipe.
    pub const FIFO: u32 = 7;
    /// A terminal: the slave side of a pseudo-terminal, a console, a serial line.
    pub const TERMINAL: u32 = 8;
    /// A regular file.
    pub const FILE: u32 = 9;
    /// Anything else, `/dev/null` among it.
    pub const OTHER: u32 = 10;
    /// The master side of a pseudo-terminal.
    pub const TERMINAL_MASTER: u32 = 11;
}

/// `StreamRecord::direction`.
pub mod direction {
    /// The socket was there before the sensor, or its protocol has no notion of it.
    pub const UNKNOWN: u8 = 0;
    /// This host connected.
    pub const OUTBOUND: u8 = 1;
    /// This host accepted.
    pub const INBOUND: u8 = 2;
}

/// `ExecRecord::reason`: why an exec crosses the ring buffer.
pub mod reason {
    /// A network socket is among its standard streams.
    pub const SOCKET: u32 = 1 << 0;
    /// It may be a shell or an interpreter that reads its commands from a pipe, a terminal or a UNIX socket.
    pub const PIPED_SHELL: u32 = 1 << 1;
    /// Its parent holds a network connection.
    pub const HOLDER: u32 = 1 << 2;
    /// Its parent is a process of a session that user space follows.
    pub const SESSION: u32 = 1 << 3;
}

/// Bits of [`ProcessMark::flags`].
pub mod process_mark {
    /// It connected to somebody.
    pub const CONNECTED: u32 = 1 << 0;
    /// What it executes belongs to a session that is followed.
    pub const SESSION: u32 = 1 << 1;
    /// It holds the other end of a piped shell's stream: its connections matter.
    pub const NEIGHBOUR: u32 = 1 << 2;
}

/// What is known of a process, by its number: a value of the map `MARKS`.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMark {
    /// When it started, in ticks of [`TICK_NS`] since boot; tells a reused number.
    pub start_ticks: u64,
    /// Bits of [`process_mark`].
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// A file as it stands: a key of the map `FILES`. A file that was written to since has another change time.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Second of the last change, by the inode's change time, which no program can set.
    pub changed: u64,
    /// Device of the file system, kernel's internal form.
    pub device: u32,
    /// Zero.
    pub reserved: u32,
}

/// What a file was found to be: [`ProgramFile::kind`](crate::first_argument::ProgramFile::kind).
pub mod file_kind {
    /// Nothing is known yet.
    pub const UNKNOWN: u32 = 0;
    /// Neither of the others.
    pub const OTHER: u32 = 1;
    /// A command shell.
    pub const SHELL: u32 = 2;
    /// A language interpreter.
    pub const INTERPRETER: u32 = 3;
    /// Many programs in one, a shell among them.
    pub const MULTICALL: u32 = 4;
}

/// `ExecRecord::flags`.
pub mod exec_flag {
    /// More argument bytes exist than were copied.
    pub const ARGV_TRUNCATED: u32 = 1 << 0;
    /// The path of the executed file has more components or bytes than were copied.
    pub const PATH_TRUNCATED: u32 = 1 << 1;
    /// The executed file is a memfd.
    pub const MEMFD: u32 = 1 << 2;
    /// The executed file has no name in the file system any more.
    pub const DELETED: u32 = 1 << 3;
    /// The executed file is set-uid.
    pub const SETUID: u32 = 1 << 4;
    /// The executed file is set-gid.
    pub const SETGID: u32 = 1 << 5;
    /// An interpreter runs a script (`#!` or binfmt_misc): the exec'd name is the script's.
    pub const SCRIPT: u32 = 1 << 6;
    /// The working directory has more components or bytes than were copied.
    pub const CWD_TRUNCATED: u32 = 1 << 7;
}

/// The beginning of every record.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug)]
pub struct RecordHeader {
    /// One of the `KIND_*` constants.
    pub kind: u32,
    /// The CPU that wrote it.
    pub cpu: u32,
    /// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`).
    pub time_ns: u64,
}

/// One standard stream of a process at exec.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug)]
pub struct StreamRecord {
    /// One of [`stream_kind`].
    pub kind: u32,
    /// `st_rdev` of a character device in the kernel's internal form ([`device`](crate::device)).
    pub rdev: u32,
    /// Inode number; for a socket or pipe the one that `/proc/PID/fd` shows.
    pub inode: u64,
    /// Socket cookie, 0 while the kernel has not given one.
    pub cookie: u64,
    /// Bytes that TCP has received on this socket, 0 for other transports.
    pub bytes_received: u64,
    /// Bytes that TCP has sent on this socket, 0 for other transports.
    pub bytes_sent: u64,
    /// Inode of the other end: of an AF_UNIX socket's peer, of the slave for a pseudo-terminal's master; 0 if none.
    pub peer_inode: u64,
    /// Network namespace of a socket (inode number).
    pub netns: u32,
    /// Device of the file system that the inode is in, kernel's internal form; for a pseudo-terminal's master the one
    /// that the slave is in.
    pub fs_dev: u32,
    /// The parent's descriptors that are the same open file, bit by bit. Means nothing for a closed stream.
    pub parent_fds: [u64; PARENT_FDS_MAX / 64],
    /// `IPPROTO_*`.
    pub protocol: u16,
    /// `SOCK_*`.
    pub socket_type: u16,
    /// Host byte order.
    pub local_port: u32,
    /// Host byte order.
    pub remote_port: u32,
    /// IPv4 in the first four bytes, IPv6 in all; vsock: context id, native byte order, in the first four.
    pub local_addr: [u8; 16],
    /// Like `local_addr`.
    pub remote_addr: [u8; 16],
    /// One of [`tcp_state`](crate::tcp_state), which other transports use too.
    pub state: u8,
    /// One of [`direction`].
    pub direction: u8,
    /// Whether the local port was chosen by the program (`SOCK_BINDPORT_LOCK`).
    pub port_bound: u8,
    /// Whether the descriptor is open for reading (1) and writing (2).
    pub mode: u8,
}

impl StreamRecord {
    /// A closed descriptor.
    pub const EMPTY: Self = Self {
        kind: stream_kind::CLOSED,
        rdev: 0,
        inode: 0,
        cookie: 0,
        bytes_received: 0,
        bytes_sent: 0,
        peer_inode: 0,
        netns: 0,
        fs_dev: 0,
        parent_fds: [0; PARENT_FDS_MAX / 64],
        protocol: 0,
        socket_type: 0,
        local_port: 0,
        remote_port: 0,
        local_addr: [0; 16],
        remote_addr: [0; 16],
        state: 0,
        direction: 0,
        port_bound: 0,
        mode: 0,
    };
}

/// A process above the one that exec'd.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug)]
pub struct AncestorRecord {
    /// Nanoseconds since boot at which it started.
    pub start_ns: u64,
    /// Process id in the initial PID namespace; 0 ends the list.
    pub tgid: u32,
    /// Real user id.
    pub uid: u32,
    /// `task_struct.comm`, NUL-terminated.
    pub comm: [u8; 16],
}

/// A process executed a program with a network socket among its standard streams.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug)]
pub struct ExecRecord {
    /// `kind` is [`KIND_EXEC`].
    pub header: RecordHeader,
    /// Nanoseconds since boot at which the process started.
    pub start_ns: u64,
    /// Effective capabilities, bit by bit.
    pub cap_effective: u64,
    /// kernfs id of the cgroup that [`ExecRecord::cgroup_len`] names.
    pub cgroup_id: u64,
    /// Inode of the executed file.
    pub exe_inode: u64,
    /// Process id in the initial PID namespace.
    pub tgid: u32,
    /// Device of the executed file, kernel's internal form.
    pub exe_dev: u32,
    /// Real, effective ids.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Mount namespace (inode number).
    pub mnt_ns: u32,
    /// PID namespace for children (inode number).
    pub pid_ns: u32,
    /// Network namespace (inode number).
    pub net_ns: u32,
    /// User namespace (inode number).
    pub user_ns: u32,
    /// Owner of the executed file.
    pub exe_uid: u32,
    /// Bits of [`exec_flag`].
    pub flags: u32,
    /// Bits of [`reason`].
    pub reason: u32,
    /// What the kernel side took the file for, one of [`file_kind`]; it asks only for execs on pipes.
    pub exe_kind: u32,
    /// The executed file as a key of `FILES`.
    pub exe_key: FileKey,
    /// `task_struct.comm`, NUL-terminated.
    pub comm: [u8; 16],
    /// Bytes in the tail: components of the executed file's path, leaf first, each NUL-terminated.
    pub path_len: u32,
    /// Bytes in the tail: components of the working directory, leaf first, each NUL-terminated.
    pub cwd_len: u32,
    /// Bytes in the tail: arguments, each NUL-terminated.
    pub argv_len: u32,
    /// Bytes in the tail: the name given to exec, NUL-terminated; present when an interpreter runs a script.
    pub script_len: u32,
    /// Bytes in the tail: the cgroup's leaf name, NUL-terminated.
    pub cgroup_len: u32,
    /// Bytes in the tail: the name of the cgroup above it, NUL-terminated.
    pub cgroup_parent_len: u32,
    /// Bytes in the tail: [`StreamRecord`]s of network sockets of the parent with a peer, looked for unless one of the
    /// streams is one. `parent_fds` has the bit of the descriptor.
    pub held_len: u32,
    /// Zero.
    pub reserved: u32,
    /// stdin, stdout, stderr.
    pub streams: [StreamRecord; 3],
    /// The parent first.
    pub ancestors: [AncestorRecord; ANCESTORS_MAX],
}

/// Something that a process did, of which the kind says all.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug)]
pub struct ProcessRecord {
    /// `kind` is [`KIND_CONNECT`] or [`KIND_MOVED`].
    pub header: RecordHeader,
    /// Nanoseconds since boot at which the process started.
    pub start_ns: u64,
    /// Process id in the initial PID namespace.
    pub tgid: u32,
    /// Zero.
    pub reserved: u32,
}

/// An open file, as the iterator over all of them gives it. Only what a byte can travel through is given: sockets, pipes,
/// terminals.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug)]
pub struct OpenFileRecord {
    /// Nanoseconds since boot at which the process started.
    pub start_ns: u64,
    /// Process id in the initial PID namespace.
    pub tgid: u32,
    /// Process id of its parent.
    pub parent: u32,
    /// Descriptor.
    pub fd: u32,
    /// Zero.
    pub reserved: u32,
    /// `task_struct.comm`, NUL-terminated.
    pub comm: [u8; 16],
    /// The file.
    pub file: StreamRecord,
}

/// A process that an exec record spoke of (or the parent that holds its socket) ended.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug)]
pub struct ExitRecord {
    /// `kind` is [`KIND_EXIT`].
    pub header: RecordHeader,
    /// Nanoseconds since boot at which the process started.
    pub start_ns: u64,
    /// Process id in the initial PID namespace.
    pub tgid: u32,
    /// Wait status, as `wait(2)` gives it.
    pub status: u32,
}

/// A TCP-like socket that an exec record spoke of reached the state CLOSE.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug)]
pub struct SocketCloseRecord {
    /// `kind` is [`KIND_SOCKET_CLOSE`].
    pub header: RecordHeader,
    /// Inode number of the socket, as in [`StreamRecord::inode`].
    pub inode: u64,
}

// The derive refuses implicit padding too, but the kernel side is built without it.
const _: () = {
    assert!(size_of::<RecordHeader>() == 16);
    assert!(size_of::<StreamRecord>() == 136);
    assert!(size_of::<AncestorRecord>() == 32);
    assert!(size_of::<FileKey>() == 32);
    assert!(size_of::<ExecRecord>() == 184 + 3 * 136 + ANCESTORS_MAX * 32);
    assert!(size_of::<ProcessRecord>() == 32);
    assert!(size_of::<OpenFileRecord>() == 40 + 136);
    assert!(size_of::<ExitRecord>() == 32);
    assert!(size_of::<SocketCloseRecord>() == 24);
};
