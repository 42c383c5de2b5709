//! Execs whose streams are pipes, terminals or UNIX sockets, which are most execs of a busy machine. Decides which of them
//! user space has to hear of, by facts that cost little here:
//!
//! - A shell or interpreter that may read its commands from such a stream. User space has found out before what a file is
//!   (`FILES`); a file that it has not seen yet counts as a shell. `sh -c TEXT` and a script bring their commands along.
//! - A command whose parent holds a network connection, since the peer may have sent it. The connection is looked for if
//!   the command or its parent is a shell or interpreter, or if the parent is known to have connected.
//! - A command of a session that user space follows.

use aya_ebpf::programs::BtfTracePointContext;
use sensor_common::{
    first_argument::{LOOK, ProgramFile},
    record::{FileKey, HELD_MAX, PARENT_FDS_MAX, StreamRecord, file_kind, process_mark, reason},
    stage::Stage,
};

use crate::{
    kernel::{self, Bprm, File, Files, Task, TypedFile},
    maps::{self, Scratch},
    recent, streams,
};

/// Entries of a table that are copied at once.
const LINE: u32 = 8;

/// What a first look says of an exec.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does not matter. Nearly all execs end here.
    Drop,
    /// It may be a shell that reads commands.
    Shell,
    /// It may be a shell that reads commands or, by its parent, a command that a peer sent.
    Child,
}

/// Takes a first look, as a part of the first stage and all in registers. A stage of its own would touch more cache lines,
/// each of which costs as much as all that is computed here.
#[inline(always)]
pub fn glance(task: Task, bprm: Bprm, stdin_is_piped: bool) -> Verdict {
    if !is_plain(task.parent()) {
        return Verdict::Child;
    }
    let may_be_shell =
        stdin_is_piped && bprm.script_name().is_none() && program_file(bprm.executable()).kind() != file_kind::OTHER;
    if may_be_shell { Verdict::Shell } else { Verdict::Drop }
}

/// Whether this parent, the thread that forked, is of no session and has no socket; see `recent`.
#[inline(always)]
fn is_plain(parent: Task) -> bool {
    let epoch = recent::epoch();
    if recent::is_plain(parent, epoch) {
        return true;
    }
    let sockets = kernel::socket_operations();
    let files = parent.files();
    let Some((descriptors, size)) = files.table() else {
        return false;
    };
    if sockets == 0 {
        return false;
    }
    let found = if files.is_embedded(descriptors) {
        socket_in_embedded(files, sockets, files.embedded_open())
    } else {
        let [first, second] = files.open(size);
        socket_in_table(sockets, first, descriptors, 0) | socket_in_table(sockets, second, descriptors, 64)
    };
    if found != 0 || maps::marks(parent.tgid(), parent.group_leader().start_ns()) & process_mark::SESSION != 0 {
        return false;
    }
    recent::remember_plain(parent, epoch);
    true
}

/// Not zero if there is a socket among the entries of which a bit of `open` is set. Nothing branches on what was found, since each
/// branch would double the paths that the verifier has to follow.
#[inline(always)]
fn socket_in_embedded(files: Files, sockets: u64, mut open: u64) -> u64 {
    let mut found = kernel::zero();
    for fd in 0..64 {
        if open == 0 {
            break;
        }
        if open & 1 != 0 {
            found |= u64::from(files.embedded(fd).1 == sockets);
        }
        open >>= 1;
    }
    found
}

/// Like `socket_in_embedded`, for entries of a table that is no part of `files_struct`, from entry `first` on.
#[inline(always)]
fn socket_in_table(sockets: u64, mut open: u64, descriptors: u64, first: u32) -> u64 {
    let mut found = kernel::zero();
    for line in 0..64 / LINE {
        if open == 0 {
            break;
        }
        if open & ((1 << LINE) - 1) != 0 {
            for (index, file) in File::entries(descriptors, first + line * LINE).into_iter().enumerate() {
                if open >> index & 1 != 0 {
                    found |= u64::from(file.operations() == sockets);
                }
            }
        }
        open >>= LINE;
    }
    found
}

/// Decides whether user space has to hear of this exec.
#[inline(always)]
pub fn consider(ctx: &BtfTracePointContext, task: Task, bprm: Bprm) {
    let Some(scratch) = maps::scratch() else { return };
    // SAFETY: this CPU's map value; no other program uses it meanwhile.
    let handover = unsafe { &mut (*scratch).handover };
    let mut reason = 0;
    let mut program = ProgramFile::new(file_kind::UNKNOWN);
    let parent = task.parent();
    let mut connected = false;
    let mut marks = 0;
    if !handover.parent_is_plain {
        connected = find_connections(scratch, parent);
        marks = maps::marks(parent.tgid(), parent.group_leader().start_ns());
    }
    let shell_is_possible = handover.stdin_is_piped && bprm.script_name().is_none();
    if marks & process_mark::SESSION != 0 {
        reason |= reason::SESSION;
    }
    if connected || shell_is_possible || reason != 0 {
        program = program_file(bprm.executable());
        if shell_is_possible && program.kind() != file_kind::OTHER && may_read_commands(scratch, task, program) {
            reason |= reason::PIPED_SHELL;
        }
    }
    if connected
        && (reason != 0
            || program.kind() != file_kind::OTHER
            || marks & process_mark::CONNECTED != 0
            || may_be_interpreter(parent))
    {
        reason |= reason::HOLDER;
    }
    if reason != 0 {
        handover.reason = reason;
        handover.exe_kind = program.kind();
        maps::next_stage(ctx, Stage::DescribeProcess);
    }
}

/// Describes the parent's connections that were found.
#[inline(always)]
pub fn describe_held(ctx: &BtfTracePointContext) {
    let Some(scratch) = maps::scratch() else { return };
    // Not a loop: the compiler would make one of it in which the verifier finds registers that were never written.
    describe_one::<0>(scratch);
    describe_one::<1>(scratch);
    describe_one::<2>(scratch);
    describe_one::<3>(scratch);
    maps::next_stage(ctx, Stage::DescribeProgram);
}

const _: () = assert!(HELD_MAX == 4);

#[inline(always)]
fn describe_one<const INDEX: usize>(scratch: *mut Scratch) {
    // SAFETY: fields of this CPU's map value.
    let (length, file, fd, held) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*scratch).handover.held_count),
            core::ptr::read_volatile(&raw const (*scratch).held_files[INDEX]),
            core::ptr::read_volatile(&raw const (*scratch).held_fds[INDEX]),
            &mut (*scratch).held[INDEX],
        )
    };
    if INDEX as u32 >= length {
        return;
    }
    *held = StreamRecord::EMPTY;
    if streams::classify(file, held).is_err() {
        maps::count(|counters| counters.read_failed_socket += 1);
    }
    set_parent_fd(held, fd);
}

#[inline(always)]
fn set_parent_fd(held: &mut StreamRecord, fd: u32) {
    let word = (fd / 64) as usize & (PARENT_FDS_MAX / 64 - 1);
    held.parent_fds[word] = 1 << (fd & 63);
}

/// Whether this process runs a shell or an interpreter; true if its file has not been seen yet.
#[inline(always)]
fn may_be_interpreter(process: Task) -> bool {
    process
        .executable()
        .is_some_and(|file| program_file(file).kind() != file_kind::OTHER)
}

/// Returns what user space found a file to be.
#[inline(always)]
fn program_file(file: TypedFile) -> ProgramFile {
    let now = file.at_this_moment();
    if recent::is_other(&now) {
        return ProgramFile::new(file_kind::OTHER);
    }
    let mut key = FileKey::default();
    file.key(&mut key);
    let program = maps::program_file(&key);
    if program.kind() == file_kind::OTHER {
        recent::remember_other(now);
    }
    program
}

/// Whether the arguments leave open that commands are read from standard input. User space reads the whole list; this
/// spares it what a build or a scheduler starts by the thousand.
#[inline(always)]
fn may_read_commands(scratch: *mut Scratch, task: Task, program: ProgramFile) -> bool {
    let (start, end) = task.arguments();
    let mut length = end.saturating_sub(start);
    if length > LOOK as u64 {
        length = LOOK as u64;
    }
    // SAFETY: a field of this CPU's map value, with room for `length` bytes.
    let (argv, copied) = unsafe {
        let argv = &raw mut (*scratch).argv_start;
        (argv.cast::<u8>(), kernel::copy_user(argv.cast(), length as u32, start))
    };
    // SAFETY: the mask keeps the index within the array.
    let byte = |index: usize| unsafe { core::ptr::read_volatile(argv.add(index & (LOOK - 1))) };
    copied.is_err() || program.may_read_commands(length as usize, byte)
}

/// Looks for network connections among the parent's descriptors; returns whether there are any.
#[inline(always)]
fn find_connections(scratch: *mut Scratch, parent: Task) -> bool {
    let sockets = kernel::socket_operations();
    let files = parent.files();
    let Some((descriptors, size)) = files.table() else {
        return false;
    };
    if sockets == 0 {
        return false;
    }
    // SAFETY: a field of this CPU's map value.
    let streams = unsafe { (*scratch).handover.files };
    if files.is_embedded(descriptors) {
        let mut open = files.embedded_open();
        for fd in 0..64 {
            if open == 0 {
                break;
            }
            if open & 1 != 0 {
                let (file, operations) = files.embedded(fd);
                if operations == sockets {
                    keep_connection(scratch, file, fd);
                }
            }
            open >>= 1;
        }
    } else {
        let [first, second] = files.open(size);
        find_in_table(scratch, &streams, sockets, first, descriptors, 0);
        find_in_table(scratch, &streams, sockets, second, descriptors, 64);
    }
    // SAFETY: a field of this CPU's map value.
    unsafe { core::ptr::read_volatile(&raw const (*scratch).handover.held_count) != 0 }
}

/// Looks at the descriptors from `first` on of which a bit of `open` is set. Copies as many at once as share a cache line.
/// The program's own `streams`, which most parents share with it, are no connections: else this stage would not run.
#[inline(always)]
fn find_in_table(
    scratch: *mut Scratch,
    streams: &[File; 3],
    sockets: u64,
    mut open: u64,
    descriptors: u64,
    first: u32,
) {
    for line in 0..64 / LINE {
        if open == 0 {
            break;
        }
        if open & ((1 << LINE) - 1) != 0 {
            let fd = first + line * LINE;
            let files = File::entries(descriptors, fd);
            for (index, file) in files.into_iter().enumerate() {
                if open >> index & 1 != 0 && !streams.contains(&file) && file.operations() == sockets {
                    keep_connection(scratch, file, fd + index as u32);
                }
            }
        }
        open >>= LINE;
    }
}

#[inline(always)]
fn keep_connection(scratch: *mut Scratch, file: File, fd: u32) {
    // SAFETY: fields of this CPU's map value; the comparison keeps the index within the arrays.
    unsafe {
        let length = core::ptr::read_volatile(&raw const (*scratch).handover.held_count) as usize;
        if length < HELD_MAX && streams::is_connected(file) {
            core::ptr::write_volatile((&raw mut (*scratch).held_files).cast::<File>().add(length), file);
            core::ptr::write_volatile((&raw mut (*scratch).held_fds).cast::<u32>().add(length), fd);
            core::ptr::write_volatile(&raw mut (*scratch).handover.held_count, length as u32 + 1);
        }
    }
}
