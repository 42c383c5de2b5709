//! The table `[store]`: how long findings are kept.

use std::time::Duration;

use toml::de::DeValue;

use super::reader::{self, Document, Value};
use crate::store::Retention;

const FIELDS: &[&str] = &["max_age_days", "max_size_mib"];
/// A hundred years.
const DAYS_MAX: u64 = 36_500;
/// A tebibyte.
const SIZE_MIB_MAX: u64 = 1 << 20;

/// What the table says.
pub(super) fn read(document: &mut Document<'_>, value: &Value<'_>) -> Retention {
    let mut retention = Retention::default();
    let DeValue::Table(table) = value.get_ref() else {
        let what = format!("`store` is {}, not a table", reader::kind(value));
        document.problem(value.span(), what, "begin it with a line [store]");
        return retention;
    };
    for (key, value) in table {
        match key.get_ref().as_ref() {
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
            unknown => document.unknown_field(key.span(), unknown, "[store]", FIELDS),
        }
    }
    retention
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
