//! Bytes that another program chose: arguments, paths, names. They can be anything.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes from a watched process, kept exactly.
///
/// Its text form is the bytes themselves where they are UTF-8, else (or if they begin with `$'`) a shell's ANSI-C
/// quoting, `$'…'` with `\\`, `\'` and `\xNN`: nothing is lost, the form is unambiguous, and a shell takes it.
/// The text form may hold control characters; JSON escapes them, and whoever prints to a terminal uses
/// [`Text::for_terminal`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub Vec<u8>);

impl Text {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component of a path.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// The text form described at the type.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if !text.starts_with("$'") => Cow::Borrowed(text),
            _ => Cow::Owned(self.quoted()),
        }
    }

    /// The text form, [`printable`].
    #[must_use]
    pub fn for_terminal(&self) -> String {
        printable(&self.to_text())
    }

    fn quoted(&self) -> String {
        let mut quoted = String::from("$'");
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if matches!(c, '\\' | '\'') {
                    quoted.push('\\');
                }
                quoted.push(c);
            }
            for byte in chunk.invalid() {
                quoted.push_str(&format!("\\x{byte:02x}"));
            }
        }
        quoted.push('\'');
        quoted
    }

    /// Reads the text form back. `None` if it begins like a quotation and is not one.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let Some(inner) = text.strip_prefix("$'") else {
            return Some(Self(text.as_bytes().to_vec()));
        };
        let mut rest = inner.strip_suffix('\'')?.as_bytes();
        let mut bytes = Vec::with_capacity(rest.len());
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            if first != b'\\' {
                bytes.push(first);
                continue;
            }
            let (&escape, tail) = rest.split_first()?;
            rest = tail;
            match escape {
                b'\\' | b'\'' => bytes.push(escape),
                b'x' => {
                    let (digits, tail) = rest.split_at_checked(2)?;
                    rest = tail;
                    bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                }
                _ => return None,
            }
        }
        Some(Self(bytes))
    }
}

/// Text on one line, shown in the order in which it is written: what a terminal would act on, what would hide, and what would
/// change the order of other text beside it comes out as escapes.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if acts_unseen(c) || is_right_to_left(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Whether a terminal does something else than to draw a sign for this character.
#[must_use]
pub fn acts_unseen(c: char) -> bool {
    c.is_control() || c >= FIRST_INVISIBLE && is_invisible(c)
}

/// Text is ASCII nearly always.
const FIRST_INVISIBLE: char = '\u{ad}';

/// Characters that reorder text, end lines, or show nothing: formats (Unicode's category Cf), separators, and what may be left
/// out where a font has nothing for it (the property `Default_Ignorable_Code_Point`).
fn is_invisible(c: char) -> bool {
    matches!(c, FIRST_INVISIBLE | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The blocks of scripts that are written from right to left. A terminal that orders text by its letters (many do) would draw
/// numbers and names that follow such a letter before it: the chain of a shell's parents the other way round.
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}')
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_text(), f)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| de::Error::custom("a quotation $'…' that is not well formed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_lossless() {
        let all: Vec<u8> = (1..=255).collect();
        for bytes in [
            &b"plain"[..],
            b"caf\xc3\xa9",
            b"caf\xe9",
            b"$'quoted'",
            b"$'",
            b"\\x41",
            b"'\xff\\'",
            b"\xff\xfe",
            b"",
            &all,
        ] {
            let text = Text::from(bytes);
            assert_eq!(Text::from_text(&text.to_text()).as_ref(), Some(&text), "{text:?}");
        }
    }

    #[test]
    fn valid_text_is_left_alone() {
        assert_eq!(Text::from("bash -i \\x41 é\n").to_text(), "bash -i \\x41 é\n");
        assert_eq!(Text::from(&b"caf\xe9 it's"[..]).to_text(), "$'caf\\xe9 it\\'s'");
    }

    #[test]
    fn terminal_form_has_nothing_that_acts_hides_or_reorders() {
        let hostile = Text::from(
            "\u{1b}[2J\u{9b}31m\u{7f}\u{85}\r\n\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{ad}\
             \u{3164}\u{fe0f}\u{e0041}\u{e0100}\u{5d0}\u{627}\u{6f1}\u{1e900}ok",
        );
        let shown = hostile.for_terminal();
        assert!(shown.is_ascii() && !shown.contains(char::is_control), "{shown:?}");
        assert!(shown.ends_with("\\u{5d0}\\u{627}\\u{6f1}\\u{1e900}ok"), "{shown:?}");
        assert_eq!(printable(&shown), shown, "harmless text is left alone");
    }

    #[test]
    fn terminal_form_keeps_what_reads_from_left_to_right() {
        for text in [
            "caf\u{e9}",
            "\u{442}\u{435}\u{441}\u{442}",
            "\u{4f60}\u{597d}",
            "\u{928}\u{92e}\u{938}",
        ] {
            assert_eq!(Text::from(text).for_terminal(), text);
        }
    }

    #[test]
    fn malformed_quotations_are_refused() {
        for text in ["$'", "$'a", "$'\\'", "$'\\x1'", "$'\\xzz'", "$'\\q'"] {
            assert_eq!(Text::from_text(text), None, "{text}");
        }
    }
}
