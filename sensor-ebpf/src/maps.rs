//! The maps that the kernel side shares with user space or between its programs: the ring buffer, counters, scratch
//! memory, and the tables of followed processes and sockets. What one CPU remembers for some milliseconds is in `recent`.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    helpers::{bpf_get_smp_processor_id, bpf_skb_load_bytes},
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
    programs::{BtfTracePointContext, SkBuffContext},
};
use sensor_common::{
    counters::Counters,
    first_argument::{LOOK, ProgramFile},
    record::{
        self, ExecRecord, ExitRecord, FileKey, HELD_MAX, ProcessMark, ProcessRecord, RecordHeader, SocketCloseRecord,
        StreamRecord, TAIL_MAX, TICK_NS, direction, file_kind, process_mark,
    },
    stage::Stage,
    wire::{FlowKey, Sample},
};

use crate::{
    kernel::{File, Path, Sock, now},
    recent,
};

/// Records for user space. The daemon sets the size before load, by the number of CPUs.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Processes whose end user space wants to know: process id -> start time. Every process that ends is looked up, and its
/// bucket is rarely in a near cache, so the table is no larger than it has to be.
#[map]
static TRACKED: HashMap<u32, u64> = HashMap::with_max_entries(2048, 0);

/// Sockets whose end user space wants to know: address -> inode number.
#[map]
static WATCHED: HashMap<u64, u64> = HashMap::with_max_entries(8192, 0);

/// Who opened each connection since the sensor started: address -> `direction`. On a host with more connections the
/// least recently used entry is evicted; the direction of its socket is then unknown.
#[map]
static DIRECTIONS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(32768, 0);

/// What is known of processes: process id -> mark. The least recently used entry is evicted.
#[map]
static MARKS: LruHashMap<u32, ProcessMark> = LruHashMap::with_max_entries(8192, 0);

/// What executed files were found to be: file -> word of `ProgramFile`. User space fills it.
#[map]
static FILES: LruHashMap<FileKey, u32> = LruHashMap::with_max_entries(4096, 0);

/// Inode numbers of the pipes and UNIX sockets that piped shells have for streams; for a UNIX socket its peer's.
#[map]
static SUSPECTS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(4096, 0);

/// What watched connections delivered. User space puts in whom it watches.
#[map]
static SAMPLES: HashMap<FlowKey, Sample> = HashMap::with_max_entries(512, BPF_F_NO_PREALLOC);

/// Descriptors that are compared at once. Tables grow in multiples of 64 (`NR_OPEN_DEFAULT`).
pub const FD_BLOCK: usize = 64;

/// Where one CPU builds a record. The record and its tail lie next to each other, so that both go out in one piece.
#[repr(C)]
pub struct Scratch {
    pub record: ExecRecord,
    pub tail: [u8; TAIL_MAX],
    /// Bytes of `tail` in use.
    pub tail_len: u64,
    /// Where the path walk is.
    pub place: Path,
    /// What the first stages tell the later ones.
    pub handover: Handover,
    /// A block of the parent's table of `struct file *`.
    pub parent_files: [u64; FD_BLOCK],
    /// The parent's connected sockets, and their descriptors.
    pub held_files: [File; HELD_MAX],
    pub held_fds: [u32; HELD_MAX],
    /// What they are.
    pub held: [StreamRecord; HELD_MAX],
    /// The beginning of the arguments.
    pub argv_start: [u8; LOOK],
}

/// Kept together: each cache line that the first stages touch costs as much as all that they compute.
#[repr(C)]
pub struct Handover {
    /// The standard streams.
    pub files: [File; 3],
    /// The first of them is a pipe, a terminal or a UNIX socket.
    pub stdin_is_piped: bool,
    /// The parent is of no session and has no socket.
    pub parent_is_plain: bool,
    /// Why user space has to hear of the exec.
    pub reason: u32,
    /// What the executed file is, if a stage looked.
    pub exe_kind: u32,
    /// How many of the parent's connections were found.
    pub held_count: u32,
}

/// The programs that the exec program goes on to, by `Stage`. User space fills it.
#[map]
static STAGES: ProgramArray = ProgramArray::with_max_entries(Stage::COUNT, 0);

/// Goes on with another program and does not return. An empty slot loses the record; the loss is counted.
#[inline(always)]
pub fn next_stage(ctx: &BtfTracePointContext, stage: Stage) {
    // SAFETY: the programs in the array were loaded for the same tracepoint.
    unsafe { STAGES.tail_call(ctx, stage as u32) };
    count(|counters| counters.stage_missing += 1);
}

/// This CPU's scratch memory. Only the exec program and its stages use it, and the kernel does not let that program
/// interrupt itself on one CPU.
#[inline(always)]
pub fn scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(0)
}

/// Changes this CPU's counters.
#[inline(always)]
pub fn count(change: impl FnOnce(&mut Counters)) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: the entry is this CPU's own and lives as long as the program.
        change(unsafe { &mut *counters });
    }
}

#[inline(always)]
pub fn header(kind: u32) -> RecordHeader {
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    RecordHeader {
        kind,
        cpu,
        time_ns: now(),
    }
}

/// Sends the record that lies in `scratch`, with its tail.
#[inline(always)]
pub fn send_exec(scratch: *mut Scratch) {
    // SAFETY: `scratch` is a map value of this CPU; `tail_len` is bounded by the comparison, for the verifier too.
    let sent = unsafe {
        let tail_len = core::ptr::read_volatile(&raw const (*scratch).tail_len);
        if tail_len > TAIL_MAX as u64 {
            return;
        }
        let size = size_of::<ExecRecord>() + tail_len as usize;
        let bytes = core::slice::from_raw_parts(scratch.cast::<u8>(), size);
        EVENTS.output::<[u8]>(bytes, 0).is_ok()
    };
    count_if_lost(sent);
}

#[inline(always)]
fn count_if_lost(sent: bool) {
    if !sent {
        count(|counters| counters.ring_full += 1);
    }
}

/// Asks for a record at the end of this process.
#[inline(always)]
pub fn track_process(tgid: u32, start_ns: u64) {
    if TRACKED.insert(tgid, start_ns, u64::from(BPF_ANY)).is_err() {
        count(|counters| counters.tracking_full += 1);
    }
}

/// Reports the end of a process, if `track_process` or user space asked for it.
#[inline(always)]
pub fn process_ended(tgid: u32, status: u32) {
    // SAFETY: the value is copied at once; entries of this map are never reused while a program reads them.
    let Some(&start_ns) = (unsafe { TRACKED.get(tgid) }) else {
        return;
    };
    let _ = TRACKED.remove(tgid);
    let exit = ExitRecord {
        header: header(record::KIND_EXIT),
        start_ns,
        tgid,
        status,
    };
    count_if_lost(EVENTS.output::<ExitRecord>(&exit, 0).is_ok());
}

/// Returns what user space found a file to be.
#[inline(always)]
pub fn program_file(key: &FileKey) -> ProgramFile {
    // SAFETY: the value is copied at once; a torn word does not exist.
    let word = unsafe { FILES.get(key) }.copied();
    ProgramFile::from_word(word.unwrap_or(file_kind::UNKNOWN))
}

/// Bits of `process_mark` of a process.
#[inline(always)]
pub fn marks(tgid: u32, start_ns: u64) -> u32 {
    // SAFETY: the value is copied at once; an entry that is reused meanwhile fails the comparison.
    match unsafe { MARKS.get(tgid) } {
        Some(mark) if mark.start_ticks == ticks(start_ns) => mark.flags,
        _ => 0,
    }
}

/// Sets bits of `process_mark`.
#[inline(always)]
pub fn mark(tgid: u32, start_ns: u64, flags: u32) {
    let known = marks(tgid, start_ns);
    if known & flags != flags {
        let mark = ProcessMark {
            start_ticks: ticks(start_ns),
            flags: known | flags,
            reserved: 0,
        };
        let _ = MARKS.insert(tgid, mark, u64::from(BPF_ANY));
        if flags & process_mark::SESSION != 0 {
            recent::invalidate();
        }
    }
}

/// Converts to the ticks in which `/proc` counts time, so that user space can build the mark of a process too.
#[inline(always)]
fn ticks(start_ns: u64) -> u64 {
    start_ns / TICK_NS
}

/// Remembers the pipe or UNIX socket that a piped shell has for a stream.
#[inline(always)]
pub fn suspect(inode: u64) {
    let _ = SUSPECTS.insert(inode, 1, u64::from(BPF_ANY));
}

#[inline(always)]
pub fn is_suspect(inode: u64) -> bool {
    // SAFETY: only whether there is a value matters.
    unsafe { SUSPECTS.get(inode) }.is_some()
}

/// Reports something that a process did.
#[inline(always)]
pub fn send_process(kind: u32, tgid: u32, start_ns: u64) {
    let record = ProcessRecord {
        header: header(kind),
        start_ns,
        tgid,
        reserved: 0,
    };
    count_if_lost(EVENTS.output::<ProcessRecord>(&record, 0).is_ok());
}

/// Returns where to keep what this flow delivers, if the flow is watched.
#[inline(always)]
pub fn sample(flow: &FlowKey) -> Option<*mut Sample> {
    SAMPLES.get_ptr_mut(flow)
}

/// Copies `length` bytes of a packet; returns whether the packet had them.
///
/// # Safety
/// `destination` has room for `length` bytes, and the verifier can see that.
#[inline(always)]
pub unsafe fn load_packet(ctx: &SkBuffContext, offset: u32, destination: *mut u8, length: u32) -> bool {
    // SAFETY: as the caller vouches; the helper checks the packet's length.
    unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), offset, destination.cast(), length) == 0 }
}

/// Asks for a record at the end of this socket.
#[inline(always)]
pub fn watch_socket(sock: Sock, inode: u64) {
    if WATCHED.insert(sock.address(), inode, u64::from(BPF_ANY)).is_err() {
        count(|counters| counters.tracking_full += 1);
    }
}

#[inline(always)]
pub fn set_direction(sock: Sock, value: u8) {
    let _ = DIRECTIONS.insert(sock.address(), value, u64::from(BPF_ANY));
}

#[inline(always)]
pub fn set_direction_if_unset(sock: Sock, value: u8) {
    let _ = DIRECTIONS.insert(sock.address(), value, u64::from(BPF_NOEXIST));
}

#[inline(always)]
pub fn direction_of(sock: Sock) -> u8 {
    // SAFETY: the value is copied at once; a torn byte does not exist.
    unsafe { DIRECTIONS.get(sock.address()) }
        .copied()
        .unwrap_or(direction::UNKNOWN)
}

/// Forgets a socket, and reports its end if `watch_socket` asked for it.
#[inline(always)]
pub fn socket_closed(sock: Sock) {
    let address = sock.address();
    let _ = DIRECTIONS.remove(address);
    // SAFETY: the value is copied at once; entries of this map are never reused while a program reads them.
    let Some(&inode) = (unsafe { WATCHED.get(address) }) else {
        return;
    };
    let _ = WATCHED.remove(address);
    let close = SocketCloseRecord {
        header: header(record::KIND_SOCKET_CLOSE),
        inode,
    };
    count_if_lost(EVENTS.output::<SocketCloseRecord>(&close, 0).is_ok());
}
