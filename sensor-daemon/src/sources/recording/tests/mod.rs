//! Recordings are read back as they were written, and judged as they were.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod build;
mod reader;
mod replayed;
