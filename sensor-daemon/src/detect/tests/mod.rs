//! Tests of the engine: what it is fed with is built by [`build`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod argv;
mod bounds;
mod build;
mod exceptions;
mod lifecycle;
mod pace;
mod pops;
mod random;
mod relay;
mod rule;
mod suspects;
mod trace;
mod wiring;
