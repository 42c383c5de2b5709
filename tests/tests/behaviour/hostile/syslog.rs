//! Reads the hostile findings back from a collector of syslog messages.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use sensor_tests::{
    collector::{Collector, Message},
    deadline::wait_for,
    hostile::harmless,
};

use super::FIELDS;

fn parameter<'a>(message: &'a Message, name: &str) -> Option<&'a String> {
    let (_, parameters) = message.data.first()?;
    parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Whether the collector was sent all states of the finding, each in its parameters.
pub fn check(collector: &Collector, id: &str, count: u64) -> Result<()> {
    let messages = wait_for("every message of syslog", || {
        let mut messages = collector.messages()?;
        messages.retain(|message| parameter(message, "id").is_some_and(|of| of == id));
        Ok((messages.len() as u64 >= count).then_some(messages))
    })?;
    ensure!(
        messages.len() as u64 == count,
        "{} messages instead of {count}",
        messages.len()
    );
    for (number, message) in (1..).zip(&messages) {
        // authpriv.crit
        ensure!(message.priority == 82, "{message:?}");
        let [_, _, program, _, kind] = &message.header;
        ensure!(program == "sensor-daemon" && kind == "FINDING", "{message:?}");
        let [(element, parameters)] = message.data.as_slice() else {
            anyhow::bail!("not one element: {message:?}");
        };
        ensure!(element == "finding@32473", "{message:?}");
        let mut names = HashSet::new();
        for (name, value) in parameters {
            ensure!(FIELDS.contains(&name.to_uppercase().as_str()), "a parameter {name}");
            ensure!(names.insert(name), "{name} comes twice");
            harmless(value.as_bytes(), false)?;
            ensure!(!value.contains(['\n', '\r']), "{name} has several lines");
        }
        harmless(message.text.as_bytes(), false)?;
        ensure!(!message.text.contains(['\n', '\r']), "several lines: {message:?}");
        ensure!(parameter(message, "update") == Some(&number.to_string()), "{message:?}");
        ensure!(
            parameter(message, "severity").is_some_and(|severity| severity == "CRITICAL"),
            "{message:?}"
        );
        let binary = parameter(message, "binary").context("no binary")?;
        ensure!(binary.starts_with("$'/") && binary.contains("\\n"), "{binary:?}");
    }
    let last = messages.last().context("no message")?;
    ensure!(
        parameter(last, "state").is_some_and(|state| state == "INACTIVE"),
        "{last:?}"
    );
    Ok(())
}
