//! Whether the sensor can work, and whether it does: prerequisites (`doctor`), the self-test at start.

pub mod doctor;
pub mod self_test;
