//! States of a TCP connection. The values come from include/net/tcp_states.h and are a part of the user-space interface
//! since `struct tcp_info`. SCTP, DCCP, vsock and connected UDP sockets use them too.

/// Data flows in both directions.
pub const ESTABLISHED: u8 = 1;
/// This host asked for a connection and waits for the answer.
pub const SYN_SENT: u8 = 2;
/// A peer asked for a connection and this host has answered.
pub const SYN_RECV: u8 = 3;
/// This host has finished sending; the peer has not confirmed that.
pub const FIN_WAIT1: u8 = 4;
/// This host has finished sending and the peer knows; the peer may still send.
pub const FIN_WAIT2: u8 = 5;
/// There is no connection.
pub const CLOSE: u8 = 7;
/// The peer has finished sending; this host may still send.
pub const CLOSE_WAIT: u8 = 8;
/// The socket accepts connections.
pub const LISTEN: u8 = 10;

/// Whether data can still flow in one direction at least.
#[inline(always)]
#[must_use]
pub const fn is_connected(state: u8) -> bool {
    matches!(state, ESTABLISHED | SYN_RECV | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT)
}

/// Whether there is a peer: one that is connected, or one that was asked for a connection.
#[inline(always)]
#[must_use]
pub const fn has_peer(state: u8) -> bool {
    // One comparison of bits, since the kernel side pays for each branch.
    const STATES: u32 =
        1 << ESTABLISHED | 1 << SYN_SENT | 1 << SYN_RECV | 1 << FIN_WAIT1 | 1 << FIN_WAIT2 | 1 << CLOSE_WAIT;
    STATES >> (state & 31) & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_connected_or_asked() {
        for state in 0..32 {
            assert_eq!(has_peer(state), is_connected(state) || state == SYN_SENT, "{state}");
        }
    }
}
