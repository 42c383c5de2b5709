//! Sockets.

use sensor_common::offsets::{MISSING, bitfield_parts};

use super::{
    inode::Inode,
    read::{Fault, offset, probe, probe_or_zero},
};

/// `struct sock`, by address.
#[derive(Clone, Copy)]
pub struct Sock(pub(super) u64);

impl Sock {
    #[inline(always)]
    pub fn from_context(pointer: *const u8) -> Self {
        Self(pointer as u64)
    }

    /// What tells it apart from other sockets while it lives. Never leaves the kernel.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub fn family(self) -> Result<u16, Fault> {
        probe(self.0, offset!(sk_family))
    }

    #[inline(always)]
    pub fn state(self) -> u8 {
        probe_or_zero(self.0, offset!(sk_state))
    }

    #[inline(always)]
    pub fn socket_type(self) -> u16 {
        probe_or_zero(self.0, offset!(sk_type))
    }

    #[inline(always)]
    pub fn protocol(self) -> u16 {
        probe_or_zero(self.0, offset!(sk_protocol))
    }

    #[inline(always)]
    pub fn cookie(self) -> u64 {
        probe_or_zero(self.0, offset!(sk_cookie))
    }

    #[inline(always)]
    pub fn netns(self) -> u32 {
        match probe::<u64>(self.0, offset!(sk_net)) {
            Ok(net) => probe_or_zero(net, offset!(net_inum)),
            Err(Fault) => 0,
        }
    }

    /// Local and remote port, host byte order.
    #[inline(always)]
    pub fn ports(self) -> (u16, u16) {
        (
            probe_or_zero(self.0, offset!(sk_num)),
            u16::from_be(probe_or_zero(self.0, offset!(sk_dport))),
        )
    }

    /// Local and remote IPv4 address, network byte order.
    #[inline(always)]
    pub fn ipv4(self) -> ([u8; 4], [u8; 4]) {
        (
            probe_or_zero(self.0, offset!(sk_rcv_saddr)),
            probe_or_zero(self.0, offset!(sk_daddr)),
        )
    }

    /// Local and remote IPv6 address.
    #[inline(always)]
    pub fn ipv6(self) -> ([u8; 16], [u8; 16]) {
        if offset!(sk_v6_daddr) == MISSING {
            return ([0; 16], [0; 16]);
        }
        (
            probe_or_zero(self.0, offset!(sk_v6_rcv_saddr)),
            probe_or_zero(self.0, offset!(sk_v6_daddr)),
        )
    }

    /// Local and remote vsock address, each context id and port; zeros where the kernel's BTF lacks vsock.
    #[inline(always)]
    pub fn vsock(self) -> ((u32, u32), (u32, u32)) {
        if offset!(vsock_remote_cid) == MISSING {
            return ((0, 0), (0, 0));
        }
        let local = (
            probe_or_zero(self.0, offset!(vsock_local_cid)),
            probe_or_zero(self.0, offset!(vsock_local_port)),
        );
        let remote = (
            probe_or_zero(self.0, offset!(vsock_remote_cid)),
            probe_or_zero(self.0, offset!(vsock_remote_port)),
        );
        (local, remote)
    }

    /// `SOCK_BINDPORT_LOCK` (8) of `sk_userlocks`: the program chose the local port.
    #[inline(always)]
    pub fn port_bound(self) -> bool {
        let packed = offset!(sk_userlocks);
        if packed == MISSING {
            return false;
        }
        let (byte, shift) = bitfield_parts(packed);
        probe_or_zero::<u8>(self.0, byte) >> (shift & 7) & 8 != 0
    }

    /// Bytes that a TCP socket has received.
    #[inline(always)]
    pub fn tcp_bytes_received(self) -> u64 {
        if offset!(tcp_bytes_received) == MISSING {
            return 0;
        }
        probe_or_zero(self.0, offset!(tcp_bytes_received))
    }

    /// Bytes that a TCP socket has sent.
    #[inline(always)]
    pub fn tcp_bytes_sent(self) -> u64 {
        if offset!(tcp_bytes_sent) == MISSING {
            return 0;
        }
        probe_or_zero(self.0, offset!(tcp_bytes_sent))
    }

    /// The socket at the other end of an AF_UNIX connection.
    #[inline(always)]
    pub fn unix_peer(self) -> Option<Self> {
        if offset!(unix_peer) == MISSING {
            return None;
        }
        match probe::<u64>(self.0, offset!(unix_peer)) {
            Ok(peer) if peer != 0 => Some(Self(peer)),
            _ => None,
        }
    }

    /// Inode number of the descriptor side, 0 once nobody holds it.
    #[inline(always)]
    pub fn inode_number(self) -> u64 {
        let Ok(socket) = probe::<u64>(self.0, offset!(sk_socket)) else {
            return 0;
        };
        if socket == 0 {
            return 0;
        }
        match probe::<u64>(socket, offset!(socket_file)) {
            Ok(file) if file != 0 => probe(file, offset!(file_inode)).map_or(0, |inode| Inode(inode).number()),
            _ => 0,
        }
    }
}
