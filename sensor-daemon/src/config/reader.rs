//! A TOML document that remembers where everything is and collects what is wrong with it, instead of giving up at the first
//! mistake as a deserializer does.

use std::{collections::HashSet, ops::Range};

use toml::{
    Spanned,
    de::{DeString, DeValue, Error},
};

use super::{Problem, Problems};

/// Fields at the top of the file.
pub(super) const FIELDS: &[&str] = &[
    "min_severity",
    "disable_exceptions",
    "output",
    "format",
    "cloud_logging",
    "store",
    "exception",
    "environment",
    "arguments",
    "unmasked_arguments",
    "metadata",
    "resource",
];

/// A value and where it is.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;
/// A field's name and where it is.
pub(super) type Key<'i> = Spanned<DeString<'i>>;

/// Names that are further from what was written than this are not proposed (1 is the same name).
const LIKENESS_MIN: f64 = 0.7;

/// The text, and what is wrong with it so far.
pub(super) struct Document<'i> {
    text: &'i str,
    problems: Vec<Problem>,
    /// Lines with mistakes of syntax: what follows from these is not worth a problem of its own.
    broken: HashSet<usize>,
}

impl<'i> Document<'i> {
    pub(super) fn new(text: &'i str, syntax: Vec<Error>) -> Self {
        let mut document = Self {
            text,
            problems: vec![],
            broken: HashSet::new(),
        };
        for error in syntax {
            let at = error.span().map_or(text.len(), |span| span.start);
            let line = document.line(at);
            if document.broken.insert(line) {
                document.problems.push(Problem {
                    line: Some(line),
                    what: format!("this is not TOML: {}", error.message()),
                    remedy: remedy_for_syntax(error.message()).into(),
                });
            }
        }
        document
    }

    /// The line of an offset, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Notes what is wrong at `span`.
    pub(super) fn problem(&mut self, span: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) {
        let line = self.line(span.start);
        if !self.broken.contains(&line) {
            self.problems.push(Problem {
                line: Some(line),
                what: what.into(),
                remedy: remedy.into(),
            });
        }
    }

    /// Notes that something is not there, unless it may be lost in what could not be read.
    pub(super) fn missing(&mut self, span: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) {
        if self.broken.is_empty() {
            self.problem(span, what, remedy);
        }
    }

    /// How many problems there are.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    pub(super) fn unknown_field(&mut self, span: Range<usize>, name: &str, place: &str, known: &[&str]) {
        let remedy = nearest(name, known).map_or_else(
            || format!("remove it; the fields of {place} are {}", known.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        self.problem(span, format!("{place} has no field `{name}`"), remedy);
    }

    /// A value, or each of a list. `read` says `None` for a wrong type, `Some(None)` for what it complained of itself.
    pub(super) fn list<T>(
        &mut self,
        key: &Key<'_>,
        value: &Value<'_>,
        expected: &str,
        mut read: impl FnMut(&mut Self, &Value<'_>) -> Option<Option<T>>,
    ) -> Vec<T> {
        let single = std::slice::from_ref(value);
        let values = match value.get_ref() {
            DeValue::Array(array) if array.is_empty() => {
                let what = format!("`{}` is an empty list", key.get_ref());
                self.problem(value.span(), what, "remove the field, or put something into the list");
                return vec![];
            }
            DeValue::Array(array) => &array[..],
            _ => single,
        };
        let mut found = vec![];
        for value in values {
            match read(self, value) {
                Some(read) => found.extend(read),
                None => {
                    let what = format!("`{}` can't be {}", key.get_ref(), kind(value));
                    self.problem(value.span(), what, format!("write {expected}"));
                }
            }
        }
        found
    }

    /// Nothing is wrong, or all that is.
    pub(super) fn finish(self, name: &str) -> Result<(), Problems> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Problems::new(name, self.problems))
        }
    }
}

/// A value's type, with its article.
pub(super) fn kind(value: &Value<'_>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The known name that was probably meant.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |known: &str| {
        // Both: one forgives slips of the fingers, the other a wrong ending.
        let slips = strsim::normalized_damerau_levenshtein(name, known);
        slips.max(strsim::jaro_winkler(name, known) - 0.1)
    };
    known
        .iter()
        .map(|known| (likeness(known), *known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

fn remedy_for_syntax(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "keep one of them; several exceptions are several tables, each under its own [[exception]]"
    } else if message.contains("escape") {
        "put a text with `\\` between single quotes"
    } else {
        "text goes between quotes, lists between [ and ], and each field has a line `name = value`"
    }
}
