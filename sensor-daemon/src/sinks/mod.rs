//! Where finding lines go.

pub mod stdout;
