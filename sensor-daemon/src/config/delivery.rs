//! What the file says of where findings go, and as what: the fields `output`, `format` and `cloud_logging`.

use toml::de::DeValue;

use super::reader::{Document, Key, Value, kind, nearest};
use crate::{
    finding::Format,
    sinks::destination::{self, Destination},
};

/// What the file says; `None`, or no place, leaves it to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Where findings go.
    pub destinations: Vec<Destination>,
    /// How they are written.
    pub format: Option<Format>,
    /// Lines of the standard output have what Google Cloud's logging agents understand.
    pub cloud_logging: Option<bool>,
}

/// The destinations that `output` names, each once.
pub(super) fn destinations(document: &mut Document<'_>, key: &Key<'_>, value: &Value<'_>) -> Vec<Destination> {
    let expected = format!("a string or a list of strings: {}", destination::FORMS);
    let mut destinations: Vec<Destination> = vec![];
    document.list(key, value, &expected, |document, value| {
        let text = value.get_ref().as_str()?;
        if let Some(destination) = destination(document, value, text) {
            if destinations.contains(&destination) {
                document.problem(
                    value.span(),
                    format!("the output `{text}` is there twice"),
                    "keep one of them",
                );
            } else {
                destinations.push(destination);
            }
        }
        Some(Some(()))
    });
    destinations
}

fn destination(document: &mut Document<'_>, value: &Value<'_>, text: &str) -> Option<Destination> {
    match text.parse() {
        // A service has no directory that its user could think of.
        Ok(Destination::File(path)) if !path.is_absolute() => {
            let what = format!("`{text}` is not an absolute path");
            document.problem(value.span(), what, "begin it with `/`: file=/var/log/findings.json");
            None
        }
        Ok(destination) => Some(destination),
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
    let names: Vec<String> = Format::names().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::{HostUsers, parse};

    #[test]
    fn where_findings_go() {
        let delivery = |text: &str| parse("config.toml", text, &HostUsers).unwrap().delivery;
        assert_eq!(delivery(""), Delivery::default());
        let places =
            |text: &str| -> Vec<String> { delivery(text).destinations.iter().map(ToString::to_string).collect() };
        assert_eq!(places("output = 'journald'"), ["journald"]);
        let all = [
            "stdout",
            "journald",
            "file=/var/log/a.json",
            "file=/var/log/b.json",
            "syslog=unix:/dev/log",
            "syslog=tcp:[2001:db8::1]:6514",
        ];
        assert_eq!(places(&format!("output = {all:?}")), all);
        for name in Format::names() {
            let format = delivery(&format!("format = '{name}'")).format;
            assert_eq!(format.map(Format::name), Some(name));
        }
        assert_eq!(delivery("cloud_logging = false").cloud_logging, Some(false));
    }

    #[test]
    fn mistakes_name_line_and_remedy() {
        for (text, line, what, remedy) in [
            (
                "output = 'journal'",
                1,
                "no output `journal`",
                "did you mean \"journald\"? Otherwise write stdout",
            ),
            ("output = ''", 1, "no output ``", "write stdout, journald, file=PATH"),
            (
                "output = 5",
                1,
                "`output` can't be a whole number",
                "write a string or a list of strings",
            ),
            ("output = []", 1, "`output` is an empty list", "remove the field"),
            (
                "output = [\n'stdout',\nfalse]",
                3,
                "`output` can't be true or false",
                "write a string",
            ),
            (
                "output = [\n'stdout',\n'here']",
                3,
                "no output `here`",
                "syslog=unix:/dev/log",
            ),
            (
                "output = ['stdout',\n'journald',\n'stdout']",
                3,
                "`stdout` is there twice",
                "keep one of them",
            ),
            (
                "output = ['file=/a', 'file=/a']",
                1,
                "`file=/a` is there twice",
                "keep one of them",
            ),
            (
                "output = 'file=a.json'",
                1,
                "`file=a.json` is not an absolute path",
                "begin it with `/`",
            ),
            (
                "output = 'file=/var/log/'",
                1,
                "no output `file=/var/log/`",
                "file=PATH",
            ),
            ("output = 'syslog=logs'", 1, "no output `syslog=logs`", "udp:HOST:514"),
            (
                "format = 'xml'",
                1,
                "no format `xml`",
                "write \"auto\", \"json\", \"human\", \"ocsf\", \"ecs\"",
            ),
            ("format = 'ocfs'", 1, "no format `ocfs`", "did you mean \"ocsf\"?"),
            (
                "\nformat = true",
                2,
                "`format` is true or false, not a string",
                "write \"auto\"",
            ),
            (
                "cloud_logging = 'yes'",
                1,
                "`cloud_logging` is a string",
                "without quotes",
            ),
            (
                "[store]\noutput = 'stdout'",
                2,
                "`output` is a field of the file",
                "top of the file",
            ),
            (
                "[[exception]]\noutput = 'stdout'\nid = 'x'\nreason = 'r'\nport = 1",
                2,
                "`output` is a field of the file",
                "above the first",
            ),
        ] {
            let said = parse("config.toml", text, &HostUsers).unwrap_err().to_string();
            let place = format!("config.toml:{line}: ");
            let (problem, advice) = said.split_once("; ").unwrap();
            assert!(
                problem.starts_with(&place) && problem.contains(what) && advice.contains(remedy),
                "{text}: {said}"
            );
            assert_eq!(said.lines().count(), 1, "{text}: {said}");
        }
    }
}
