//! Descriptor tables and open files.

use sensor_common::record::FileKey;

use super::{
    inode::{FileType, Inode},
    path::Path,
    read::{Fault, direct, offset, probe, probe_or_zero},
    sock::Sock,
};

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

/// The output of an iterator (`struct seq_file`), typed, from its `struct bpf_iter_meta`.
#[inline(always)]
pub fn seq_of_iterator(meta: *const u8) -> *const u8 {
    direct(meta, offset!(seq_of_iterator))
}
