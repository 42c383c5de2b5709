//! The first stage of an exec, which decides whether it matters, and the stage that describes its process. An exec matters
//! if a network socket is among its standard streams, or if `piped` finds another reason. `program` holds the last stage.
//!
//! Each stage is a program of its own, which the one before calls as a tail. In one program, what a stage leaves behind in
//! registers and on the stack would multiply the states in which the verifier has to follow the next stage, up to its limit
//! of a million instructions. The stages hand over through this CPU's scratch memory.

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use sensor_common::{
    record::{
        self, ANCESTORS_MAX, AncestorRecord, PARENT_FDS_MAX, StreamRecord, file_kind, process_mark, reason, stream_kind,
    },
    stage::Stage,
};

use crate::{
    kernel::{self, Bprm, Fault, File, Files, Operations, Task},
    maps::{self, FD_BLOCK, Handover, Scratch},
    piped::{self, Verdict},
    streams::{self, Kind},
};

/// First stage, the hot path: every exec on the machine pays for it.
#[inline(always)]
pub fn observe(ctx: &BtfTracePointContext, task: Task, bprm: Bprm) {
    let done = match look_at(task.files()) {
        Ok(Look::Plain) => return,
        Ok(Look::Piped { stdin }) => match piped::glance(task, bprm, stdin) {
            Verdict::Drop => return,
            verdict => hand_over(ctx, task, Stage::ConsiderPiped, stdin, verdict == Verdict::Shell),
        },
        Ok(Look::Network) => hand_over(ctx, task, Stage::DescribeProcess, false, false),
        Err(Fault) => Err(Fault),
    };
    if done.is_err() {
        maps::count(|counters| counters.read_failed_streams += 1);
        debug!(
            ctx,
            "exec of process {}: its descriptors could not be read",
            task.tgid()
        );
    }
}

/// What a look at the standard streams found.
enum Look {
    /// No stream carries bytes of another process.
    Plain,
    /// Pipes, UNIX sockets or pseudo-terminals are among them; `stdin` says whether the input is one.
    Piped { stdin: bool },
    /// A socket that can have a network peer is among them.
    Network,
}

#[inline(always)]
fn look_at(files: Files) -> Result<Look, Fault> {
    let operations = files.standard_stream_operations()?;
    if operations
        .iter()
        .all(|&address| kernel::operations(address) == Operations::Plain)
    {
        return Ok(Look::Plain);
    }
    let known = operations.map(kernel::operations);
    let stdin = if known.contains(&Operations::Unknown) || known.contains(&Operations::Socket) {
        let kinds = streams::kinds(&files.standard_streams()?, &operations)?;
        if kinds.contains(&Kind::Network) {
            return Ok(Look::Network);
        }
        if kinds == [Kind::Plain; 3] {
            return Ok(Look::Plain);
        }
        kinds[0] == Kind::Piped
    } else {
        known[0] == Operations::Pipe
    };
    Ok(Look::Piped { stdin })
}

/// Leaves to the next stage what it has to know and goes on with it. Returns only if that fails.
#[inline(always)]
fn hand_over(
    ctx: &BtfTracePointContext,
    task: Task,
    stage: Stage,
    stdin_is_piped: bool,
    parent_is_plain: bool,
) -> Result<(), Fault> {
    let files = task.files().standard_streams()?;
    if let Some(scratch) = maps::scratch() {
        // SAFETY: this CPU's map value; no other program uses it meanwhile.
        unsafe {
            (*scratch).handover = Handover {
                files,
                stdin_is_piped,
                parent_is_plain,
                reason: reason::SOCKET,
                exe_kind: file_kind::OTHER,
                held_count: 0,
            };
        }
        maps::next_stage(ctx, stage);
    }
    Ok(())
}

/// Describes the process, its streams and its ancestors.
#[inline(always)]
pub fn describe_process(ctx: &BtfTracePointContext, task: Task) {
    let Some(scratch) = maps::scratch() else { return };
    // SAFETY: this CPU's map value; no other program uses it meanwhile.
    let (record, handover) = unsafe { (&mut (*scratch).record, &(*scratch).handover) };
    let files = handover.files;
    record.reason = handover.reason;
    record.exe_kind = handover.exe_kind;

    record.header = maps::header(record::KIND_EXEC);
    record.tgid = task.tgid();
    record.start_ns = task.start_ns();
    record.comm = task.comm();
    let cred = task.cred();
    record.uid = cred.uid();
    record.gid = cred.gid();
    record.euid = cred.euid();
    record.egid = cred.egid();
    record.cap_effective = cred.cap_effective();
    record.user_ns = cred.user_ns();
    (record.mnt_ns, record.pid_ns, record.net_ns) = task.namespaces();

    let parent = task.parent();
    ancestors(&mut record.ancestors, parent);
    record.streams = [StreamRecord::EMPTY; 3];
    find_in_parent(scratch, parent, files);
    maps::track_process(record.tgid, record.start_ns);
    if record.reason & (reason::PIPED_SHELL | reason::SESSION) != 0 {
        // The commands of this process belong to the session as well. User space takes the mark back if there is no session.
        maps::mark(record.tgid, record.start_ns, process_mark::SESSION);
    }
    let [stdin, stdout, stderr] = files;
    stream(stdin, &mut record.streams[0]);
    stream(stdout, &mut record.streams[1]);
    stream(stderr, &mut record.streams[2]);
    if record
        .streams
        .iter()
        .any(|stream| stream.kind != stream_kind::CLOSED && any_bit(&stream.parent_fds))
        || record.reason & reason::HOLDER != 0
    {
        let parent = parent.group_leader();
        maps::track_process(parent.tgid(), parent.start_ns());
    }
    if record.reason & reason::PIPED_SHELL != 0 {
        for stream in &record.streams {
            suspect(stream);
        }
    }
    maps::next_stage(ctx, Stage::DescribeHeld);
}

/// Word by word: comparing arrays would be a call.
#[inline(always)]
fn any_bit(words: &[u64; PARENT_FDS_MAX / 64]) -> bool {
    words.iter().fold(0, |all, word| all | word) != 0
}

/// Remembers this stream of a shell: a process that has it for a stream too, and connects, may relay for the shell.
#[inline(always)]
fn suspect(stream: &StreamRecord) {
    match stream.kind {
        stream_kind::PIPE | stream_kind::FIFO => maps::suspect(stream.inode),
        stream_kind::UNIX => maps::suspect(stream.peer_inode),
        _ => {}
    }
}

/// Describes one stream.
#[inline(always)]
fn stream(file: File, stream: &mut StreamRecord) {
    if streams::classify(file, stream).is_err() {
        maps::count(|counters| counters.read_failed_socket += 1);
    }
}

/// Looks the streams up among the parent's descriptors: a loop that reads commands from a socket and hands the socket on to
/// them holds it too. User space would be too late, since the command may have ended by then.
#[inline(always)]
fn find_in_parent(scratch: *mut Scratch, parent: Task, streams: [File; 3]) {
    let Some((descriptors, size)) = parent.files().table() else {
        return;
    };
    // SAFETY: fields of this CPU's map value.
    let (block, records) = unsafe { (&raw mut (*scratch).parent_files, &mut (*scratch).record.streams) };
    for number in 0..PARENT_FDS_MAX / FD_BLOCK {
        let first = number * FD_BLOCK;
        // SAFETY: `block` has room for what is copied, and a table's size is a multiple of the block's.
        let copied = unsafe { kernel::copy(block.cast(), (FD_BLOCK * 8) as u32, descriptors + (first * 8) as u64) };
        if size < (first + FD_BLOCK) as u32 || copied.is_err() {
            return;
        }
        for (stream, record) in streams.iter().zip(records.iter_mut()) {
            record.parent_fds[number] = find_in_block(block, *stream);
        }
    }
}

/// Returns which entries of the block are `wanted`, bit by bit. There is no branch, since each would double the paths that
/// the verifier has to follow.
#[inline(always)]
fn find_in_block(block: *const [u64; FD_BLOCK], wanted: File) -> u64 {
    let mut found = 0;
    for index in 0..FD_BLOCK {
        // SAFETY: an entry of the array. Volatile, so that the compiler does not vectorise or reorder.
        let difference = unsafe { core::ptr::read_volatile(block.cast::<u64>().add(index)) } ^ wanted.0;
        // The top bit of `x | -x` is set unless x is zero.
        found |= (!(difference | difference.wrapping_neg()) >> 63) << index;
    }
    found
}

#[inline(always)]
fn ancestors(records: &mut [AncestorRecord; ANCESTORS_MAX], parent: Task) {
    let mut task = parent.group_leader();
    for record in records.iter_mut() {
        record.tgid = task.tgid();
        record.start_ns = task.start_ns();
        record.uid = task.cred().uid();
        record.comm = task.comm();
        // Above the first process is the idle task, number 0, its own parent: it ends the list as often as needed.
        task = task.parent().group_leader();
    }
}
