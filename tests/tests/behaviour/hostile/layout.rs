//! Where each format has what the tests of hostile bytes look for.

use sensor_tests::{finding::has_ended, suite::Format};
use serde_json::Value;

/// Where things are in a line.
#[derive(Clone, Copy)]
pub struct Layout {
    pub port: &'static str,
    pub over: fn(&Value) -> bool,
    pub environment: &'static str,
}

pub fn layout(format: Format) -> Layout {
    match format {
        Format::Scc => Layout {
            port: "/finding/connections/0/destinationPort",
            over: has_ended,
            environment: "/finding/processes/0/envVariables",
        },
        Format::Ocsf => Layout {
            port: "/evidences/0/dst_endpoint/port",
            over: |line| line["end_time"].is_number(),
            environment: "/evidences/0/process/environment_variables",
        },
        Format::Ecs => Layout {
            port: "/destination/port",
            over: |line| line["event"]["end"].is_string(),
            environment: "/process/env_vars",
        },
    }
}

/// Id and number of the state that a line is about.
pub fn state(format: Format, line: &Value) -> (String, u64) {
    let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let number = |pointer: &str| line.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    match format {
        Format::Scc => {
            let name = text("/finding/name").rsplit('/').next().unwrap_or_default();
            (name.to_owned(), number("/finding/sourceProperties/update"))
        }
        Format::Ocsf => (text("/finding_info/uid").to_owned(), number("/metadata/sequence")),
        Format::Ecs => {
            let id = text("/event/id").split('-').next().unwrap_or_default();
            (id.to_owned(), number("/event/sequence"))
        }
    }
}
