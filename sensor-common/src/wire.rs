//! What a watched connection delivered last: the map `SAMPLES`, filled by the kernel side while user space watches
//! anybody. Never leaves memory.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Packets kept of one flow.
pub const PACKETS: usize = 4;
/// Bytes kept of one packet, from its payload's beginning.
pub const PACKET_MAX: usize = 1024;

/// Whose packets are sampled: a key of `SAMPLES`. Of an outbound connection all that come from its peer's address and
/// port, so that a reconnection is the same flow; of an inbound one all that come to its local port.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// The peer's IPv6 address, IPv4 ones mapped (`::ffff:a.b.c.d`); zero for inbound.
    pub address: [u8; 16],
    /// The peer's port; for inbound the local one. Host byte order.
    pub port: u16,
    /// `IPPROTO_*`.
    pub protocol: u8,
    /// Whether it is inbound.
    pub inbound: u8,
}

/// One packet's payload.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy)]
pub struct Packet {
    /// Nanoseconds since boot at which it came.
    pub time_ns: u64,
    /// Bytes of `data` in use.
    pub length: u32,
    /// Zero.
    pub reserved: u32,
    /// The payload's beginning.
    pub data: [u8; PACKET_MAX],
}

/// A value of `SAMPLES`.
#[repr(C)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[derive(Clone, Copy)]
pub struct Sample {
    /// Packets with a payload since the flow is watched.
    pub count: u64,
    /// The last ones; packet number n at n mod [`PACKETS`].
    pub packets: [Packet; PACKETS],
}

const _: () = {
    assert!(size_of::<FlowKey>() == 20);
    assert!(size_of::<Sample>() == 8 + PACKETS * (16 + PACKET_MAX));
};
