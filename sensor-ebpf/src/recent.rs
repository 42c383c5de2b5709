//! What was found out a moment ago on this CPU: parents that speak for none of their children's execs, and executed files that are
//! neither shell nor interpreter. Builds, scripts and pipelines ask the same over and over, and each answer found anew takes several
//! cache lines that are in no near cache.
//!
//! What was found of a parent holds until somebody on the machine connects, gets a connection or is marked (the epoch), and for
//! some ticks at the longest: a UDP socket, or a descriptor that another process passed on, changes no epoch.

use core::ptr;

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};

use crate::{
    kernel::{Momentary, Task},
    maps,
};

/// Entries of each kind, a power of two.
const SLOTS: usize = 32;
/// How long an answer about a parent holds, in ticks: 8 to 80 ms. Long enough for a build or a pipeline, and no time for somebody
/// who types.
const TICKS_MAX: u64 = 8;

#[map]
static RECENT: PerCpuArray<Recent> = PerCpuArray::with_max_entries(1, 0);

/// The time at which something last happened that can change an answer. User space sets it as well.
#[map]
static EPOCH: Array<u64> = Array::with_max_entries(1, 0);

/// One CPU's.
#[repr(C)]
pub struct Recent {
    parents: [Answer; SLOTS],
    files: [Momentary; SLOTS],
}

/// That a parent speaks for nobody.
#[repr(C)]
struct Answer {
    /// Address of the thread that forked, and its process number.
    parent: u64,
    tgid: u64,
    epoch: u64,
    /// The last tick at which it holds.
    until: u64,
}

/// Ends what was found out so far, on all CPUs. A time, so that two CPUs that do it at once can't leave it as it was.
#[inline(always)]
pub fn forget() {
    if let Some(epoch) = EPOCH.get_ptr_mut(0) {
        // SAFETY: an aligned word of a map that lives as long as the program.
        unsafe { ptr::write_volatile(epoch, maps::now()) };
    }
}

/// To be read before what an answer is made of.
#[inline(always)]
pub fn epoch() -> u64 {
    match EPOCH.get_ptr(0) {
        // SAFETY: as above.
        Some(epoch) => unsafe { ptr::read_volatile(epoch) },
        None => 0,
    }
}

/// Whether this parent was found to speak for nobody. Told by as little of it as can be: most of what it has lies in no near cache.
#[inline(always)]
pub fn is_plain(parent: Task, epoch: u64) -> bool {
    let tgid = u64::from(parent.tgid());
    let Some(answer) = answer(tgid) else { return false };
    // SAFETY: this CPU's map value; no other program uses it meanwhile.
    let answer = unsafe { &*answer };
    // Its address is a typed pointer, with which the verifier allows comparisons alone.
    answer.parent == parent.address() && answer.tgid ^ tgid | answer.epoch ^ epoch == 0 && answer.until >= maps::tick()
}

/// Remembers that this parent speaks for nobody.
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
                until: maps::tick() + TICKS_MAX,
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

/// Remembers that this file is neither.
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
