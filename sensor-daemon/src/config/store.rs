//! The table `[store]`: where findings are kept, and for how long.

use std::{path::PathBuf, time::Duration};

use toml::de::DeValue;

use super::{
    FIELDS as FILE_FIELDS,
    reader::{self, Document, Value},
};
use crate::store::Retention;

pub(super) const FIELDS: &[&str] = &["directory", "max_age_days", "max_size_mib"];
/// A hundred years.
const DAYS_MAX: u64 = 36_500;
/// A tebibyte.
const SIZE_MIB_MAX: u64 = 1 << 20;

/// What the table says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// The directory; `None` leaves it to the default.
    pub directory: Option<PathBuf>,
    /// For how long, and how many.
    pub retention: Retention,
}

/// Reads the table.
pub(super) fn read(document: &mut Document<'_>, value: &Value<'_>) -> Store {
    let mut store = Store::default();
    let retention = &mut store.retention;
    let DeValue::Table(table) = value.get_ref() else {
        let what = format!("`store` is {}, not a table", reader::kind(value));
        document.problem(value.span(), what, "begin it with a line [store]");
        return store;
    };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "directory" => store.directory = directory(document, value),
            "max_age_days" => {
                if let Some(days) = number(document, "max_age_days", value, DAYS_MAX) {
                    retention.max_age = Some(Duration::from_secs(days * 86_400));
                }
            }
            "max_size_mib" => {
                if let Some(size) = number(document, "max_size_mib", value, SIZE_MIB_MAX) {
                    retention.max_bytes = size << 20;
                }
            }
            top if FILE_FIELDS.contains(&top) => document.problem(
                key.span(),
                format!("`{top}` is a field of the file, not of [store]"),
                "move it to the top of the file, above the first line in brackets",
            ),
            unknown => document.unknown_field(key.span(), unknown, "[store]", FIELDS),
        }
    }
    store
}

fn directory(document: &mut Document<'_>, value: &Value<'_>) -> Option<PathBuf> {
    let text = value.get_ref().as_str();
    let path = text.filter(|text| text.starts_with('/') && !text.chars().any(char::is_control));
    if path.is_none() {
        let what = match text {
            Some(text) => format!("`{text}` is not the absolute path of a directory"),
            None => format!("`directory` is {}, not a string", reader::kind(value)),
        };
        document.problem(value.span(), what, "write it as directory = \"/var/lib/sensor-daemon\"");
    }
    path.map(PathBuf::from)
}

fn number(document: &mut Document<'_>, name: &str, value: &Value<'_>, max: u64) -> Option<u64> {
    let read = match value.get_ref() {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    let read = read.filter(|number| (1..=max).contains(number));
    if read.is_none() {
        let what = format!("`{name}` is not a number from 1 to {max}");
        document.problem(value.span(), what, "write a whole number without quotes");
    }
    read
}
