//! What the file says of where findings go, and as what: the fields `output`, `format` and `cloud_logging`.

use toml::de::DeValue;

use super::reader::{Document, Key, Value, kind, nearest};
use crate::{
    finding::Format,
    sinks::output::{self, Output},
};

/// What the file says; `None`, or no place, leaves it to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Where findings go.
    pub places: Vec<Output>,
    /// How they are written.
    pub format: Option<Format>,
    /// Lines of the standard output have what Google Cloud's logging agents understand.
    pub cloud_logging: Option<bool>,
}

/// The places of `output`, each but once.
pub(super) fn places(document: &mut Document<'_>, key: &Key<'_>, value: &Value<'_>) -> Vec<Output> {
    let expected = format!("a string or a list of strings: {}", output::FORMS);
    let mut places: Vec<Output> = vec![];
    document.list(key, value, &expected, |document, value| {
        let text = value.get_ref().as_str()?;
        if let Some(place) = place(document, value, text) {
            if places.contains(&place) {
                document.problem(
                    value.span(),
                    format!("the output `{text}` is there twice"),
                    "keep one of them",
                );
            } else {
                places.push(place);
            }
        }
        Some(Some(()))
    });
    places
}

fn place(document: &mut Document<'_>, value: &Value<'_>, text: &str) -> Option<Output> {
    match text.parse() {
        // A service has no directory that its user could think of.
        Ok(Output::File(path)) if !path.is_absolute() => {
            let what = format!("`{text}` is not an absolute path");
            document.problem(value.span(), what, "begin it with `/`: file=/var/log/findings.json");
            None
        }
        Ok(place) => Some(place),
        Err(remedy) => {
            let remedy = nearest(text, &["stdout", "journald"]).map_or_else(
                || remedy.clone(),
                |near| format!("did you mean \"{near}\"? Otherwise {remedy}"),
            );
            document.problem(value.span(), format!("there is no output `{text}`"), remedy);
            None
        }
    }
}

/// The field `format`.
pub(super) fn format(document: &mut Document<'_>, value: &Value<'_>) -> Option<Format> {
    let names: Vec<&str> = Format::names().collect();
    let remedy = format!("write \"{}\"", names.join("\", \""));
    let DeValue::String(name) = value.get_ref() else {
        let what = format!("`format` is {}, not a string", kind(value));
        document.problem(value.span(), what, remedy);
        return None;
    };
    let format = Format::named(name);
    if format.is_none() {
        let remedy = nearest(name, &names).map_or_else(
            || remedy.clone(),
            |near| format!("did you mean \"{near}\"? Otherwise {remedy}"),
        );
        document.problem(value.span(), format!("there is no format `{name}`"), remedy);
    }
    format
}
