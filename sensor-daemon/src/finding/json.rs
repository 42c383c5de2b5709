//! Findings as lines of JSON, which people look at in terminals as well: what would act there, or hide, is an escape of JSON's, and
//! no reader of JSON can tell.

use std::io;

use serde::Serialize;
use serde_json::{Value, ser::Formatter};

use crate::model::acts_unseen;

/// The value on one line, without an end of line. No format has a value that JSON has no form for; it would be an empty line.
pub fn line(value: &impl Serialize) -> String {
    let mut line = Vec::with_capacity(8 * 1024);
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Harmless));
    written
        .ok()
        .and_then(|()| String::from_utf8(line).ok())
        .unwrap_or_default()
}

/// Bytes that `text` takes inside a string of such a line.
pub(super) fn len(text: &str) -> usize {
    let of = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if acts_unseen(c) => ESCAPE * c.len_utf16(),
        c => c.len_utf8(),
    };
    text.chars().map(of).sum()
}

/// Bytes of `\u0000`. What has two units of UTF-16 takes two of them.
const ESCAPE: usize = 6;

/// The value without members that say nothing: null, empty lists, empty objects.
pub(super) fn without_empty(value: Value) -> Value {
    let says_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
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

struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, mut fragment: &str) -> io::Result<()> {
        while let Some(at) = fragment.find(acts_unseen) {
            let (before, rest) = fragment.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut rest = rest.chars();
            if let Some(c) = rest.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            fragment = rest.as_str();
        }
        writer.write_all(fragment.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped_and_nothing_is_lost() {
        let text: String = ('\0'..='\u{10ffff}').collect();
        let line = line(&text);
        assert!(!line.contains(acts_unseen));
        assert_eq!(line.len() - 2, len(&text));
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn anything_else_is_as_usual() {
        let value = serde_json::json!({"é": ["x", 1.5, null, true, {"\"\\\n": "🦀 שלום"}], "": [[]]});
        assert_eq!(line(&value), serde_json::to_string(&value).unwrap());
    }
}
