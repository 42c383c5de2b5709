//! A negative cache for each CPU: plain parents, and executed files that are neither shell nor interpreter. A parent is plain
//! if it is of no session and has no socket, so that its children's execs do not matter on its account. Builds, scripts and
//! pipelines ask about one parent and one file over and over, and each answer that is found anew takes several cache lines
//! that are in no near cache.
//!
//! An answer about a parent holds until some process on the machine connects, accepts a connection or is marked as part of a
//! session. Each of these events begins a new epoch. An answer also expires after some ticks, because two events begin no
//! epoch: a new UDP socket, and a descriptor that another process passed on.

use core::ptr;

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};

use crate::kernel::{Momentary, Task, now, tick};

/// Entries of each kind, a power of two.
const SLOTS: usize = 32;
/// How long an answer about a parent holds, in ticks of the kernel's clock: 8 to 80 ms. That is long enough for a build or
/// a pipeline, and too short for a person who types.
const TICKS_MAX: u64 = 8;

#[map]
static RECENT: PerCpuArray<Recent> = PerCpuArray::with_max_entries(1, 0);

/// When the current epoch began, in nanoseconds since boot. User space sets it as well.
#[map]
static EPOCH: Array<u64> = Array::with_max_entries(1, 0);

/// The answers of one CPU.
#[repr(C)]
pub struct Recent {
    parents: [Answer; SLOTS],
    files: [Momentary; SLOTS],
}

/// A parent that was found to be plain.
#[repr(C)]
struct Answer {
    /// Address of the thread that forked, and its process number.
    parent: u64,
    tgid: u64,
    epoch: u64,
    /// The last tick at which it holds.
    until: u64,
}

/// Begins a new epoch, which invalidates the answers about parents on all CPUs. An epoch is a time and not a count, so that
/// two CPUs that begin one at once can't leave the old value.
#[inline(always)]
pub fn invalidate() {
    if let Some(epoch) = EPOCH.get_ptr_mut(0) {
        // SAFETY: an aligned word of a map that lives as long as the program.
        unsafe { ptr::write_volatile(epoch, now()) };
    }
}

/// Returns the current epoch. Read it before the facts that an answer is made of.
#[inline(always)]
pub fn epoch() -> u64 {
    match EPOCH.get_ptr(0) {
        // SAFETY: as above.
        Some(epoch) => unsafe { ptr::read_volatile(epoch) },
        None => 0,
    }
}

/// Whether this parent was found to be plain. Compares as few of its members as possible: most of them lie in no near cache.
#[inline(always)]
pub fn is_plain(parent: Task, epoch: u64) -> bool {
    let tgid = u64::from(parent.tgid());
    let Some(answer) = answer(tgid) else { return false };
    // SAFETY: this CPU's map value; no other program uses it meanwhile.
    let answer = unsafe { &*answer };
    // The address is a typed pointer. The verifier allows comparisons of it and no arithmetic.
    answer.parent == parent.address() && answer.tgid ^ tgid | answer.epoch ^ epoch == 0 && answer.until >= tick()
}

/// Remembers that this parent is plain.
#[inline(always)]
pub fn remember_plain(parent: Task, epoch: u64) {
    let tgid = u64::from(parent.tgid());
    if let Some(answer) = answer(tgid) {
        // SAFETY: as above.
        unsafe {
            *answer = Answer {
                parent: parent.address(),
                tgid,
                epoch,
                until: tick() + TICKS_MAX,
            };
        }
    }
}

#[inline(always)]
fn answer(tgid: u64) -> Option<*mut Answer> {
    let recent = RECENT.get_ptr_mut(0)?;
    let index = tgid as usize & (SLOTS - 1);
    // SAFETY: the mask keeps the index within the array.
    Some(unsafe { (&raw mut (*recent).parents).cast::<Answer>().add(index) })
}

/// Whether this file was found to be neither shell nor interpreter.
#[inline(always)]
pub fn is_other(file: &Momentary) -> bool {
    let Some(known) = place(file) else { return false };
    // SAFETY: as above.
    let known = unsafe { &*known };
    let difference =
        known.inode ^ file.inode | known.number ^ file.number | known.size ^ file.size | known.changed ^ file.changed;
    difference == 0
}

/// Remembers that this file is neither shell nor interpreter.
#[inline(always)]
pub fn remember_other(file: Momentary) {
    if let Some(place) = place(&file) {
        // SAFETY: as above.
        unsafe { *place = file };
    }
}

#[inline(always)]
fn place(file: &Momentary) -> Option<*mut Momentary> {
    let recent = RECENT.get_ptr_mut(0)?;
    let index = file.number as usize & (SLOTS - 1);
    // SAFETY: the mask keeps the index within the array.
    Some(unsafe { (&raw mut (*recent).files).cast::<Momentary>().add(index) })
}
