//! Reads the hostile findings back from a collector of syslog messages.

use anyhow::{Context as _, Result, ensure};
use sensor_tests::{collector::Collector, deadline::wait_for, hostile::harmless};

use super::FIELDS;

/// Whether the collector was sent all states of the finding, each in its fields.
pub fn check(collector: &Collector, id: &str, count: u64) -> Result<()> {
    let messages = wait_for("every message of syslog", || {
        let mut messages = collector.messages()?;
        messages.retain(|message| message.field("id") == Some(id));
        Ok((messages.len() as u64 >= count).then_some(messages))
    })?;
    ensure!(
        messages.len() as u64 == count,
        "{} messages instead of {count}",
        messages.len()
    );
    for (number, message) in (1..).zip(&messages) {
        let over = message.field("state") == Some("ENDED");
        ensure!(over == (number == count), "state {number} of {count}: {message:?}");
        // authpriv.notice for the end, else authpriv.crit
        ensure!(message.priority == if over { 85 } else { 82 }, "{message:?}");
        let [_, _, program, _, kind] = &message.header;
        ensure!(program == "sensor-daemon" && kind == "FINDING", "{message:?}");
        for (name, value) in &message.fields {
            let known = name == "message" || FIELDS.contains(&name.to_uppercase().as_str());
            ensure!(known, "a field {name}");
            harmless(value.as_bytes(), false)?;
            ensure!(!value.contains(['\n', '\r']), "{name} has several lines");
        }
        ensure!(
            message.field("update") == Some(&number.to_string()) && message.field("severity") == Some("CRITICAL"),
            "{message:?}"
        );
        let binary = message.field("binary").context("no binary")?;
        ensure!(binary.starts_with("$'/") && binary.contains("\\n"), "{binary:?}");
    }
    Ok(())
}
