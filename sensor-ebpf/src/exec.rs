//! Turns one exec into a record, if a network socket is among its standard streams; does nothing otherwise.

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use sensor_common::record::{
    self, ANCESTORS_MAX, ARGV_MAX, AncestorRecord, ExecRecord, NAME_MAX, PARENT_FDS_MAX, StreamRecord, TAIL_MAX, TEXT_MAX, exec_flag,
};

use crate::{
    kernel::{self, Bprm, CgroupNode, Fault, File, Task},
    maps::{self, Scratch},
    path::{self, End},
    streams,
};

// include/uapi/linux/stat.h, include/uapi/linux/magic.h
const S_ISUID: u16 = 0o4000;
const S_ISGID: u16 = 0o2000;
const TMPFS_MAGIC: u64 = 0x0102_1994;
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

/// The hot path: what every exec on the machine pays.
#[inline(always)]
pub fn observe(ctx: &BtfTracePointContext, task: Task, bprm: Bprm) {
    maps::count(|counters| counters.execs_seen += 1);
    let found = task.files().standard_streams().and_then(|files| Ok((streams::has_network_socket(&files)?, files)));
    match found {
        Ok((false, _)) => {}
        Ok((true, files)) => record(ctx, task, bprm, files),
        Err(Fault) => {
            maps::count(|counters| counters.read_failed_streams += 1);
            debug!(ctx, "exec of process {}: its descriptors could not be read", task.tgid());
        }
    }
}

#[inline(always)]
fn record(ctx: &BtfTracePointContext, task: Task, bprm: Bprm, files: [File; 3]) {
    let Some(scratch) = maps::scratch() else { return };
    let tail = Tail(scratch);
    tail.clear();
    // SAFETY: this CPU's map value; nobody else holds a reference to it while the program runs. The tail, `at` and
    // `parent_files` are other fields and are reached through the raw pointer only.
    let record = unsafe { &mut (*scratch).record };

    record.header = maps::header(record::KIND_EXEC);
    record.flags = 0;
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

    let [stdin, stdout, stderr] = files;
    stream(stdin, &mut record.streams[0]);
    stream(stdout, &mut record.streams[1]);
    stream(stderr, &mut record.streams[2]);
    let parent = task.parent();
    if find_in_parent(scratch, parent, files) {
        let parent = parent.group_leader();
        maps::track_process(parent.tgid(), parent.start_ns());
    }
    ancestors(&mut record.ancestors, parent);

    let mut flags = arguments(&tail, task);
    flags |= executable(&tail, task, bprm).unwrap_or_else(|Fault| {
        maps::count(|counters| counters.read_failed_path += 1);
        exec_flag::PATH_TRUNCATED
    });
    flags |= working_directory(&tail, task).unwrap_or_else(|Fault| {
        maps::count(|counters| counters.read_failed_path += 1);
        exec_flag::CWD_TRUNCATED
    });
    flags |= script(&tail, bprm);
    cgroup(&tail, task);
    record.flags = flags;

    maps::track_process(record.tgid, record.start_ns);
    debug!(ctx, "exec of process {} has a network socket as a standard stream", record.tgid);
    maps::send_exec(scratch);
}

#[inline(always)]
fn stream(file: File, stream: &mut StreamRecord) {
    *stream = EMPTY_STREAM;
    if streams::classify(file, stream).is_err() {
        maps::count(|counters| counters.read_failed_socket += 1);
    }
}

const EMPTY_STREAM: StreamRecord = StreamRecord {
    kind: 0,
    rdev: 0,
    inode: 0,
    cookie: 0,
    bytes_received: 0,
    peer_inode: 0,
    netns: 0,
    parent_fd: -1,
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
/// holds it itself. Decided here because the command may be gone before user space could look. Whether any was found.
#[inline(always)]
fn find_in_parent(scratch: *mut Scratch, parent: Task, streams: [File; 3]) -> bool {
    let Some((descriptors, size)) = parent.files().table() else { return false };
    let size = if size as usize > PARENT_FDS_MAX { PARENT_FDS_MAX as u32 } else { size };
    // SAFETY: the destination is `PARENT_FDS_MAX` entries of eight bytes, and `size` was bounded by that.
    let (parent_files, record) = unsafe {
        if kernel::copy((&raw mut (*scratch).parent_files).cast(), size * 8, descriptors).is_err() {
            return false;
        }
        (&(*scratch).parent_files, &mut (*scratch).record)
    };
    let mut found = false;
    for (fd, &file) in parent_files.iter().enumerate() {
        if fd as u32 >= size {
            break;
        }
        if file == 0 {
            continue;
        }
        // Unrolled by hand: an index into `streams` would have to live on the stack.
        if file == streams[0].0 && record.streams[0].parent_fd < 0 {
            record.streams[0].parent_fd = fd as i32;
            found = true;
        }
        if file == streams[1].0 && record.streams[1].parent_fd < 0 {
            record.streams[1].parent_fd = fd as i32;
            found = true;
        }
        if file == streams[2].0 && record.streams[2].parent_fd < 0 {
            record.streams[2].parent_fd = fd as i32;
            found = true;
        }
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

/// Appends the arguments. Returns flags.
#[inline(always)]
fn arguments(tail: &Tail, task: Task) -> u32 {
    let (start, end) = task.arguments();
    let length = end.saturating_sub(start);
    let (length, flags) =
        if length > ARGV_MAX as u64 { (ARGV_MAX as u64, exec_flag::ARGV_TRUNCATED) } else { (length, 0) };
    let before = tail.len();
    let failed = tail.append_user::<ARGV_MAX>(start, length).is_err();
    tail.record().argv_len = (tail.len() - before) as u32;
    if failed {
        maps::count(|counters| counters.read_failed_argv += 1);
        return exec_flag::ARGV_TRUNCATED;
    }
    flags
}

/// Appends the path of the executed file and notes what else it is. Returns flags.
#[inline(always)]
fn executable(tail: &Tail, task: Task, bprm: Bprm) -> Result<u32, Fault> {
    tail.record().path_len = 0;
    let file = bprm.file();
    let inode = file.inode()?;
    let (device, magic) = inode.file_system()?;
    let mode = inode.mode()?;
    tail.record().exe_inode = inode.number();
    tail.record().exe_dev = device;
    tail.record().exe_uid = inode.owner();

    let before = tail.len();
    let end = path::append(tail, file.path()?, task.root()?)?;
    tail.record().path_len = (tail.len() - before) as u32;

    let mut flags = 0;
    if end == End::Truncated {
        flags |= exec_flag::PATH_TRUNCATED;
    }
    if end == End::Detached && matches!(magic, TMPFS_MAGIC | HUGETLBFS_MAGIC) {
        flags |= exec_flag::MEMFD;
    } else if inode.links()? == 0 {
        flags |= exec_flag::DELETED;
    }
    if mode & S_ISUID != 0 {
        flags |= exec_flag::SETUID;
    }
    if mode & S_ISGID != 0 {
        flags |= exec_flag::SETGID;
    }
    Ok(flags)
}

/// Appends the working directory. Returns flags.
#[inline(always)]
fn working_directory(tail: &Tail, task: Task) -> Result<u32, Fault> {
    tail.record().cwd_len = 0;
    let before = tail.len();
    let end = path::append(tail, task.cwd()?, task.root()?)?;
    tail.record().cwd_len = (tail.len() - before) as u32;
    Ok(if end == End::Truncated { exec_flag::CWD_TRUNCATED } else { 0 })
}

/// Appends the name given to exec, if an interpreter runs a script of that name. Returns flags.
#[inline(always)]
fn script(tail: &Tail, bprm: Bprm) -> u32 {
    tail.record().script_len = 0;
    let Some(name) = bprm.script_name() else { return 0 };
    let before = tail.len();
    if tail.append_str::<TEXT_MAX>(name).is_err() {
        maps::count(|counters| counters.read_failed_path += 1);
    }
    tail.record().script_len = (tail.len() - before) as u32;
    exec_flag::SCRIPT
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

#[inline(always)]
fn cgroup_name(tail: &Tail, node: CgroupNode) -> u32 {
    let before = tail.len();
    if node.name().and_then(|name| tail.append_str::<NAME_MAX>(name)).is_err() {
        maps::count(|counters| counters.read_failed_path += 1);
    }
    (tail.len() - before) as u32
}

/// The variable part of the record that is being built.
pub struct Tail(*mut Scratch);

impl Tail {
    #[inline(always)]
    pub fn scratch(&self) -> *mut Scratch {
        self.0
    }

    #[inline(always)]
    fn record(&self) -> &mut ExecRecord {
        // SAFETY: this CPU's map value, used by one program at a time; callers hold the reference for one assignment.
        unsafe { &mut (*self.0).record }
    }

    /// Bytes in use. To the verifier it is any number, each time.
    #[inline(always)]
    pub fn len(&self) -> u64 {
        // SAFETY: a field of this CPU's map value.
        unsafe { core::ptr::read_volatile(&raw const (*self.0).tail_len) }
    }

    #[inline(always)]
    fn set_len(&self, len: u64) {
        // SAFETY: a field of this CPU's map value.
        unsafe { core::ptr::write_volatile(&raw mut (*self.0).tail_len, len) }
    }

    #[inline(always)]
    fn clear(&self) {
        self.set_len(0);
    }

    /// Where to put `ROOM` bytes.
    #[inline(always)]
    fn room<const ROOM: usize>(&self) -> Result<(*mut u8, u64), Fault> {
        let len = self.len();
        if len > (TAIL_MAX - ROOM) as u64 {
            return Err(Fault);
        }
        // SAFETY: `len` + `ROOM` bytes lie within `tail`, as just compared.
        let place = unsafe { (&raw mut (*self.0).tail).cast::<u8>().add(len as usize) };
        Ok((place, len))
    }

    /// Appends a NUL-terminated kernel string, cut to `MAX` bytes with its NUL.
    #[inline(always)]
    pub fn append_str<const MAX: usize>(&self, address: u64) -> Result<(), Fault> {
        let (place, len) = self.room::<MAX>()?;
        // SAFETY: `place` has room for `MAX` bytes.
        let written = unsafe { kernel::copy_str(place, MAX as u32, address)? };
        self.set_len(len + written);
        Ok(())
    }

    /// Appends `length` (at most `MAX`) bytes of the process's memory.
    #[inline(always)]
    fn append_user<const MAX: usize>(&self, address: u64, length: u64) -> Result<(), Fault> {
        let (place, len) = self.room::<MAX>()?;
        if length > MAX as u64 {
            return Err(Fault);
        }
        // SAFETY: `place` has room for `MAX` bytes, and `length` is not more.
        unsafe { kernel::copy_user(place, length as u32, address)? };
        self.set_len(len + length);
        Ok(())
    }
}
