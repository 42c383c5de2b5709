//! What the file says of enrichment: the fields `environment`, `arguments`, `unmasked_arguments`, `metadata` and the table
//! `[resource]`.

use toml::de::{DeTable, DeValue};

use super::reader::{Document, Key, Value, kind};
use crate::enrich::cloud::Overrides;

/// Fields of `[resource]`.
pub(super) const RESOURCE: &[&str] = &["name", "display_name", "type"];

/// What the file says; `None` leaves it to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrichment {
    /// Findings have environment variables (default: not).
    pub environment: Option<bool>,
    /// Findings have arguments (default: so).
    pub arguments: Option<bool>,
    /// Secrets in arguments are not masked (default: they are).
    pub unmasked_arguments: Option<bool>,
    /// The metadata server may be asked (default: so).
    pub metadata: Option<bool>,
    /// What the resource is called.
    pub resource: Overrides,
}

/// A field that is true or false.
pub(super) fn switch(document: &mut Document<'_>, key: &Key<'_>, value: &Value<'_>) -> Option<bool> {
    if let DeValue::Boolean(on) = value.get_ref() {
        return Some(*on);
    }
    let what = format!("`{}` is {}, not true or false", key.get_ref(), kind(value));
    document.problem(value.span(), what, "write true or false, without quotes");
    None
}

/// The table `[resource]`.
pub(super) fn resource(document: &mut Document<'_>, value: &Value<'_>) -> Overrides {
    let mut overrides = Overrides::default();
    let DeValue::Table(table) = value.get_ref() else {
        let what = format!("`resource` is {}, not a table", kind(value));
        document.problem(value.span(), what, "write a line [resource], and its fields below it");
        return overrides;
    };
    read(document, table, &mut overrides);
    overrides
}

fn read(document: &mut Document<'_>, table: &DeTable<'_>, overrides: &mut Overrides) {
    for (key, value) in table {
        let place = match key.get_ref().as_ref() {
            "name" => &mut overrides.name,
            "display_name" => &mut overrides.display_name,
            "type" => &mut overrides.kind,
            unknown => {
                document.unknown_field(key.span(), unknown, "the resource", RESOURCE);
                continue;
            }
        };
        match value.get_ref().as_str() {
            Some(text) if is_fit(text) => *place = Some(text.to_owned()),
            Some(_) => document.problem(
                value.span(),
                format!("`{}` is empty, too long or holds a control character", key.get_ref()),
                format!("write 1 to {TEXT_MAX} characters"),
            ),
            None => {
                let what = format!("`{}` is {}, not a string", key.get_ref(), kind(value));
                document.problem(value.span(), what, "put it between quotes");
            }
        }
    }
}

/// Most characters of a name.
const TEXT_MAX: usize = 512;

/// Whether this can be the name of a resource.
#[must_use]
pub fn is_fit(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= TEXT_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use crate::config::{HostUsers, parse};

    #[test]
    fn switches_and_resource_are_read() {
        let text =
            "environment = true\narguments = false\nmetadata = false\n[resource]\nname = \"//x/y\"\ntype = \"t\"\n";
        let read = parse("config.toml", text, &HostUsers).unwrap().enrichment;
        assert_eq!(
            (read.environment, read.arguments, read.metadata),
            (Some(true), Some(false), Some(false))
        );
        assert_eq!(read.resource.name.as_deref(), Some("//x/y"));
        assert_eq!(
            (read.resource.display_name, read.resource.kind.as_deref()),
            (None, Some("t"))
        );
    }

    #[test]
    fn mistakes_name_line_and_remedy() {
        for (text, expected) in [
            (
                "\nenvironment = 1\n",
                "config.toml:2: `environment` is a whole number, not true or false; write true or false",
            ),
            ("arguments = \"no\"\n", "config.toml:1: `arguments` is a string"),
            (
                "resource = true\n",
                "config.toml:1: `resource` is true or false, not a table; write a line [resource]",
            ),
            (
                "[resource]\nnam = \"x\"\n",
                "config.toml:2: the resource has no field `nam`; did you mean `name`?",
            ),
            (
                "[resource]\nname = 1\n",
                "config.toml:2: `name` is a whole number, not a string",
            ),
            ("[resource]\nname = \"\"\n", "config.toml:2: `name` is empty"),
            (
                "[resource]\nname = \"a\\u001bb\"\n",
                "config.toml:2: `name` is empty, too long or holds a control character",
            ),
        ] {
            let problems = parse("config.toml", text, &HostUsers).unwrap_err().to_string();
            assert!(problems.starts_with(expected), "{problems}");
        }
    }
}
