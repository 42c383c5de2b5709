//! Clocks.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_boot_ns};

/// Nanoseconds since boot, suspend included.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Ticks of the kernel's own clock (`jiffies`), 1 to 10 ms each: a single load.
#[inline(always)]
pub fn tick() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_jiffies64() }
}
