//! The kernel side. This file holds the entry points, whose names have at most the 15 bytes that the kernel keeps.
//!
//! - `exec` decides whether an exec matters and describes its process; `piped` chooses among execs on pipes; `program`
//!   describes the program and sends the record; `tail` appends to it, `path` walks dentries.
//! - `connect` looks at processes that connect, `files` lists open files, `wire` samples connections.
//! - `streams` classifies descriptors, `recent` is a negative cache, `maps` holds what is shared with user space.
//! - `kernel` is the one room for reads of kernel memory.
//!
//! Everything here has to pass the verifier of Linux 5.10. So loops have constant bounds, helpers are those of 5.8 or
//! older, and long-lived values stay in map memory: the verifier would follow a register anew for each range of its value.
//! No program calls a function of its own, for which reason every function is `#[inline(always)]`.
#![no_std]
#![no_main]

mod connect;
mod exec;
mod files;
mod kernel;
mod maps;
mod path;
mod piped;
mod program;
mod recent;
mod streams;
mod tail;
mod wire;

use aya_ebpf::{
    macros::{btf_tracepoint, cgroup_skb, fentry},
    programs::{BtfTracePointContext, FEntryContext, SkBuffContext},
};
use sensor_common::{
    record::direction,
    tcp_state::{CLOSE, ESTABLISHED, SYN_RECV, SYN_SENT},
};

use crate::kernel::{Bprm, File, Sock, Task};

/// Called when a process has taken over a new program and is about to run it: close-on-exec descriptors are gone, the
/// new address space with its arguments is in place.
///
/// ```c
/// // include/trace/events/sched.h, 3.4 to 7.3
/// TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)
/// ```
#[btf_tracepoint(function = "sched_process_exec")]
fn exec_streams(ctx: BtfTracePointContext) -> i32 {
    exec::observe(&ctx, Task::from_context(ctx.arg(0)), Bprm::from_context(ctx.arg(2)));
    0
}

/// Called as the tail of `exec_streams` when a stream is a pipe, a terminal or a UNIX socket. A tail gets its caller's
/// arguments and is not attached to anything.
#[btf_tracepoint(function = "sched_process_exec")]
fn exec_piped(ctx: BtfTracePointContext) -> i32 {
    piped::consider(&ctx, Task::from_context(ctx.arg(0)), Bprm::from_context(ctx.arg(2)));
    0
}

/// Called as the tail of `exec_streams` or of `exec_piped`.
#[btf_tracepoint(function = "sched_process_exec")]
fn exec_process(ctx: BtfTracePointContext) -> i32 {
    exec::describe_process(&ctx, Task::from_context(ctx.arg(0)));
    0
}

/// Called as the tail of `exec_process`.
#[btf_tracepoint(function = "sched_process_exec")]
fn exec_held(ctx: BtfTracePointContext) -> i32 {
    piped::describe_held(&ctx);
    0
}

/// Called as the tail of `exec_held`.
#[btf_tracepoint(function = "sched_process_exec")]
fn exec_program(ctx: BtfTracePointContext) -> i32 {
    program::describe(&ctx, Task::from_context(ctx.arg(0)), Bprm::from_context(ctx.arg(2)));
    0
}

/// Called when a thread ends; the last thread of a process finds no live one left.
///
/// ```c
/// // include/trace/events/sched.h, up to 6.15
/// TP_PROTO(struct task_struct *p)
/// // from 6.16 on; `group_dead` is not used here, so that one program serves both
/// TP_PROTO(struct task_struct *p, bool group_dead)
/// ```
#[btf_tracepoint(function = "sched_process_exit")]
fn process_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from_context(ctx.arg(0));
    if task.live_threads() == 0 {
        maps::process_ended(task.tgid(), task.exit_code());
    }
    0
}

/// Called on every state change of a TCP, SCTP, DCCP or multipath TCP socket.
///
/// ```c
/// // include/trace/events/sock.h, 4.16 to 7.3
/// TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)
/// ```
#[btf_tracepoint(function = "inet_sock_set_state")]
fn socket_state(ctx: BtfTracePointContext) -> i32 {
    let sock = Sock::from_context(ctx.arg(0));
    let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    match (old as u8, new as u8) {
        (_, SYN_SENT) => {
            maps::set_direction(sock, direction::OUTBOUND);
            connect::began(sock);
        }
        // A simultaneous open passes here too, after SYN_SENT: the first direction stands.
        (SYN_RECV, ESTABLISHED) => {
            maps::set_direction_if_unset(sock, direction::INBOUND);
            recent::invalidate();
        }
        (_, CLOSE) => maps::socket_closed(sock),
        _ => {}
    }
    0
}

/// Called when a process makes one of its open files another descriptor as well, by dup2 or dup3.
///
/// ```c
/// // fs/file.c, 5.10 to 7.3; static, so that a kernel may have it inlined
/// static int do_dup2(struct files_struct *files, struct file *file, unsigned fd, unsigned flags)
/// ```
#[fentry(function = "do_dup2")]
fn stream_moved(ctx: FEntryContext) -> i32 {
    connect::duplicated(File::from_context(ctx.arg(1)), ctx.arg(2));
    0
}

/// Called for every open file of every process when user space reads the iterator, and once more at the end of it.
///
/// The context is quoted at [`files::TaskFileContext`]. aya has no macro for iterators; this is how its other macros expand.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn open_files(ctx: *const files::TaskFileContext) -> i32 {
    files::write(ctx);
    0
}

/// Called for every packet that a socket below the cgroup is about to be given. The packet begins with its network header.
/// Lets every packet pass.
///
/// ```c
/// // net/core/filter.c, 4.10 to 7.3: sk_filter_trim_cap() calls BPF_CGROUP_RUN_PROG_INET_INGRESS(sk, skb)
/// // include/uapi/linux/bpf.h: the context
/// struct __sk_buff
/// ```
#[cgroup_skb(ingress)]
fn wire(ctx: SkBuffContext) -> i32 {
    const PASS: i32 = 1;

    wire::sample(&ctx);
    PASS
}

/// The programs call helpers that the kernel gives to GPL-compatible programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never reached: the code has no panicking path, and one would not pass the verifier.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
