//! What was found out a moment ago on this CPU: parents that speak for none of their children's execs, and executed files that are
//! neither shell nor interpreter. Builds, scripts and pipelines ask the same over and over, and each answer found anew takes several
//! cache lines that are in no near cache.
//!
//! A parent is the same as long as it has the same descriptors open and the epoch is the same. That changes when a process
//! connects, when a connection comes in, and when a process is marked. What is left (a socket of another kind under the number of a
//! descriptor that was closed, or one that another process passed on) is found out by the next answer that is not remembered:
//! each is good for a few uses only.

use core::ptr;

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use sensor_common::record::FileKey;

use crate::maps;

/// Entries of each kind, a power of two.
const SLOTS: usize = 32;
/// Uses of an answer about a parent.
const USES_MAX: u64 = 16;

#[map]
static RECENT: PerCpuArray<Recent> = PerCpuArray::with_max_entries(1, 0);

/// The time at which something last happened that can change an answer. User space sets it as well.
#[map]
static EPOCH: Array<u64> = Array::with_max_entries(1, 0);

/// One CPU's.
#[repr(C)]
pub struct Recent {
    parents: [Answer; SLOTS],
    files: [FileKey; SLOTS],
}

#[repr(C)]
struct Answer {
    parent: Parent,
    uses: u64,
}

/// A process, and what its answer depends on.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Parent {
    pub tgid: u64,
    pub start_ns: u64,
    /// Its open descriptors, bit by bit.
    pub open: [u64; 2],
    pub epoch: u64,
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

/// Whether this parent was found to speak for nobody.
#[inline(always)]
pub fn is_plain(parent: &Parent) -> bool {
    let Some(answer) = answer(parent) else { return false };
    // SAFETY: this CPU's map value; no other program uses it meanwhile.
    let answer = unsafe { &mut *answer };
    let known = &answer.parent;
    let difference = known.tgid ^ parent.tgid
        | known.start_ns ^ parent.start_ns
        | known.open[0] ^ parent.open[0]
        | known.open[1] ^ parent.open[1]
        | known.epoch ^ parent.epoch;
    if difference != 0 || answer.uses >= USES_MAX {
        return false;
    }
    answer.uses += 1;
    true
}

/// Remembers that this parent speaks for nobody.
#[inline(always)]
pub fn remember_plain(parent: Parent) {
    if let Some(answer) = answer(&parent) {
        // SAFETY: as above.
        unsafe { *answer = Answer { parent, uses: 0 } };
    }
}

#[inline(always)]
fn answer(parent: &Parent) -> Option<*mut Answer> {
    let recent = RECENT.get_ptr_mut(0)?;
    // A shell that starts pipelines has now these, now those pipes open.
    let index = (parent.tgid ^ parent.open[0] ^ parent.open[0] >> 5) as usize & (SLOTS - 1);
    // SAFETY: the mask keeps the index within the array.
    Some(unsafe { (&raw mut (*recent).parents).cast::<Answer>().add(index) })
}

/// Whether this file was found to be neither shell nor interpreter.
#[inline(always)]
pub fn is_other(key: &FileKey) -> bool {
    let Some(known) = file(key) else { return false };
    // SAFETY: as above.
    let known = unsafe { &*known };
    let difference = known.inode ^ key.inode
        | known.size ^ key.size
        | known.changed ^ key.changed
        | u64::from(known.device ^ key.device);
    // No file has the inode number 0, which an empty slot has.
    difference == 0 && key.inode != 0
}

/// Remembers that this file is neither.
#[inline(always)]
pub fn remember_other(key: FileKey) {
    if let Some(file) = file(&key) {
        // SAFETY: as above.
        unsafe { *file = key };
    }
}

#[inline(always)]
fn file(key: &FileKey) -> Option<*mut FileKey> {
    let recent = RECENT.get_ptr_mut(0)?;
    let index = key.inode as usize & (SLOTS - 1);
    // SAFETY: the mask keeps the index within the array.
    Some(unsafe { (&raw mut (*recent).files).cast::<FileKey>().add(index) })
}
