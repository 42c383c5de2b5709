//! What formats of many optional fields have in common.

use serde_json::Value;

use crate::model::{Host, ProcessId};

/// The value without members that say nothing: null, empty lists, empty objects.
pub(super) fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_empty(value)))
            .filter(|(_, value)| !says_nothing(value))
            .collect(),
        Value::Array(items) => items
            .into_iter()
            .map(without_empty)
            .filter(|item| !item.is_null())
            .collect(),
        other => other,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A name for a process that no other has, on this machine or another: boot, number and start.
pub(super) fn process_entity(process: ProcessId, host: &Host) -> String {
    format!("{}:{}:{}", host.boot_id, process.pid, process.start_ticks())
}
