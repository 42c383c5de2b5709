//! Counters that the kernel side keeps for each CPU. All of them count losses. User space adds the CPUs up and shows the
//! sums in findings and in diagnostics.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One CPU's counters, monotonic since load.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records lost because the ring buffer was full.
    pub ring_full: u64,
    /// Execs whose descriptor table could not be read; such an exec is not judged.
    pub read_failed_streams: u64,
    /// Sockets whose kernel object could not be read.
    pub read_failed_socket: u64,
    /// Argument lists that could not be read, or only in part.
    pub read_failed_argv: u64,
    /// Paths (executed file, working directory, script) that could not be read.
    pub read_failed_path: u64,
    /// Processes or sockets whose end will not be reported, because a tracking map was full.
    pub tracking_full: u64,
    /// Records lost because a program of the chain that builds them was not in place.
    pub stage_missing: u64,
}

impl Counters {
    /// How many there are.
    pub const COUNT: usize = size_of::<Self>() / size_of::<u64>();

    /// Adds another CPU's counters to these.
    pub fn add(&mut self, other: &Self) {
        // Exhaustive, so that a new counter can't be forgotten.
        let Self {
            ring_full,
            read_failed_streams,
            read_failed_socket,
            read_failed_argv,
            read_failed_path,
            tracking_full,
            stage_missing,
        } = other;
        self.ring_full += ring_full;
        self.read_failed_streams += read_failed_streams;
        self.read_failed_socket += read_failed_socket;
        self.read_failed_argv += read_failed_argv;
        self.read_failed_path += read_failed_path;
        self.tracking_full += tracking_full;
        self.stage_missing += stage_missing;
    }
}
