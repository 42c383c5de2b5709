//! The unsafe room: reads of kernel memory, each behind a small `Copy` type that names what it reads.
//!
//! Two ways to read:
//! - [`direct`]: a plain load through a pointer that the verifier knows the type of. An offset that does not fit that
//!   type is refused at load. Cheapest; a fault reads as zero.
//! - [`probe`]: `bpf_probe_read_kernel` through an address that is a mere number to the verifier. A wrong offset would
//!   go unnoticed, which is what the self-test at start is for.
//!
//! A pointer obtained by `direct` stays typed. One obtained by `probe` (or through `void *` and `T **` members, which the
//! verifier does not follow) is an address.

mod file;
mod sock;
mod task;

use core::ptr;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user};
use sensor_common::offsets::{EnumValues, MISSING, Offsets};

pub use self::{
    file::{
        File, FileType, Files, Inode, Momentary, Operations, Path, TypedFile, learn, operations, socket_operations,
    },
    sock::Sock,
    task::{Bprm, CgroupNode, Current, Task},
};

/// Filled by user space before load. Volatile reads keep the compiler from folding the poison in; the verifier sees
/// constants all the same, since `.rodata` is frozen.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::POISONED;

#[unsafe(no_mangle)]
static ENUMS: EnumValues = EnumValues {
    pids_cgroup: MISSING,
    memory_cgroup: MISSING,
};

macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a static of this very type, aligned and initialised.
        unsafe { ptr::read_volatile(&raw const OFFSETS.$field) }
    };
}
use offset;

/// The output of an iterator (`struct seq_file`), typed, from its `struct bpf_iter_meta`.
#[inline(always)]
pub fn seq_of_iterator(meta: *const u8) -> *const u8 {
    direct(meta, offset!(seq_of_iterator))
}

/// Zero, which the verifier takes for any number. What it knows to be zero it follows by itself as far as it is known.
#[inline(always)]
pub fn zero() -> u64 {
    static mut ZERO: u64 = 0;
    // SAFETY: an aligned word that nobody writes; volatile, and in writable memory, so that nobody foresees its value.
    unsafe { ptr::read_volatile(&raw const ZERO) }
}

/// A kernel read that failed.
pub struct Fault;

/// Loads a `T` at `base + offset` through a typed pointer.
#[inline(always)]
fn direct<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: the verifier proves that `base` points to a kernel object with a member of this size at this offset; the
    // kernel turns a fault into zero.
    unsafe { ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
}

/// Copies a `T` from `address + offset`.
#[inline(always)]
fn probe<T: Copy>(address: u64, offset: u32) -> Result<T, Fault> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the destination is a local of that size; the helper checks the source and reports a fault.
    unsafe {
        let failed = bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            (address + u64::from(offset)) as *const _,
        );
        if failed != 0 {
            Err(Fault)
        } else {
            Ok(value.assume_init())
        }
    }
}

/// What a fault can leave behind.
trait Zero: Copy {
    const ZERO: Self;
}

impl Zero for u8 {
    const ZERO: Self = 0;
}
impl Zero for u16 {
    const ZERO: Self = 0;
}
impl Zero for u32 {
    const ZERO: Self = 0;
}
impl Zero for u64 {
    const ZERO: Self = 0;
}
impl<T: Zero, const N: usize> Zero for [T; N] {
    const ZERO: Self = [T::ZERO; N];
}

/// Copies a `T` from `address + offset`; zero if that can't be read. Without a branch: two outcomes of each read would
/// double the states that the verifier has to follow, and the compiler would carry an undefined value through the one that
/// failed, in a register or stack slot that the verifier of 5.10 refuses to see read.
#[inline(always)]
fn probe_or_zero<T: Zero>(address: u64, offset: u32) -> T {
    let mut value = T::ZERO;
    // SAFETY: the destination is a local of that size; the helper checks the source, and clears the destination on a fault.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            (address + u64::from(offset)) as *const _,
        );
    }
    value
}

/// Copies `size` bytes of kernel memory.
///
/// # Safety
/// `destination` has room for `size` bytes, and the verifier can see that.
#[inline(always)]
pub unsafe fn copy(destination: *mut u8, size: u32, address: u64) -> Result<(), Fault> {
    // SAFETY: as the caller vouches; the helper checks the source.
    let failed = unsafe { bpf_probe_read_kernel(destination.cast(), size, address as *const _) };
    if failed != 0 { Err(Fault) } else { Ok(()) }
}

/// Copies a NUL-terminated string of the kernel's, at most `size` bytes with the NUL; returns how many were written.
///
/// # Safety
/// `destination` has room for `size` bytes, and the verifier can see that.
#[inline(always)]
pub unsafe fn copy_str(destination: *mut u8, size: u32, address: u64) -> Result<u64, Fault> {
    // SAFETY: as the caller vouches; the helper checks the source.
    let written = unsafe { bpf_probe_read_kernel_str(destination.cast(), size, address as *const _) };
    // Both comparisons are for the verifier, which takes the result for any number.
    if written <= 0 || written as u64 > u64::from(size) {
        Err(Fault)
    } else {
        Ok(written as u64)
    }
}

/// Copies `size` bytes of the current process's memory.
///
/// # Safety
/// `destination` has room for `size` bytes, and the verifier can see that.
#[inline(always)]
pub unsafe fn copy_user(destination: *mut u8, size: u32, address: u64) -> Result<(), Fault> {
    // SAFETY: as the caller vouches; the helper checks the source.
    let failed = unsafe { bpf_probe_read_user(destination.cast(), size, address as *const _) };
    if failed != 0 { Err(Fault) } else { Ok(()) }
}
