//! The name of a file as the process sees it, found by walking dentries up to the process's root directory.
//!
//! `bpf_d_path` is not offered to tracepoint programs, and user space would be too late: a program that lives for a
//! millisecond is gone when somebody looks at `/proc`. Components are written leaf first, each with its NUL; user space
//! turns them around.

use sensor_common::record::{NAME_MAX, PATH_DEPTH_MAX, PATH_MAX};

use crate::{
    exec::Tail,
    kernel::{Fault, Path},
    maps::Scratch,
};

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the process's root directory, or at the top of a mount tree that is not below it.
    Root,
    /// At a file without a place in any directory, such as a memfd.
    Detached,
    /// Before the top: too many components, or a name that could not be read.
    Truncated,
}

/// Appends the components of `path` to the tail.
#[inline(always)]
pub fn append(tail: &Tail, path: Path, root: Path) -> Result<End, Fault> {
    let scratch: *mut Scratch = tail.scratch();
    let limit = tail.len() + (PATH_MAX - NAME_MAX) as u64;
    // SAFETY: `scratch` is this CPU's map value. `at` lives there for the reason given at `tail_len`.
    unsafe { (*scratch).at = path };
    for _ in 0..PATH_DEPTH_MAX {
        // SAFETY: as above.
        let at = unsafe { core::ptr::read_volatile(&raw const (*scratch).at) };
        if at == root {
            return Ok(End::Root);
        }
        let next = if at.is_mount_root()? {
            let next = at.mountpoint()?;
            if next.mount == at.mount {
                return Ok(End::Root);
            }
            next
        } else {
            if tail.len() > limit {
                return Ok(End::Truncated);
            }
            tail.append_str::<NAME_MAX>(at.name()?)?;
            let next = at.parent()?;
            if next.dentry == at.dentry {
                return Ok(End::Detached);
            }
            next
        };
        // SAFETY: as above.
        unsafe { (*scratch).at = next };
    }
    Ok(End::Truncated)
}
