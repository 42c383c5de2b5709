//! The table `[store]`: where findings are kept, and for how long.

use std::{path::PathBuf, time::Duration};

use toml::de::DeValue;

use super::reader::{self, Document, FIELDS as FILE_FIELDS, Value};
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::{HostUsers, parse};

    #[test]
    fn how_long_findings_are_kept() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let usual = Retention::default();
        for (text, max_age, max_bytes) in [
            ("", usual.max_age, usual.max_bytes),
            ("[store]", usual.max_age, usual.max_bytes),
            ("[store]\nmax_age_days = 1", days(1), usual.max_bytes),
            ("[store]\nmax_size_mib = 1_000", usual.max_age, 1000 << 20),
            (
                "[store]\nmax_age_days = 36500\nmax_size_mib = 0x10",
                days(36_500),
                16 << 20,
            ),
        ] {
            let retention = parse("config.toml", text, &HostUsers)
                .unwrap_or_else(|problems| panic!("{problems}"))
                .store
                .retention;
            assert_eq!(retention, Retention { max_age, max_bytes }, "{text}");
        }
    }

    #[test]
    fn where_findings_are_kept() {
        let directory = |text: &str| parse("config.toml", text, &HostUsers).unwrap().store.directory;
        assert_eq!(directory("[store]\nmax_age_days = 1"), None);
        assert_eq!(
            directory("[store]\ndirectory = '/srv/state'"),
            Some("/srv/state".into())
        );
    }

    #[test]
    fn mistakes_name_line_and_remedy() {
        for (text, line, words) in [
            ("store = 5", 1, ["`store` is a whole number", "[store]"]),
            ("[store]\nmax_age_days = 0", 2, ["`max_age_days`", "from 1 to 36500"]),
            ("[store]\nmax_age_days = -1", 2, ["`max_age_days`", "from 1 to 36500"]),
            (
                "[store]\nmax_age_days = 36501",
                2,
                ["`max_age_days`", "from 1 to 36500"],
            ),
            ("[store]\nmax_age_days = '30'", 2, ["`max_age_days`", "without quotes"]),
            ("[store]\nmax_size_mib = 0", 2, ["`max_size_mib`", "from 1 to"]),
            ("[store]\nmax_size_mib = 0.5", 2, ["`max_size_mib`", "whole number"]),
            (
                "[store]\nmax_size_mib = 18446744073709551616",
                2,
                ["`max_size_mib`", "from 1 to"],
            ),
            (
                "[store]\nmax_size = 5",
                2,
                ["`max_size`", "did you mean `max_size_mib`?"],
            ),
            (
                "[store]\ndirectory = 5",
                2,
                ["`directory` is a whole number, not a string", "write it as"],
            ),
            (
                "[store]\ndirectory = 'state'",
                2,
                ["`state` is not the absolute path", "/var/lib/sensor-daemon"],
            ),
            (
                "[store]\ndirectory = ''",
                2,
                ["`` is not the absolute path", "write it as"],
            ),
            (
                "[store]\ndirectory = \"/a\\u0000\"",
                2,
                ["is not the absolute path", "write it as"],
            ),
        ] {
            let said = parse("config.toml", text, &HostUsers).unwrap_err().to_string();
            assert!(
                said.starts_with(&format!("config.toml:{line}: ")) && said.contains("; "),
                "{text}: {said}"
            );
            assert!(words.iter().all(|word| said.contains(word)), "{text}: {said}");
            assert_eq!(said.lines().count(), 1, "{text}: {said}");
        }
    }
}
