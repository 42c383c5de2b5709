//! Bounds for bytes that a watched process chose, measured as what they take in a line of JSON: an escape can take six
//! times its byte.

use std::borrow::Cow;

use crate::model::Text;

/// The text form of `text` in at most `room` bytes of JSON; whether it was cut, which never happens inside a character.
pub(super) fn text(text: &Text, room: usize) -> (Cow<'_, str>, bool) {
    let whole = text.to_text();
    if json_len(&whole) <= room {
        return (whole, false);
    }
    let bytes = text.as_bytes();
    let mut len = bytes.len().min(room);
    loop {
        // Cut before the text form is made, so that a quotation is still closed. A run of continuation bytes longer
        // than a character's is not UTF-8 and may be cut anywhere.
        let back = (0..4).find(|&back| back <= len && bytes.get(len - back).is_none_or(|byte| byte & 0xc0 != 0x80));
        let prefix = Text::from(&bytes[..len - back.unwrap_or(0)]);
        let form = prefix.to_text();
        let takes = json_len(&form);
        if takes <= room || prefix.is_empty() {
            return (Cow::Owned(form.into_owned()), true);
        }
        // Proportional, so that it takes a few steps, and at least one byte less.
        len = (prefix.0.len() * room / takes).min(prefix.0.len() - 1);
    }
}

/// As many arguments as fit `room` bytes of JSON, the last one cut if need be; whether something is missing.
pub(super) fn arguments(argv: &[Text], room: usize) -> (Vec<String>, bool) {
    let mut shown = Vec::with_capacity(argv.len().min(64));
    let mut left = room;
    for argument in argv {
        // Quotes and a comma.
        let Some(room) = left.checked_sub(3) else {
            return (shown, true);
        };
        let (form, cut) = text(argument, room);
        left = room.saturating_sub(json_len(&form));
        if !cut || !form.is_empty() {
            shown.push(form.into_owned());
        }
        if cut {
            return (shown, true);
        }
    }
    (shown, false)
}

/// Bytes that `text` takes inside a JSON string.
pub(super) fn json_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
}
