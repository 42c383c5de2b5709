//! Samples what watched connections deliver, at the moment at which the kernel hands a packet to its socket. Attached to
//! the root cgroup, and only while somebody is watched.

use aya_ebpf::programs::SkBuffContext;
use sensor_common::wire::{FlowKey, PACKET_MAX, PACKETS, Packet, Sample};

use crate::{kernel::now, maps};

// include/uapi/linux/if_ether.h, include/uapi/linux/in.h
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;

/// Where a packet comes from and goes to, and where its payload begins.
struct Headers {
    from: [u8; 16],
    from_port: u16,
    to_port: u16,
    protocol: u8,
    payload: u32,
}

/// Keeps the packet's payload, if its flow is watched.
#[inline(always)]
pub fn sample(ctx: &SkBuffContext) {
    let Some(headers) = headers(ctx) else { return };
    let outbound = FlowKey {
        address: headers.from,
        port: headers.from_port,
        protocol: headers.protocol,
        inbound: 0,
    };
    let inbound = FlowKey {
        address: [0; 16],
        port: headers.to_port,
        protocol: headers.protocol,
        inbound: 1,
    };
    let Some(sample) = maps::sample(&outbound).or_else(|| maps::sample(&inbound)) else {
        return;
    };
    keep(ctx, headers.payload, sample);
}

#[inline(always)]
fn keep(ctx: &SkBuffContext, payload: u32, sample: *mut Sample) {
    let mut length = ctx.len().saturating_sub(payload);
    if length == 0 {
        return;
    }
    if length > PACKET_MAX as u32 {
        length = PACKET_MAX as u32;
    }
    // SAFETY: a map value; the mask keeps the index within the array. User space may read a packet that is half written:
    // it then finds no command in it.
    unsafe {
        let count = core::ptr::read_volatile(&raw const (*sample).count);
        let packet = (&raw mut (*sample).packets)
            .cast::<Packet>()
            .add(count as usize & (PACKETS - 1));
        // By way of memory, so that the verifier sees that it lies between 1 and PACKET_MAX and no optimisation hides it.
        core::ptr::write_volatile(&raw mut (*packet).length, length - 1);
        let length = (core::ptr::read_volatile(&raw const (*packet).length) & (PACKET_MAX as u32 - 1)) + 1;
        if maps::load_packet(ctx, payload, (&raw mut (*packet).data).cast(), length) {
            (*packet).time_ns = now();
            core::ptr::write_volatile(&raw mut (*packet).length, length);
            core::ptr::write_volatile(&raw mut (*sample).count, count + 1);
        }
    }
}

/// Read where they lie: the headers are in the linear part of a packet that has come so far.
#[inline(always)]
fn headers(ctx: &SkBuffContext) -> Option<Headers> {
    // SAFETY: a member of the context, in network byte order.
    let protocol = u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16);
    let (from, protocol, transport) = match protocol {
        ETH_P_IP => {
            let version_and_length: u8 = load(ctx, 0)?;
            let protocol: u8 = load(ctx, 9)?;
            let [a, b, c, d]: [u8; 4] = load(ctx, 12)?;
            let from = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
            (from, protocol, usize::from(version_and_length & 0xf) * 4)
        }
        // Extension headers are left out: no implementation puts them before TCP unasked.
        ETH_P_IPV6 => (load(ctx, 8)?, load(ctx, 6)?, 40),
        _ => return None,
    };
    let [from_port, to_port]: [u16; 2] = load(ctx, transport)?;
    let payload = match protocol {
        IPPROTO_TCP => {
            let offset: u8 = load(ctx, transport + 12)?;
            transport as u32 + u32::from(offset >> 4) * 4
        }
        IPPROTO_UDP => transport as u32 + 8,
        _ => return None,
    };
    Some(Headers {
        from,
        from_port: u16::from_be(from_port),
        to_port: u16::from_be(to_port),
        protocol,
        payload,
    })
}

/// Bytes of the packet from `offset` on.
#[inline(always)]
fn load<T: Copy>(ctx: &SkBuffContext, offset: usize) -> Option<T> {
    // SAFETY: members of the context.
    let (data, end) = unsafe { ((*ctx.skb.skb).data as usize, (*ctx.skb.skb).data_end as usize) };
    let start = data + offset;
    if start + size_of::<T>() > end {
        return None;
    }
    // SAFETY: within the packet, as the verifier checks too; any bytes are a `T` of those asked for.
    Some(unsafe { core::ptr::read_unaligned(start as *const T) })
}
