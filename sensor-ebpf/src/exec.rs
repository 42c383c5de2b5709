//! Turns one exec into a record, if a network socket is among its standard streams or `piped` finds another reason; does
//! nothing otherwise.
//!
//! In stages, each a program of its own that the one before calls as a tail: what one stage leaves behind in
//! registers and on the stack would multiply the states in which the verifier has to follow the next, up to its limit of
//! a million instructions. They hand over through this CPU's scratch memory.

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use sensor_common::record::{
    self, ANCESTORS_MAX, ARGV_MAX, AncestorRecord, HELD_MAX, NAME_MAX, PARENT_FDS_MAX, StreamRecord, TEXT_MAX,
    exec_flag, file_kind, process_mark, reason, stream_kind,
};

use crate::{
    kernel::{self, Bprm, CgroupNode, Fault, File, Files, Operations, Task},
    maps::{self, FD_BLOCK, Handover, Scratch, Stage},
    path::{self, End},
    piped::{self, Verdict},
    streams::{self, Kind},
    tail::Tail,
};

// include/uapi/linux/stat.h, include/uapi/linux/magic.h
const S_ISUID: u16 = 0o4000;
const S_ISGID: u16 = 0o2000;
const TMPFS_MAGIC: u64 = 0x0102_1994;
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

/// First stage, the hot path: what every exec on the machine pays.
#[inline(always)]
pub fn observe(ctx: &BtfTracePointContext, task: Task, bprm: Bprm) {
    maps::count(|counters| counters.execs_seen += 1);
    let done = match look_at(task.files()) {
        Ok(Look::Plain) => return,
        Ok(Look::Piped { stdin }) => match piped::glance(task, bprm, stdin) {
            Verdict::Nobodys => return,
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
    /// Nothing that bytes of another process come through.
    Plain,
    /// Pipes, UNIX sockets, pseudo-terminals; the input among them or not.
    Piped { stdin: bool },
    /// A socket that a network peer can be at.
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

/// Leaves to the next stage what it has to know. Comes back only if that fails.
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

/// Second stage: the process, its streams, its parents.
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
    record.streams = [EMPTY_STREAM; 3];
    find_in_parent(scratch, parent, files);
    maps::track_process(record.tgid, record.start_ns);
    if record.reason & (reason::PIPED_SHELL | reason::SESSION) != 0 {
        // Its own commands belong to the session as well; user space takes the mark back if it is none.
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

/// Whoever connects with the same pipe for a stream may relay for this shell.
#[inline(always)]
fn suspect(stream: &StreamRecord) {
    match stream.kind {
        stream_kind::PIPE | stream_kind::FIFO => maps::suspect(stream.inode),
        stream_kind::UNIX => maps::suspect(stream.peer_inode),
        _ => {}
    }
}

/// Last stage: the program, its arguments, its place; then the record goes out.
#[inline(always)]
pub fn describe_program(ctx: &BtfTracePointContext, task: Task, bprm: Bprm) {
    let Some(scratch) = maps::scratch() else { return };
    let tail = Tail::of(scratch);
    tail.clear();
    let record = tail.record();
    record.flags = 0;
    record.path_len = 0;
    record.cwd_len = 0;
    bprm.executable().key(&mut record.exe_key);
    record.exe_inode = 0;
    record.exe_dev = 0;
    record.exe_uid = 0;
    // In the order of the record's lengths. The walks come first, since whatever branches before a loop multiplies it.
    if executable(&tail, task, bprm).is_err() {
        maps::count(|counters| counters.read_failed_path += 1);
        record.flags |= exec_flag::PATH_TRUNCATED;
    }
    if working_directory(&tail, task).is_err() {
        maps::count(|counters| counters.read_failed_path += 1);
        record.flags |= exec_flag::CWD_TRUNCATED;
    }
    arguments(&tail, task);
    script(&tail, bprm);
    cgroup(&tail, task);
    held(&tail);
    debug!(
        ctx,
        "process {} executed a program with a network socket as a standard stream", record.tgid
    );
    maps::send_exec(scratch);
}

#[inline(always)]
fn stream(file: File, stream: &mut StreamRecord) {
    if streams::classify(file, stream).is_err() {
        maps::count(|counters| counters.read_failed_socket += 1);
    }
}

pub const EMPTY_STREAM: StreamRecord = StreamRecord {
    kind: 0,
    rdev: 0,
    inode: 0,
    cookie: 0,
    bytes_received: 0,
    bytes_sent: 0,
    peer_inode: 0,
    netns: 0,
    fs_dev: 0,
    parent_fds: [0; PARENT_FDS_MAX / 64],
    protocol: 0,
    socket_type: 0,
    local_port: 0,
    remote_port: 0,
    local_addr: [0; 16],
    remote_addr: [0; 16],
    state: 0,
    direction: 0,
    port_bound: 0,
    mode: 0,
};

/// Looks the streams up among the parent's descriptors: a loop that reads commands from a socket and hands it to them
/// holds it itself. Decided here because the command may be gone before user space could look.
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

/// Which entries of the block are `wanted`, bit by bit. Without a branch, since each would double the paths that the
/// verifier has to follow.
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

/// Appends the path of the executed file and notes what else it is.
#[inline(always)]
fn executable(tail: &Tail, task: Task, bprm: Bprm) -> Result<(), Fault> {
    let record = tail.record();
    let file = bprm.file();
    let end = path::append(tail, file.path()?, task.root()?);
    record.path_len = tail.len() as u32;

    let inode = file.inode()?;
    let (device, magic) = inode.file_system()?;
    let mode = inode.mode()?;
    record.exe_inode = inode.number();
    record.exe_dev = device;
    record.exe_uid = inode.owner();
    if mode & S_ISUID != 0 {
        record.flags |= exec_flag::SETUID;
    }
    if mode & S_ISGID != 0 {
        record.flags |= exec_flag::SETGID;
    }
    if end == End::Detached && matches!(magic, TMPFS_MAGIC | HUGETLBFS_MAGIC) {
        record.flags |= exec_flag::MEMFD;
    } else if inode.links()? == 0 {
        record.flags |= exec_flag::DELETED;
    }
    match end {
        End::Root | End::Detached => {}
        End::Truncated => record.flags |= exec_flag::PATH_TRUNCATED,
        End::Fault => return Err(Fault),
    }
    Ok(())
}

/// Appends the working directory.
#[inline(always)]
fn working_directory(tail: &Tail, task: Task) -> Result<(), Fault> {
    let before = tail.len();
    let end = path::append(tail, task.cwd()?, task.root()?);
    tail.record().cwd_len = (tail.len() - before) as u32;
    match end {
        End::Root | End::Detached => {}
        End::Truncated => tail.record().flags |= exec_flag::CWD_TRUNCATED,
        End::Fault => return Err(Fault),
    }
    Ok(())
}

/// Appends the arguments.
#[inline(always)]
fn arguments(tail: &Tail, task: Task) {
    let record = tail.record();
    let (start, end) = task.arguments();
    let mut length = end.saturating_sub(start);
    if length > ARGV_MAX as u64 {
        length = ARGV_MAX as u64;
        record.flags |= exec_flag::ARGV_TRUNCATED;
    }
    let before = tail.len();
    if tail.append_user::<ARGV_MAX>(start, length).is_err() {
        maps::count(|counters| counters.read_failed_argv += 1);
        record.flags |= exec_flag::ARGV_TRUNCATED;
    }
    record.argv_len = (tail.len() - before) as u32;
}

/// Appends the name given to exec, if an interpreter runs a script of that name.
#[inline(always)]
fn script(tail: &Tail, bprm: Bprm) {
    let before = tail.len();
    if let Some(name) = bprm.script_name() {
        tail.record().flags |= exec_flag::SCRIPT;
        if tail.append_str::<TEXT_MAX>(name).is_err() {
            maps::count(|counters| counters.read_failed_path += 1);
        }
    }
    tail.record().script_len = (tail.len() - before) as u32;
}

/// Appends the names of the cgroup and of the one above it.
#[inline(always)]
fn cgroup(tail: &Tail, task: Task) {
    let record = tail.record();
    record.cgroup_id = 0;
    record.cgroup_len = 0;
    record.cgroup_parent_len = 0;
    let Some(node) = task.cgroup() else { return };
    record.cgroup_id = node.id();
    record.cgroup_len = cgroup_name(tail, node);
    if let Some(parent) = node.parent() {
        record.cgroup_parent_len = cgroup_name(tail, parent);
    }
}

/// Appends what the parent's connections are.
#[inline(always)]
fn held(tail: &Tail) {
    let before = tail.len();
    for index in 0..HELD_MAX {
        let appended = (index as u32) < tail.held_count() && tail.append_held(index).is_ok();
        if !appended {
            break;
        }
    }
    tail.record().held_len = (tail.len() - before) as u32;
    tail.record().reserved = 0;
}

#[inline(always)]
fn cgroup_name(tail: &Tail, node: CgroupNode) -> u32 {
    let before = tail.len();
    if node.name().and_then(|name| tail.append_str::<NAME_MAX>(name)).is_err() {
        maps::count(|counters| counters.read_failed_path += 1);
    }
    (tail.len() - before) as u32
}
