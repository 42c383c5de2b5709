//! Tests of the engine: what it is fed with is built by [`build`].

mod argv;
mod build;
mod lifecycle;
mod random;
mod rule;
