//! What the kernel side and user space must agree on: the records that cross the ring buffer ([`record`]), the table
//! of kernel struct offsets ([`offsets`]), the counters ([`counters`]) and what connections delivered ([`wire`]). Nothing else
//! lives here.
//!
//! Every type is plain `repr(C)` data without implicit padding, so that a byte of a record can never be a leftover of
//! kernel memory, and so that user space converts from bytes with checked lengths (feature `user`).
#![no_std]

pub mod counters;
pub mod offsets;
pub mod record;
pub mod wire;
