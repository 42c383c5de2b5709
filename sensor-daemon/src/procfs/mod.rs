//! Every read of `/proc`: what processes there are, what each has open, what it may do, what it is called.
//!
//! Nothing here judges what it reads, and nothing remembers it: a question is answered as things are at this moment. `/proc`
//! names a process by a number that is given again, so an answer about a [`ProcessId`](crate::model::ProcessId) is checked against the
//! process's start. For example, [`is_alive`] is false for process 4711 if the number 4711 belongs to a younger process by now.
//!
//! A leaf: uses `model` alone.

mod clock;
mod describe;
mod listing;
mod mounts;
mod process;
mod rooted;
mod text;
mod user_ids;

pub use self::{
    clock::{boot_time, boot_unix_ns},
    describe::describe,
    listing::open_files,
    mounts::Mounts,
    process::{arguments, executable, holds_socket, identify, identify_with_parent, is_alive},
    rooted::{Root, open_regular},
    text::{namespace, sees_host_process_ids, text},
    user_ids::UidMap,
};
