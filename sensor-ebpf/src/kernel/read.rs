//! Ways to read kernel memory. Owns every `unsafe` read of it; the modules beside this one name what they read.

use core::ptr;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user};
use sensor_common::offsets::{EnumValues, MISSING, Offsets};

/// Filled by user space before load. Volatile reads keep the compiler from folding the poison in; the verifier sees
/// constants all the same, since `.rodata` is frozen.
#[unsafe(no_mangle)]
pub(super) static OFFSETS: Offsets = Offsets::POISONED;

/// Filled like [`OFFSETS`].
#[unsafe(no_mangle)]
pub(super) static ENUMS: EnumValues = EnumValues {
    pids_cgroup: MISSING,
    memory_cgroup: MISSING,
};

macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a static of this very type, aligned and initialised.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::read::OFFSETS.$field) }
    };
}
pub(super) use offset;

/// Returns zero, which the verifier takes for any number. It would follow a value that it knows in states of their own.
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
pub(super) fn direct<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: the verifier proves that `base` points to a kernel object with a member of this size at this offset; the
    // kernel turns a fault into zero.
    unsafe { ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
}

/// Copies a `T` from `address + offset`.
#[inline(always)]
pub(super) fn probe<T: Copy>(address: u64, offset: u32) -> Result<T, Fault> {
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
pub(super) trait Zero: Copy {
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

/// Copies a `T` from `address + offset`; returns zero if that can't be read.
///
/// There is no branch, for two reasons. Two outcomes of each read would double the states that the verifier has to follow.
/// And the compiler would carry an undefined value through the outcome that failed, in a register or stack slot that the
/// verifier of 5.10 refuses to see read.
#[inline(always)]
pub(super) fn probe_or_zero<T: Zero>(address: u64, offset: u32) -> T {
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
