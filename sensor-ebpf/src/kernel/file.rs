//! Descriptor tables, open files, inodes, paths.

use core::ptr;

use sensor_common::record::FileKey;

use super::{Fault, OFFSETS, Sock, direct, offset, probe, probe_or_zero};

/// `struct files_struct`, typed.
#[derive(Clone, Copy)]
pub struct Files(pub(super) *const u8);

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
    /// By loads alone while the table is the embedded one.
    #[inline(always)]
    pub fn standard_stream_operations(self) -> Result<[u64; 3], Fault> {
        let (descriptors, _) = self.table().ok_or(Fault)?;
        if self.is_embedded(descriptors) {
            let operations = |fd| self.embedded(fd).1;
            return Ok([operations(0), operations(1), operations(2)]);
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

    /// Whether this array of descriptors is the one of 64 (`NR_OPEN_DEFAULT`) that is part of `files_struct`, where the
    /// verifier can follow its entries. A process that ever held descriptor 64 or higher, as every child of a bash script
    /// did, has another.
    #[inline(always)]
    pub fn is_embedded(self, descriptors: u64) -> bool {
        descriptors == self.0 as u64 + u64::from(offset!(files_fd_array))
    }

    /// An entry of the embedded array and its operations; zeros where closed (a load through null reads as zero).
    #[inline(always)]
    pub fn embedded(self, fd: u32) -> (File, u64) {
        let file: *const u8 = direct(self.0, offset!(files_fd_array) + fd * 8);
        (File(file as u64), direct(file, offset!(file_op)))
    }

    /// Which entries of the embedded array are open, bit by bit.
    #[inline(always)]
    pub fn embedded_open(self) -> u64 {
        direct(self.0, offset!(files_open_fds))
    }

    /// Which of the first 128 entries are open, bit by bit, in an array of `size`, which is a multiple of 64.
    #[inline(always)]
    pub fn open(self, size: u32) -> [u64; 2] {
        let table: *const u8 = direct(self.0, offset!(files_fdt));
        let words: u64 = direct(table, offset!(fdt_open_fds));
        if size < 128 {
            [probe_or_zero(words, 0), 0]
        } else {
            probe_or_zero(words, 0)
        }
    }
}

/// `struct file`, typed: of a program that runs or is about to, or as an iterator gives it. All by loads alone.
#[derive(Clone, Copy)]
pub struct TypedFile(pub(super) *const u8);

impl TypedFile {
    #[inline(always)]
    pub fn from_context(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// The same by address.
    #[inline(always)]
    pub fn untyped(self) -> File {
        File(self.0 as u64)
    }

    /// Address of its `struct file_operations`.
    #[inline(always)]
    pub fn operations(self) -> u64 {
        direct(self.0, offset!(file_op))
    }

    /// `FMODE_READ` (1) and `FMODE_WRITE` (2).
    #[inline(always)]
    pub fn access(self) -> u8 {
        (direct::<u32>(self.0, offset!(file_mode)) & 3) as u8
    }

    #[inline(always)]
    pub fn inode_number(self) -> u64 {
        direct(self.inode(), offset!(inode_ino))
    }

    /// Device and magic number of its file system.
    #[inline(always)]
    pub fn file_system(self) -> (u32, u64) {
        let sb: *const u8 = direct(self.inode(), offset!(inode_sb));
        (direct(sb, offset!(sb_dev)), direct(sb, offset!(sb_magic)))
    }

    #[inline(always)]
    fn inode(self) -> *const u8 {
        direct(self.0, offset!(file_inode))
    }

    /// What tells this file from others at this moment, and from itself before it was written to: a single cache line of its
    /// inode, and the inode's address instead of the file system.
    #[inline(always)]
    pub fn at_this_moment(self) -> Momentary {
        let inode = self.inode();
        Momentary {
            inode: inode as u64,
            number: direct(inode, offset!(inode_ino)),
            size: direct(inode, offset!(inode_size)),
            changed: direct(inode, offset!(inode_changed)),
        }
    }

    /// Fills in what tells this file from others, and from itself before it was written to.
    #[inline(always)]
    pub fn key(self, key: &mut FileKey) {
        let inode = self.inode();
        let sb: *const u8 = direct(inode, offset!(inode_sb));
        key.inode = direct(inode, offset!(inode_ino));
        key.size = direct(inode, offset!(inode_size));
        key.changed = direct(inode, offset!(inode_changed));
        key.device = direct(sb, offset!(sb_dev));
        key.reserved = 0;
    }
}

/// See [`TypedFile::at_this_moment`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Momentary {
    pub inode: u64,
    pub number: u64,
    pub size: u64,
    pub changed: u64,
}

/// Mode and device number of an inode, as far as the hot path looks.
#[derive(Clone, Copy)]
pub struct FileType {
    pub mode: u16,
    pub rdev: u32,
}

/// What a file's operations (`f_op`) tell of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// Closed, a regular file, or a memory device such as `/dev/null`.
    Plain,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// Its inode has to be asked.
    Unknown,
}

/// Operations of regular files and memory devices that are remembered: `/dev/null` and a few file systems.
const PLAIN_MAX: usize = 4;

/// Addresses of the operations that were seen to serve files of one type alone: `socket_file_ops`, `pipefifo_fops`, and
/// what file systems and drivers/char/mem.c have. BTF does not tell them. Zero until the first such file was seen; the
/// self-test at start shows the programs a socket. A terminal's are not among them: `tty_fops` serves consoles as well,
/// and a hang-up exchanges them.
struct Learned {
    socket: u64,
    pipe: u64,
    plain: [u64; PLAIN_MAX],
}

static mut LEARNED: Learned = Learned {
    socket: 0,
    pipe: 0,
    plain: [0; PLAIN_MAX],
};

/// What every socket's file has for operations, and no other; zero until that is known.
#[inline(always)]
pub fn socket_operations() -> u64 {
    // SAFETY: an aligned word that only ever goes from zero to one value.
    unsafe { ptr::read_volatile(&raw const LEARNED.socket) }
}

/// What these operations are known to be.
#[inline(always)]
pub fn operations(address: u64) -> Operations {
    if address == 0 {
        return Operations::Plain;
    }
    if address == socket_operations() {
        return Operations::Socket;
    }
    // SAFETY: aligned words, each of which only ever goes from zero to one value.
    unsafe {
        if address == ptr::read_volatile(&raw const LEARNED.pipe) {
            return Operations::Pipe;
        }
        for index in 0..PLAIN_MAX {
            if address == ptr::read_volatile((&raw const LEARNED.plain).cast::<u64>().add(index)) {
                return Operations::Plain;
            }
        }
    }
    Operations::Unknown
}

/// Remembers the operations of a file whose type is known. Two CPUs that do it at once leave a word with the one or the
/// other, or the same in two.
#[inline(always)]
pub fn learn(file: File, what: Operations) {
    let operations = file.operations();
    // SAFETY: as above.
    unsafe {
        match what {
            Operations::Socket => ptr::write_volatile(&raw mut LEARNED.socket, operations),
            Operations::Pipe => ptr::write_volatile(&raw mut LEARNED.pipe, operations),
            Operations::Plain => {
                for index in 0..PLAIN_MAX {
                    let place = (&raw mut LEARNED.plain).cast::<u64>().add(index);
                    if ptr::read_volatile(place) == 0 {
                        ptr::write_volatile(place, operations);
                        break;
                    }
                }
            }
            Operations::Unknown => {}
        }
    }
}

/// `struct file`, by address; null for a closed descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct File(pub u64);

impl File {
    #[inline(always)]
    pub fn from_context(pointer: *const u8) -> Self {
        Self(pointer as u64)
    }

    #[inline(always)]
    pub fn inode(self) -> Result<Inode, Fault> {
        probe(self.0, offset!(file_inode)).map(Inode)
    }

    /// Eight entries of an array of descriptors, from `fd` on; null where closed.
    #[inline(always)]
    pub fn entries(descriptors: u64, fd: u32) -> [Self; 8] {
        probe_or_zero::<[u64; 8]>(descriptors, fd * 8).map(Self)
    }

    /// Address of its `struct file_operations`; zero for a closed descriptor.
    #[inline(always)]
    pub fn operations(self) -> u64 {
        if self.0 == 0 {
            0
        } else {
            probe_or_zero(self.0, offset!(file_op))
        }
    }

    #[inline(always)]
    pub fn file_type(self) -> FileType {
        let none = FileType { mode: 0, rdev: 0 };
        if self.0 == 0 {
            return none;
        }
        match self.inode() {
            Ok(inode) => FileType {
                mode: inode.mode().unwrap_or(0),
                rdev: inode.rdev(),
            },
            Err(Fault) => none,
        }
    }

    /// The slave's inode, if this is the master side of a pseudo-terminal. `ptmx_open` of drivers/tty/pty.c puts the
    /// dentry of the slave's node into the slave's `driver_data`.
    #[inline(always)]
    pub fn terminal_slave(self) -> Result<Inode, Fault> {
        let private: u64 = probe(self.0, offset!(file_private_data))?;
        let master: u64 = probe(private, offset!(tty_of_file))?;
        let slave: u64 = probe(master, offset!(tty_link))?;
        let dentry: u64 = probe(slave, offset!(tty_driver_data))?;
        probe(dentry, offset!(dentry_inode)).map(Inode)
    }

    /// `FMODE_READ` (1) and `FMODE_WRITE` (2).
    #[inline(always)]
    pub fn access(self) -> u8 {
        (probe_or_zero::<u32>(self.0, offset!(file_mode)) & 3) as u8
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
        probe_or_zero(self.0, offset!(inode_ino))
    }

    #[inline(always)]
    pub fn rdev(self) -> u32 {
        probe_or_zero(self.0, offset!(inode_rdev))
    }

    #[inline(always)]
    pub fn links(self) -> Result<u32, Fault> {
        probe(self.0, offset!(inode_nlink))
    }

    #[inline(always)]
    pub fn owner(self) -> u32 {
        probe_or_zero(self.0, offset!(inode_uid))
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
    pub(super) fn read(base: u64, offset: u32) -> Result<Self, Fault> {
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
