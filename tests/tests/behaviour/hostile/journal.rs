//! Reads the hostile findings back from a journal.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use sensor_tests::{
    deadline::wait_for,
    hostile::harmless,
    journal::{Entry, Journal},
    suite::Format,
};
use serde_json::Value;

use super::{FIELDS, layout::state, shell::Shell};

/// `MESSAGE_ID` of every finding.
const MESSAGE_ID: &str = "6b9c4d0f8a3e4c5bb2d7e19f50c8a7d4";
/// The one value of a field.
fn field<'a>(entry: &'a Entry, name: &str) -> Result<Option<&'a str>> {
    let mut values = entry.iter().filter(|(field, _)| field == name);
    let value = values.next().map(|(_, value)| std::str::from_utf8(value)).transpose()?;
    ensure!(values.next().is_none(), "{name} comes twice");
    Ok(value)
}

/// Whether the journal has all states of the finding, each in its fields, and nothing that it did not choose.
pub fn check(journal: &Journal, id: &str, count: u64, shell: &Shell<'_>) -> Result<()> {
    let entries = wait_for("every entry of the journal", || {
        let entries = journal.entries(&[&format!("FINDING_ID={id}")])?;
        Ok((entries.len() as u64 >= count).then_some(entries))
    })?;
    ensure!(
        entries.len() as u64 == count,
        "{} entries instead of {count}",
        entries.len()
    );
    let mut states = HashSet::new();
    for entry in &entries {
        for (name, value) in entry {
            let known = name.starts_with('_')
                || ["MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER", "FINDING_JSON"].contains(&name.as_str())
                || name.strip_prefix("FINDING_").is_some_and(|name| FIELDS.contains(&name));
            ensure!(known, "an entry with a field {name}");
            if name.starts_with("FINDING_") && name != "FINDING_JSON" {
                ensure!(value.len() < 4096, "{name} has {} bytes", value.len());
                ensure!(!value.contains(&b'\n'), "{name} has several lines");
                harmless(value, false)?;
            }
        }
        let one = |name: &str| field(entry, name)?.with_context(|| format!("no {name}: {entry:?}"));
        ensure!(one("FINDING_SEVERITY")? == "CRITICAL", "{entry:?}");
        ensure!(one("MESSAGE_ID")? == MESSAGE_ID, "{entry:?}");
        harmless(one("MESSAGE")?.as_bytes(), false)?;
        let binary = one("FINDING_BINARY")?;
        ensure!(binary.starts_with("$'/") && binary.contains("\\n"), "{binary:?}");
        let json: Value = serde_json::from_str(one("FINDING_JSON")?)?;
        let (json_id, update) = state(Format::Scc, &json);
        ensure!(
            json_id == id && one("FINDING_UPDATE")? == update.to_string(),
            "{entry:?}"
        );
        let over = one("FINDING_STATE")? == "ENDED";
        ensure!(over == (update == count), "state {update} of {count}: {entry:?}");
        // LOG_NOTICE for the end, else LOG_CRIT.
        ensure!(one("PRIORITY")? == if over { "5" } else { "2" }, "{entry:?}");
        if over {
            shell.check(Format::Scc, &json)?;
            ensure!(one("FINDING_LAST_COMMAND")?.contains("-c :"), "{entry:?}");
        }
        ensure!(states.insert(update), "state {update} is there twice");
    }
    for evil in ["FINDING_ID=evil", "INJECTED=1", "MESSAGE=evil"] {
        ensure!(journal.entries(&[evil])?.is_empty(), "{evil} is there");
    }
    for entry in journal.entries(&["SYSLOG_IDENTIFIER=sensor-daemon"])? {
        let of_a_finding = field(&entry, "FINDING_ID")?.is_some_and(|id| id.len() == 32);
        ensure!(of_a_finding, "an entry of no finding: {entry:?}");
    }
    Ok(())
}
