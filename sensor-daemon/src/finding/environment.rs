//! The environment that a shell was given, as far as there is room.

use serde::Serialize;

use crate::model::Text;

use super::{bounds, clip};

/// One variable of a process's environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct EnvironmentVariable {
    pub(super) name: String,
    #[serde(rename = "val")]
    pub(super) value: String,
}

impl EnvironmentVariable {
    /// As many as fit, and whether something is missing.
    pub(super) fn all(environment: &[Text]) -> (Vec<Self>, bool) {
        let mut variables = Vec::new();
        let mut left = bounds::ENVIRONMENT;
        let mut cut = false;
        for variable in environment {
            let bytes = variable.as_bytes();
            let at = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
            let name = Text::from(&bytes[..at]);
            let value = Text::from(bytes.get(at + 1..).unwrap_or_default());
            let (name, name_cut) = clip::text(&name, bounds::VARIABLE);
            let (value, value_cut) = clip::text(&value, bounds::VARIABLE);
            let made = Self {
                name: name.into_owned(),
                value: value.into_owned(),
            };
            let Some(rest) = left.checked_sub(clip::json_size(&made) + 1) else {
                return (variables, true);
            };
            left = rest;
            cut |= name_cut || value_cut;
            variables.push(made);
        }
        (variables, cut)
    }
}
