//! The room for unsafe reads of kernel memory. Each small `Copy` type names what it reads.
//!
//! Two ways to read:
//! - [`read::direct`]: a plain load through a pointer that the verifier knows the type of. An offset that does not fit that
//!   type is refused at load. Cheapest; a fault reads as zero.
//! - [`read::probe`]: `bpf_probe_read_kernel` through an address that is a mere number to the verifier. A wrong offset would
//!   go unnoticed, which is what the self-test at start is for.
//!
//! A pointer obtained by `direct` stays typed. One obtained by `probe` (or through `void *` and `T **` members, which the
//! verifier does not follow) is an address.

mod clock;
mod file;
mod inode;
mod operations;
mod path;
mod read;
mod sock;
mod task;

pub use self::{
    clock::{now, tick},
    file::{File, Files, Momentary, TypedFile, seq_of_iterator},
    inode::FileType,
    operations::{Operations, learn, operations, socket_operations},
    path::Path,
    read::{Fault, copy, copy_str, copy_user, zero},
    sock::Sock,
    task::{Bprm, CgroupNode, Current, Task},
};
