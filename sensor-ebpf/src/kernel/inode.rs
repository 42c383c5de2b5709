//! Inodes.

use super::read::{Fault, offset, probe, probe_or_zero};

/// Mode and device number of an inode, as far as the hot path looks.
#[derive(Clone, Copy)]
pub struct FileType {
    pub mode: u16,
    pub rdev: u32,
}

/// `struct inode`, by address.
#[derive(Clone, Copy)]
pub struct Inode(pub(super) u64);

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
