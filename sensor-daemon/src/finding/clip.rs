//! Cuts bytes that a watched process chose to their bounds, measured as what they take in a line of JSON: an escape can take six
//! times its byte.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    detect::{Command, Snapshot},
    model::{FileDigest, Text},
};

use super::{bounds, json, typed};

/// The text form in about `room` bytes of JSON, with a mark at its end if it was cut.
pub(super) fn shown(text: &Text, room: usize) -> String {
    let (shown, cut) = self::text(text, room);
    if cut { format!("{shown}…") } else { shown.into_owned() }
}

/// The same for text that user space found somewhere, which a container may have had a say in.
pub(super) fn string(text: &str, room: usize) -> String {
    shown(&Text::from(text), room)
}

/// A name that user space found somewhere.
pub(super) fn name(text: &str) -> String {
    string(text, bounds::NAME)
}

/// An image's name, likewise.
pub(super) fn image(text: &str) -> String {
    string(text, bounds::IMAGE)
}

/// The digest of a file.
pub(super) fn digest(file: &FileDigest) -> String {
    string(&file.sha256, bounds::DIGEST)
}

/// Arguments as they could have been typed, in about `room` bytes of JSON; one that a shell would take apart is quoted.
pub(crate) fn command_line(argv: &[Text], truncated: bool, room: usize) -> String {
    // Quotes around each are not worth a second measure: half the room is left to them.
    let (arguments, cut) = arguments(argv, room / 2);
    let mut line = String::new();
    for argument in &arguments {
        let word = typed::word(argument);
        if json::len(&line) + json::len(&word) + 1 > room {
            return line + " …";
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if truncated || cut {
        line.push_str(" …");
    }
    line
}

/// Commands as a format shows them.
pub(super) struct Commands {
    /// In the order in which they were run.
    pub(super) shown: Vec<Value>,
    /// How many of them are the first ones. Those that are left out came after these.
    pub(super) first: usize,
}

/// As many of the first and the newest commands, as `make` shows them, as fit into `room` bytes of a JSON list.
pub(super) fn commands(incident: &Snapshot, room: usize, make: impl Fn(&Command) -> Value) -> Commands {
    let (first, newest) = incident
        .commands
        .split_at(incident.first_commands.min(incident.commands.len()));
    let (mut first, mut newest) = (first.iter().peekable(), newest.iter().rev());
    let (mut shown, mut last) = (Vec::new(), Vec::new());
    let mut left = room;
    loop {
        // One of each in turn, the newest before the first.
        let is_first = first.peek().is_some() && (shown.len() < last.len() || newest.len() == 0);
        let Some(made) = (if is_first { first.next() } else { newest.next() }).map(&make) else {
            break;
        };
        let Some(rest) = left.checked_sub(json_size(&made) + 1) else {
            break;
        };
        left = rest;
        if is_first { &mut shown } else { &mut last }.push(made);
    }
    let first = shown.len();
    shown.extend(last.into_iter().rev());
    Commands { shown, first }
}

/// Bytes of JSON.
pub(super) fn json_size(value: &Value) -> usize {
    json::line(value).len()
}

/// The text form of `text` in at most `room` bytes of JSON; whether it was cut, which never happens inside a character.
pub(super) fn text(text: &Text, room: usize) -> (Cow<'_, str>, bool) {
    let whole = text.to_text();
    if json::len(&whole) <= room {
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
        let takes = json::len(&form);
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
        left = room.saturating_sub(json::len(&form));
        if !cut || !form.is_empty() {
            shown.push(form.into_owned());
        }
        if cut {
            return (shown, true);
        }
    }
    (shown, false)
}
