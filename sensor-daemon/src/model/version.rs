//! Which build this is.

/// The package's version, and the commit if it was built from a git checkout: `0.1.0+0123456789ab`.
pub const VERSION: &str = env!("SENSOR_VERSION");
