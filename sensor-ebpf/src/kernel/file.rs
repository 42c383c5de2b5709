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

    /// What descriptors 0, 1 and 2 are; zeros where closed. By loads alone in the same case.
    #[inline(always)]
    pub fn standard_stream_types(self) -> Result<[FileType; 3], Fault> {
        let (descriptors, _) = self.table().ok_or(Fault)?;
        let embedded = offset!(files_fd_array);
        if descriptors == self.0 as u64 + u64::from(embedded) {
            let type_of = |offset| {
                let file: *const u8 = direct(self.0, offset);
                let inode: *const u8 = direct(file, offset!(file_inode));
                FileType {
                    mode: direct(inode, offset!(inode_mode)),
                    rdev: direct(inode, offset!(inode_rdev)),
                }
            };
            return Ok([type_of(embedded), type_of(embedded + 8), type_of(embedded + 16)]);
        }
        let [stdin, stdout, stderr]: [File; 3] = probe(descriptors, 0)?;
        let of_stdin = stdin.file_type();
        let of_stdout = if stdout == stdin { of_stdin } else { stdout.file_type() };
        let of_stderr = if stderr == stdout {
            of_stdout
        } else {
            stderr.file_type()
        };
        Ok([of_stdin, of_stdout, of_stderr])
    }
}

/// `struct file` of a program that runs or is about to, typed.
#[derive(Clone, Copy)]
pub struct ExecutableFile(pub(super) *const u8);

impl ExecutableFile {
    /// Fills in what tells this file from others, and from itself before it was written to. By loads alone.
    #[inline(always)]
    pub fn key(self, key: &mut FileKey) {
        let inode: *const u8 = direct(self.0, offset!(file_inode));
        let sb: *const u8 = direct(inode, offset!(inode_sb));
        key.inode = direct(inode, offset!(inode_ino));
        key.size = direct(inode, offset!(inode_size));
        key.changed = direct(inode, offset!(inode_changed));
        key.device = direct(sb, offset!(sb_dev));
        key.reserved = 0;
    }
}

/// Mode and device number of an inode, as far as the hot path looks.
#[derive(Clone, Copy)]
pub struct FileType {
    pub mode: u16,
    pub rdev: u32,
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
    pub fn from_context(pointer: *const u8) -> Self {
        Self(pointer as u64)
    }

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
