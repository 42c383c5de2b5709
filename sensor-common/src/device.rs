//! Character devices by number. A number has the form that the kernel uses inside: major << 20 | minor.
//!
//! The majors come from Documentation/admin-guide/devices.txt and include/uapi/linux/major.h. They are a part of the
//! user-space interface.

/// `/dev/ptmx`: the file that becomes the master side of a pseudo-terminal.
pub const PTMX: u32 = number(5, 2);

/// Builds a number from its two parts.
#[inline(always)]
#[must_use]
pub const fn number(major: u32, minor: u32) -> u32 {
    major << 20 | minor
}

/// Returns the major number.
#[inline(always)]
#[must_use]
pub const fn major(device: u32) -> u32 {
    device >> 20
}

/// Returns the minor number.
#[inline(always)]
#[must_use]
pub const fn minor(device: u32) -> u32 {
    device & 0xf_ffff
}

/// Whether this is `/dev/null`, `/dev/zero` or another device of drivers/char/mem.c.
#[inline(always)]
#[must_use]
pub const fn is_memory(device: u32) -> bool {
    major(device) == 1
}

/// Whether this is the slave side of a pseudo-terminal: majors 136 to 143.
#[inline(always)]
#[must_use]
pub const fn is_pseudo_terminal(device: u32) -> bool {
    matches!(major(device), 136..=143)
}

/// Returns the number that `/dev/pts` shows for the slave side of a pseudo-terminal: each major has 256 of them.
#[must_use]
pub const fn pseudo_terminal_index(device: u32) -> Option<u32> {
    if is_pseudo_terminal(device) {
        Some((major(device) - 136) * 256 + minor(device))
    } else {
        None
    }
}

/// Whether this is a terminal: a pseudo-terminal's slave side, or one of majors 4 and 5, which are consoles, serial lines
/// and `/dev/tty`. [`PTMX`] has major 5 too, so ask for it first.
#[inline(always)]
#[must_use]
pub const fn is_terminal(device: u32) -> bool {
    matches!(major(device), 4 | 5) || is_pseudo_terminal(device)
}
