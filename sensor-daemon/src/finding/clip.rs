//! Cuts bytes that a watched process chose to their bounds, measured as what they take in a line of JSON: an escape can take six
//! times its byte.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    detect::Command,
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

/// What `make` makes of the newest commands, as many as fit into `room` bytes of a JSON list, oldest first.
pub(super) fn newest<T: Serialize>(commands: &[Command], room: usize, make: impl Fn(&Command) -> T) -> Vec<T> {
    let mut left = room;
    let mut fitting: Vec<T> = Vec::with_capacity(commands.len());
    for command in commands.iter().rev() {
        let made = make(command);
        let Some(rest) = left.checked_sub(json_size(&made) + 1) else {
            break;
        };
        left = rest;
        fitting.push(made);
    }
    fitting.reverse();
    fitting
}

/// Bytes of JSON.
pub(super) fn json_size(value: &impl Serialize) -> usize {
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
