//! The one unsafe room: reads of kernel memory, each behind a small `Copy` type that names what it reads.
//!
//! Two ways to read:
//! - [`direct`]: a plain load through a pointer that the verifier knows the type of. An offset that does not fit that
//!   type is refused at load. Cheapest; a fault reads as zero.
//! - [`probe`]: `bpf_probe_read_kernel` through an address that is a mere number to the verifier. A wrong offset would
//!   go unnoticed, which is what the self-test at start is for.
//!
//! A pointer obtained by `direct` stays typed. One obtained by `probe` (or through `void *` and `T **` members, which the
//! verifier does not follow) is an address.

use core::ptr;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user};
use sensor_common::offsets::{EnumValues, MISSING, Offsets, bitfield_parts};

/// Filled by user space before load. Volatile reads keep the compiler from folding the poison in; the verifier sees
/// constants all the same, since `.rodata` is frozen.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::POISONED;

#[unsafe(no_mangle)]
static ENUMS: EnumValues = EnumValues {
    pids_cgroup: MISSING,
    memory_cgroup: MISSING,
};

macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a static of this very type, aligned and initialised.
        unsafe { ptr::read_volatile(&raw const OFFSETS.$field) }
    };
}

/// A kernel read that failed.
pub struct Fault;

/// Loads a `T` at `base + offset` through a typed pointer.
#[inline(always)]
fn direct<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: the verifier proves that `base` points to a kernel object with a member of this size at this offset; the
    // kernel turns a fault into zero.
    unsafe { ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
}

/// Copies a `T` from `address + offset`.
#[inline(always)]
fn probe<T: Copy>(address: u64, offset: u32) -> Result<T, Fault> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the destination is a local of that size; the helper checks the source and reports a fault.
    unsafe {
        let failed = bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            (address + u64::from(offset)) as *const _,
        );
        if failed != 0 {
            Err(Fault)
        } else {
            Ok(value.assume_init())
        }
    }
}

/// Copies `size` bytes of kernel memory.
///
/// # Safety
/// `destination` has room for `size` bytes, and the verifier can see that.
#[inline(always)]
pub unsafe fn copy(destination: *mut u8, size: u32, address: u64) -> Result<(), Fault> {
    // SAFETY: as the caller vouches; the helper checks the source.
    let failed = unsafe { bpf_probe_read_kernel(destination.cast(), size, address as *const _) };
    if failed != 0 { Err(Fault) } else { Ok(()) }
}

/// Copies a NUL-terminated string of the kernel's, at most `size` bytes with the NUL; returns how many were written.
///
/// # Safety
/// `destination` has room for `size` bytes, and the verifier can see that.
#[inline(always)]
pub unsafe fn copy_str(destination: *mut u8, size: u32, address: u64) -> Result<u64, Fault> {
    // SAFETY: as the caller vouches; the helper checks the source.
    let written = unsafe { bpf_probe_read_kernel_str(destination.cast(), size, address as *const _) };
    // Both comparisons are for the verifier, which takes the result for any number.
    if written <= 0 || written as u64 > u64::from(size) {
        Err(Fault)
    } else {
        Ok(written as u64)
    }
}

/// Copies `size` bytes of the current process's memory.
///
/// # Safety
/// `destination` has room for `size` bytes, and the verifier can see that.
#[inline(always)]
pub unsafe fn copy_user(destination: *mut u8, size: u32, address: u64) -> Result<(), Fault> {
    // SAFETY: as the caller vouches; the helper checks the source.
    let failed = unsafe { bpf_probe_read_user(destination.cast(), size, address as *const _) };
    if failed != 0 { Err(Fault) } else { Ok(()) }
}

/// `struct task_struct`, typed.
#[derive(Clone, Copy)]
pub struct Task(*const u8);

impl Task {
    #[inline(always)]
    pub fn from_context(pointer: *const u8) -> Self {
        Self(pointer)
    }

    #[inline(always)]
    pub fn tgid(self) -> u32 {
        direct(self.0, offset!(task_tgid))
    }

    /// Start of this thread; of the process, if this is the group leader (as a thread that exec'd always is).
    #[inline(always)]
    pub fn start_ns(self) -> u64 {
        direct(self.0, offset!(task_start_boottime))
    }

    #[inline(always)]
    pub fn exit_code(self) -> u32 {
        direct(self.0, offset!(task_exit_code))
    }

    /// `signal->live`: threads that have not begun to exit.
    #[inline(always)]
    pub fn live_threads(self) -> u32 {
        direct(direct(self.0, offset!(task_signal)), offset!(signal_live))
    }

    #[inline(always)]
    pub fn parent(self) -> Self {
        Self(direct(self.0, offset!(task_real_parent)))
    }

    #[inline(always)]
    pub fn group_leader(self) -> Self {
        Self(direct(self.0, offset!(task_group_leader)))
    }

    #[inline(always)]
    pub fn comm(self) -> [u8; 16] {
        probe(self.0 as u64, offset!(task_comm)).unwrap_or([0; 16])
    }

    #[inline(always)]
    pub fn files(self) -> Files {
        Files(direct(self.0, offset!(task_files)))
    }

    #[inline(always)]
    pub fn cred(self) -> Cred {
        Cred(direct(self.0, offset!(task_cred)))
    }

    /// First and one-past-last address of the arguments.
    #[inline(always)]
    pub fn arguments(self) -> (u64, u64) {
        let mm: *const u8 = direct(self.0, offset!(task_mm));
        (direct(mm, offset!(mm_arg_start)), direct(mm, offset!(mm_arg_end)))
    }

    /// The root directory of this process.
    #[inline(always)]
    pub fn root(self) -> Result<Path, Fault> {
        let fs: *const u8 = direct(self.0, offset!(task_fs));
        Path::read(fs as u64, offset!(fs_root))
    }

    /// The working directory of this process.
    #[inline(always)]
    pub fn cwd(self) -> Result<Path, Fault> {
        let fs: *const u8 = direct(self.0, offset!(task_fs));
        Path::read(fs as u64, offset!(fs_pwd))
    }

    /// Mount, PID and network namespace, by inode number.
    #[inline(always)]
    pub fn namespaces(self) -> (u32, u32, u32) {
        let proxy: *const u8 = direct(self.0, offset!(task_nsproxy));
        let mnt: *const u8 = direct(proxy, offset!(nsproxy_mnt));
        let pid: *const u8 = direct(proxy, offset!(nsproxy_pid));
        let net: *const u8 = direct(proxy, offset!(nsproxy_net));
        (
            probe(mnt as u64, offset!(mnt_ns_inum)).unwrap_or(0),
            probe(pid as u64, offset!(pid_ns_inum)).unwrap_or(0),
            probe(net as u64, offset!(net_inum)).unwrap_or(0),
        )
    }

    /// The process's cgroup: of the unified hierarchy, or, where that one is not used for containers (cgroup v1 and
    /// hybrid hosts leave everything in its root), of the pids or memory controller.
    #[inline(always)]
    pub fn cgroup(self) -> Option<CgroupNode> {
        let css_set: *const u8 = direct(self.0, offset!(task_cgroups));
        let css_set = css_set as u64;
        let unified = CgroupNode::of(probe(css_set, offset!(css_set_dfl_cgrp)).ok()?)?;
        if !unified.is_root() {
            return Some(unified);
        }
        // SAFETY: a static of this very type, aligned and initialised.
        let (pids, memory) = unsafe {
            (
                ptr::read_volatile(&raw const ENUMS.pids_cgroup),
                ptr::read_volatile(&raw const ENUMS.memory_cgroup),
            )
        };
        let index = if pids != MISSING { pids } else { memory };
        if index == MISSING {
            return Some(unified);
        }
        let css: u64 = probe(css_set, offset!(css_set_subsys) + index * 8).ok()?;
        CgroupNode::of(probe(css, offset!(css_cgroup)).ok()?)
    }
}

/// `struct kernfs_node` of a cgroup directory, by address.
#[derive(Clone, Copy)]
pub struct CgroupNode(u64);

impl CgroupNode {
    #[inline(always)]
    fn of(cgroup: u64) -> Option<Self> {
        probe(cgroup, offset!(cgroup_kn)).ok().map(Self)
    }

    #[inline(always)]
    fn is_root(self) -> bool {
        self.parent().is_none()
    }

    #[inline(always)]
    pub fn parent(self) -> Option<Self> {
        match probe::<u64>(self.0, offset!(kernfs_parent)) {
            Ok(parent) if parent != 0 => Some(Self(parent)),
            _ => None,
        }
    }

    #[inline(always)]
    pub fn id(self) -> u64 {
        probe(self.0, offset!(kernfs_id)).unwrap_or(0)
    }

    /// Address of its NUL-terminated name.
    #[inline(always)]
    pub fn name(self) -> Result<u64, Fault> {
        probe(self.0, offset!(kernfs_name))
    }
}

/// `struct cred`, typed.
#[derive(Clone, Copy)]
pub struct Cred(*const u8);

impl Cred {
    #[inline(always)]
    pub fn uid(self) -> u32 {
        direct(self.0, offset!(cred_uid))
    }

    #[inline(always)]
    pub fn gid(self) -> u32 {
        direct(self.0, offset!(cred_gid))
    }

    #[inline(always)]
    pub fn euid(self) -> u32 {
        direct(self.0, offset!(cred_euid))
    }

    #[inline(always)]
    pub fn egid(self) -> u32 {
        direct(self.0, offset!(cred_egid))
    }

    /// `kernel_cap_t` was an array of two words up to 6.2 and is one long since; little endian makes them the same.
    #[inline(always)]
    pub fn cap_effective(self) -> u64 {
        probe(self.0 as u64, offset!(cred_cap_effective)).unwrap_or(0)
    }

    #[inline(always)]
    pub fn user_ns(self) -> u32 {
        let user_ns: *const u8 = direct(self.0, offset!(cred_user_ns));
        probe(user_ns as u64, offset!(user_ns_inum)).unwrap_or(0)
    }
}

/// `struct files_struct`, typed.
#[derive(Clone, Copy)]
pub struct Files(*const u8);

impl Files {
    /// Address of the array of `struct file *`, and how many it has. None if the process is past closing its files.
    #[inline(always)]
    pub fn table(self) -> Option<(u64, u32)> {
        if self.0.is_null() {
            return None;
        }
        let table: *const u8 = direct(self.0, offset!(files_fdt));
        let descriptors: u64 = direct(table, offset!(fdt_fd));
        let size: u32 = direct(table, offset!(fdt_max_fds));
        (descriptors != 0).then_some((descriptors, size))
    }

    /// Descriptors 0, 1 and 2; null where closed. A table has 64 at least (`NR_OPEN_DEFAULT`).
    #[inline(always)]
    pub fn standard_streams(self) -> Result<[File; 3], Fault> {
        let (descriptors, _) = self.table().ok_or(Fault)?;
        probe(descriptors, 0)
    }

    /// Operations (`struct file_operations *`) of descriptors 0, 1 and 2; zero where closed.
    ///
    /// By loads alone while the table is the one that is part of `files_struct` (a load through null reads as zero).
    /// A process that ever held descriptor 64 or higher, as every child of a bash script did, has another table, which
    /// the verifier can't follow.
    #[inline(always)]
    pub fn standard_stream_operations(self) -> Result<[u64; 3], Fault> {
        let (descriptors, _) = self.table().ok_or(Fault)?;
        let embedded = offset!(files_fd_array);
        if descriptors == self.0 as u64 + u64::from(embedded) {
            let operations = |offset| direct(direct::<*const u8>(self.0, offset), offset!(file_op));
            return Ok([
                operations(embedded),
                operations(embedded + 8),
                operations(embedded + 16),
            ]);
        }
        let [stdin, stdout, stderr]: [File; 3] = probe(descriptors, 0)?;
        let of_stdin = stdin.operations();
        let of_stdout = if stdout == stdin { of_stdin } else { stdout.operations() };
        let of_stderr = if stderr == stdout {
            of_stdout
        } else {
            stderr.operations()
        };
        Ok([of_stdin, of_stdout, of_stderr])
    }
}

/// Address of `socket_file_ops`, the operations of every socket's file and of no other; zero until the first socket was
/// seen. BTF does not tell it; the self-test at start shows the programs a socket.
static mut SOCKET_OPERATIONS: u64 = 0;

/// What every socket's file has for operations, once that is known.
#[inline(always)]
pub fn socket_operations() -> u64 {
    // SAFETY: an aligned word that only ever goes from zero to one value.
    unsafe { ptr::read_volatile(&raw const SOCKET_OPERATIONS) }
}

/// Learns it from a file that is a socket for sure.
#[inline(always)]
pub fn learn_socket_operations(socket: File) {
    // SAFETY: as above.
    unsafe { ptr::write_volatile(&raw mut SOCKET_OPERATIONS, socket.operations()) }
}

/// `struct file`, by address; null for a closed descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct File(pub u64);

impl File {
    #[inline(always)]
    pub fn inode(self) -> Result<Inode, Fault> {
        probe(self.0, offset!(file_inode)).map(Inode)
    }

    /// Address of its `struct file_operations`; zero for a closed descriptor.
    #[inline(always)]
    pub fn operations(self) -> u64 {
        if self.0 == 0 {
            0
        } else {
            probe(self.0, offset!(file_op)).unwrap_or(0)
        }
    }

    /// `FMODE_READ` (1) and `FMODE_WRITE` (2).
    #[inline(always)]
    pub fn access(self) -> u8 {
        (probe::<u32>(self.0, offset!(file_mode)).unwrap_or(0) & 3) as u8
    }

    #[inline(always)]
    pub fn path(self) -> Result<Path, Fault> {
        Path::read(self.0, offset!(file_path))
    }

    /// The socket, if this is one in use. A path descriptor (`O_PATH`) of a unix socket's file has none.
    #[inline(always)]
    pub fn socket(self) -> Result<Option<Sock>, Fault> {
        let socket: u64 = probe(self.0, offset!(file_private_data))?;
        if socket == 0 || probe::<u64>(socket, offset!(socket_file))? != self.0 {
            return Ok(None);
        }
        let sock: u64 = probe(socket, offset!(socket_sk))?;
        Ok((sock != 0).then_some(Sock(sock)))
    }
}

/// `struct inode`, by address.
#[derive(Clone, Copy)]
pub struct Inode(u64);

impl Inode {
    #[inline(always)]
    pub fn mode(self) -> Result<u16, Fault> {
        probe(self.0, offset!(inode_mode))
    }

    #[inline(always)]
    pub fn number(self) -> u64 {
        probe(self.0, offset!(inode_ino)).unwrap_or(0)
    }

    #[inline(always)]
    pub fn rdev(self) -> u32 {
        probe(self.0, offset!(inode_rdev)).unwrap_or(0)
    }

    #[inline(always)]
    pub fn links(self) -> Result<u32, Fault> {
        probe(self.0, offset!(inode_nlink))
    }

    #[inline(always)]
    pub fn owner(self) -> u32 {
        probe(self.0, offset!(inode_uid)).unwrap_or(0)
    }

    /// Device and magic number of its file system.
    #[inline(always)]
    pub fn file_system(self) -> Result<(u32, u64), Fault> {
        let sb: u64 = probe(self.0, offset!(inode_sb))?;
        Ok((probe(sb, offset!(sb_dev))?, probe(sb, offset!(sb_magic))?))
    }
}

/// `struct path` with the vfsmount turned into the `struct mount` around it; both by address.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Path {
    pub mount: u64,
    pub dentry: u64,
}

impl Path {
    #[inline(always)]
    fn read(base: u64, offset: u32) -> Result<Self, Fault> {
        let vfsmount: u64 = probe(base, offset + offset!(path_mnt))?;
        let dentry: u64 = probe(base, offset + offset!(path_dentry))?;
        Ok(Self {
            mount: vfsmount - u64::from(offset!(mount_mnt)),
            dentry,
        })
    }

    /// Whether it is the top of its mount.
    #[inline(always)]
    pub fn is_mount_root(self) -> Result<bool, Fault> {
        Ok(probe::<u64>(self.mount, offset!(mount_mnt) + offset!(vfsmount_root))? == self.dentry)
    }

    /// Where its mount is mounted; itself for the first mount of all.
    #[inline(always)]
    pub fn mountpoint(self) -> Result<Self, Fault> {
        Ok(Self {
            mount: probe(self.mount, offset!(mount_parent))?,
            dentry: probe(self.mount, offset!(mount_mountpoint))?,
        })
    }

    /// The directory above it in its file system; itself for a dentry that has none.
    #[inline(always)]
    pub fn parent(self) -> Result<Self, Fault> {
        Ok(Self {
            mount: self.mount,
            dentry: probe(self.dentry, offset!(dentry_parent))?,
        })
    }

    /// Address of its NUL-terminated name.
    #[inline(always)]
    pub fn name(self) -> Result<u64, Fault> {
        probe(self.dentry, offset!(dentry_name))
    }
}

/// `struct linux_binprm`, typed.
#[derive(Clone, Copy)]
pub struct Bprm(*const u8);

impl Bprm {
    #[inline(always)]
    pub fn from_context(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// The file that runs: for a script, its interpreter.
    #[inline(always)]
    pub fn file(self) -> File {
        File(direct(self.0, offset!(bprm_file)))
    }

    /// Address of the name given to exec, if another file runs than that name says (`#!`, binfmt_misc).
    #[inline(always)]
    pub fn script_name(self) -> Option<u64> {
        let filename: u64 = direct(self.0, offset!(bprm_filename));
        let interpreter: u64 = direct(self.0, offset!(bprm_interp));
        (filename != interpreter).then_some(filename)
    }
}

/// `struct sock`, by address.
#[derive(Clone, Copy)]
pub struct Sock(u64);

impl Sock {
    #[inline(always)]
    pub fn from_context(pointer: *const u8) -> Self {
        Self(pointer as u64)
    }

    /// What tells it apart from other sockets while it lives. Never leaves the kernel.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub fn family(self) -> Result<u16, Fault> {
        probe(self.0, offset!(sk_family))
    }

    #[inline(always)]
    pub fn state(self) -> u8 {
        probe(self.0, offset!(sk_state)).unwrap_or(0)
    }

    #[inline(always)]
    pub fn socket_type(self) -> u16 {
        probe(self.0, offset!(sk_type)).unwrap_or(0)
    }

    #[inline(always)]
    pub fn protocol(self) -> u16 {
        probe(self.0, offset!(sk_protocol)).unwrap_or(0)
    }

    #[inline(always)]
    pub fn cookie(self) -> u64 {
        probe(self.0, offset!(sk_cookie)).unwrap_or(0)
    }

    #[inline(always)]
    pub fn netns(self) -> u32 {
        match probe::<u64>(self.0, offset!(sk_net)) {
            Ok(net) => probe(net, offset!(net_inum)).unwrap_or(0),
            Err(Fault) => 0,
        }
    }

    /// Local and remote port, host byte order.
    #[inline(always)]
    pub fn ports(self) -> (u16, u16) {
        (
            probe(self.0, offset!(sk_num)).unwrap_or(0),
            u16::from_be(probe(self.0, offset!(sk_dport)).unwrap_or(0)),
        )
    }

    /// Local and remote IPv4 address, network byte order.
    #[inline(always)]
    pub fn ipv4(self) -> ([u8; 4], [u8; 4]) {
        (
            probe(self.0, offset!(sk_rcv_saddr)).unwrap_or([0; 4]),
            probe(self.0, offset!(sk_daddr)).unwrap_or([0; 4]),
        )
    }

    /// Local and remote IPv6 address.
    #[inline(always)]
    pub fn ipv6(self) -> ([u8; 16], [u8; 16]) {
        if offset!(sk_v6_daddr) == MISSING {
            return ([0; 16], [0; 16]);
        }
        (
            probe(self.0, offset!(sk_v6_rcv_saddr)).unwrap_or([0; 16]),
            probe(self.0, offset!(sk_v6_daddr)).unwrap_or([0; 16]),
        )
    }

    /// Local and remote vsock address, each context id and port; zeros where the kernel's BTF lacks vsock.
    #[inline(always)]
    pub fn vsock(self) -> ((u32, u32), (u32, u32)) {
        if offset!(vsock_remote_cid) == MISSING {
            return ((0, 0), (0, 0));
        }
        let local = (
            probe(self.0, offset!(vsock_local_cid)).unwrap_or(0),
            probe(self.0, offset!(vsock_local_port)).unwrap_or(0),
        );
        let remote = (
            probe(self.0, offset!(vsock_remote_cid)).unwrap_or(0),
            probe(self.0, offset!(vsock_remote_port)).unwrap_or(0),
        );
        (local, remote)
    }

    /// `SOCK_BINDPORT_LOCK` (8) of `sk_userlocks`: the program chose the local port.
    #[inline(always)]
    pub fn port_bound(self) -> bool {
        let packed = offset!(sk_userlocks);
        if packed == MISSING {
            return false;
        }
        let (byte, shift) = bitfield_parts(packed);
        probe::<u8>(self.0, byte).unwrap_or(0) >> (shift & 7) & 8 != 0
    }

    /// Bytes that a TCP socket has received.
    #[inline(always)]
    pub fn tcp_bytes_received(self) -> u64 {
        if offset!(tcp_bytes_received) == MISSING {
            return 0;
        }
        probe(self.0, offset!(tcp_bytes_received)).unwrap_or(0)
    }

    /// The socket at the other end of an AF_UNIX connection.
    #[inline(always)]
    pub fn unix_peer(self) -> Option<Self> {
        if offset!(unix_peer) == MISSING {
            return None;
        }
        match probe::<u64>(self.0, offset!(unix_peer)) {
            Ok(peer) if peer != 0 => Some(Self(peer)),
            _ => None,
        }
    }

    /// Inode number of the descriptor side, 0 once nobody holds it.
    #[inline(always)]
    pub fn inode_number(self) -> u64 {
        let Ok(socket) = probe::<u64>(self.0, offset!(sk_socket)) else {
            return 0;
        };
        if socket == 0 {
            return 0;
        }
        match probe::<u64>(socket, offset!(socket_file)) {
            Ok(file) if file != 0 => File(file).inode().map_or(0, Inode::number),
            _ => 0,
        }
    }
}
