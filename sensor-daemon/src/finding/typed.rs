//! Command lines as they could have been typed into a shell.

use std::borrow::Cow;

use crate::model::Text;

/// Arguments as one line. `truncated` says that there were more of them.
pub(crate) fn command_line(argv: &[Text], truncated: bool) -> String {
    let shown: Vec<String> = argv.iter().map(Text::for_terminal).collect();
    let mut words: Vec<Cow<'_, str>> = shown.iter().map(|argument| word(argument)).collect();
    if truncated {
        words.push(Cow::Borrowed("…"));
    }
    words.join(" ")
}

/// The text form of an argument as one word. The form `$'…'`, which stands for bytes that are not UTF-8, is a quotation already.
pub(crate) fn word(argument: &str) -> Cow<'_, str> {
    if argument.starts_with("$'") {
        return Cow::Borrowed(argument);
    }
    quoted(argument)
}

/// Any text as one word: in single quotes, unless a shell gives no character of it a meaning.
///
/// This is not `shell_words::quote`, which leaves `~`, `!` and `{` bare.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', "'\\''")))
}

/// The first `most` characters of harmless text, with a mark at its end if it was cut.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
