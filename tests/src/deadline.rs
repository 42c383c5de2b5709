//! Waiting for conditions. A deadline only turns a condition that never comes into a failure.

use std::{
    env, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How long a condition may take before the test fails: 20 s, or `SENSOR_TEST_DEADLINE` seconds (emulated machines).
#[must_use]
pub fn deadline() -> Duration {
    let seconds = env::var("SENSOR_TEST_DEADLINE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Asks for `condition` until it gives something.
///
/// # Errors
/// The condition's own error, or that `what` did not come in time.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + deadline();
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("waited in vain for {what}");
        }
        // Only to leave the processor to whoever makes the condition true.
        thread::sleep(Duration::from_millis(1));
    }
}
