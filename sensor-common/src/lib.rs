//! What the kernel side and user space must agree on: the records that cross the ring buffer ([`record`]), the table
//! of kernel struct offsets ([`offsets`]), the counters ([`counters`]), what connections delivered ([`wire`]), the stages of an exec ([`stage`]), and facts
//! that both judge by ([`device`], [`tcp_state`], [`first_argument`]). Nothing else lives here.
//!
//! Every record is plain `repr(C)` data without implicit padding, so that a byte of a record can never be a leftover of
//! kernel memory, and so that user space converts from bytes with checked lengths (feature `user`).
#![no_std]

pub mod counters;
pub mod device;
pub mod first_argument;
pub mod offsets;
pub mod record;
pub mod stage;
pub mod tcp_state;
pub mod wire;
