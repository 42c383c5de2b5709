//! The iterator over all open files of the machine. User space runs it to learn which process holds the other end of a
//! stream, and which sockets that process holds.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_seq_write;
use sensor_common::record::{OpenFileRecord, StreamRecord, stream_kind};

use crate::{
    kernel::{self, Operations, Task, TypedFile, seq_of_iterator},
    maps, streams,
};

/// ```c
/// // kernel/bpf/task_iter.c, 5.8 to 7.3: DEFINE_BPF_ITER_FUNC(task_file, …); every member is padded to 8 bytes.
/// struct bpf_iter__task_file {
///     struct bpf_iter_meta *meta;
///     struct task_struct *task;
///     u32 fd;
///     struct file *file;
/// };
/// ```
#[repr(C)]
pub struct TaskFileContext {
    meta: *const u8,
    task: *const u8,
    fd: u32,
    file: *const u8,
}

/// Writes a record of one open file, if bytes can travel through it.
#[inline(always)]
pub fn write(ctx: *const TaskFileContext) {
    // SAFETY: the kernel's context for this kind of program; the verifier checks each access.
    let (meta, task, fd, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).fd, (*ctx).file) };
    // The last call of a run has neither a task nor a file.
    if task.is_null() || file.is_null() {
        return;
    }
    let (task, file) = (Task::from_context(task), TypedFile::from_context(file));
    let mut stream = StreamRecord::EMPTY;
    match kernel::operations(file.operations()) {
        Operations::Plain => return,
        // Most of what is open on a busy machine.
        Operations::Pipe => streams::describe_pipe(file, &mut stream),
        Operations::Socket | Operations::Unknown => {
            let file = file.untyped();
            if !streams::carries_bytes(file) {
                return;
            }
            if streams::describe(file, &mut stream).is_err() {
                maps::count(|counters| counters.read_failed_socket += 1);
            }
        }
    }
    if stream.kind == stream_kind::OTHER || stream.kind == stream_kind::OTHER_SOCKET {
        return;
    }
    let leader = task.group_leader();
    let record = OpenFileRecord {
        start_ns: leader.start_ns(),
        tgid: task.tgid(),
        parent: task.parent().tgid(),
        fd,
        reserved: 0,
        comm: leader.comm(),
        file: stream,
    };
    // SAFETY: `seq` is the iterator's own; the record is initialised to the last byte. A full buffer makes the kernel call
    // again with a larger one.
    unsafe {
        bpf_seq_write(
            seq_of_iterator(meta).cast_mut().cast(),
            (&raw const record).cast::<c_void>(),
            size_of::<OpenFileRecord>() as u32,
        );
    }
}
