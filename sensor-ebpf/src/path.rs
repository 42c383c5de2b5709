//! The name of a file as the process sees it, found by walking dentries up to the process's root directory.
//!
//! `bpf_d_path` is not offered to tracepoint programs, and user space would be too late: a program that lives for a
//! millisecond is gone when somebody looks at `/proc`. Components are written leaf first, each with its NUL; user space
//! turns them around.

use sensor_common::record::{NAME_MAX, PATH_DEPTH_MAX, PATH_MAX};

use crate::{
    kernel::{Fault, Path},
    tail::Tail,
};

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the process's root directory, or at the top of a mount tree that is not below it.
    Root,
    /// At a file without a place in any directory, such as a memfd.
    Detached,
    /// Before the top: too many components or bytes.
    Truncated,
    /// At a name or a link that could not be read.
    Fault,
}

/// Appends the components of `path` to the tail.
///
/// Where the walk is lies in map memory between two steps: in registers, each step would multiply the states that the
/// verifier has to follow.
#[inline(always)]
pub fn append(tail: &Tail, path: Path, root: Path) -> End {
    let limit = tail.len() + (PATH_MAX - NAME_MAX) as u64;
    tail.set_place(path);
    for _ in 0..PATH_DEPTH_MAX {
        let at = tail.place();
        if at == root {
            return End::Root;
        }
        if tail.len() > limit {
            return End::Truncated;
        }
        match step(tail, at) {
            Ok(Step::Up(next)) => tail.set_place(next),
            Ok(Step::Done(end)) => return end,
            Err(Fault) => return End::Fault,
        }
    }
    End::Truncated
}

enum Step {
    Up(Path),
    Done(End),
}

#[inline(always)]
fn step(tail: &Tail, at: Path) -> Result<Step, Fault> {
    if at.is_mount_root()? {
        let next = at.mountpoint()?;
        return Ok(if next.mount == at.mount {
            Step::Done(End::Root)
        } else {
            Step::Up(next)
        });
    }
    tail.append_str::<NAME_MAX>(at.name()?)?;
    let next = at.parent()?;
    Ok(if next.dentry == at.dentry {
        Step::Done(End::Detached)
    } else {
        Step::Up(next)
    })
}
