//! Places in the tree of mounts and directories.

use super::read::{Fault, offset, probe};

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

    /// Whether it is the root of its mount.
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
