//! The wire match: whether the text of a command is what a connection has just delivered. Pure, so that it can be tested
//! and fuzzed; the bytes it is shown never go anywhere.
//!
//! Why it does not match by chance:
//! - Only what was delivered since the program's previous command counts, so a text that was delivered once can't vouch
//!   for commands that come later by themselves.
//! - A command of several words has to appear whole, at word borders. One of a single word has to be all of a line, of a
//!   parameter's value or of a quoted string; a word of one character never matches. So `date` is not found in
//!   `Date: Mon`, nor `df` in prose.
//! - A text that the program ran before without its having been delivered is the program's own habit, and never matches
//!   later (the engine remembers).

use memchr::memmem;

use crate::model::{Exec, Text};

use super::argv;

/// What a flow delivered since a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Delivery {
    /// It is not watched.
    Unwatched,
    /// Nothing.
    Nothing,
    /// Ciphertext, or other bytes that are no text.
    Encrypted,
    /// A protocol's messages, or text that says nothing to a shell.
    Other,
    /// A line that a shell would take for a command of its own.
    ShellText,
    /// The text of the command that was asked for.
    Command,
}

/// Fewest bytes of a command that can match.
const COMMAND_MIN: usize = 2;

/// Commands that a shell runs without executing a program, and what their line looks like.
const BUILTINS: &[&str] = &[
    ".", ":", "alias", "bg", "cd", "command", "declare", "dirs", "echo", "eval", "exec", "exit", "export", "fg", "for",
    "hash", "history", "if", "jobs", "kill", "let", "local", "popd", "printf", "pushd", "pwd", "read", "set", "shopt",
    "source", "test", "times", "trap", "type", "ulimit", "umask", "unset", "wait", "while",
];

/// The texts by which a command may have been delivered: what a shell was told to run, else the arguments as a line.
#[must_use]
pub fn texts(exec: &Exec) -> Vec<Text> {
    if let Some(text) = argv::program_text(exec) {
        // `sh -c "$line 2>&1"`, `sh -c 'cd /tmp; LINE'` and the like hold more than what came.
        return vec![Text(without_redirections(text).to_vec())];
    }
    let joined = |first: &[u8]| {
        let rest = exec.argv.iter().skip(1).map(Text::as_bytes);
        Text(std::iter::once(first).chain(rest).collect::<Vec<_>>().join(&b' '))
    };
    let Some(first) = exec.argv.first() else {
        return vec![Text::default()];
    };
    let mut texts = vec![joined(first.as_bytes())];
    // Started by its path, delivered by its name.
    if first.as_bytes().contains(&b'/') {
        texts.push(joined(first.file_name()));
    }
    texts
}

/// The text of a command without what its runner appends to catch its output.
fn without_redirections(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii();
    while let Some(cut) = [&b"2>&1"[..], b"</dev/null", b"2>/dev/null", b"&", b";"]
        .iter()
        .find_map(|suffix| text.strip_suffix(*suffix))
    {
        text = cut.trim_ascii_end();
    }
    text
}

/// Whether one of `packets` delivered one of `texts`, and else what they look like.
#[must_use]
pub fn examine<'a>(packets: impl IntoIterator<Item = &'a [u8]>, texts: &[Text]) -> Delivery {
    packets
        .into_iter()
        .map(|packet| examine_packet(packet, texts))
        .max()
        .unwrap_or(Delivery::Nothing)
}

fn examine_packet(packet: &[u8], texts: &[Text]) -> Delivery {
    if is_tls(packet) {
        return Delivery::Encrypted;
    }
    let forms = [packet.to_vec(), url_decoded(packet), unescaped(packet)];
    let found = |text: &Text| forms.iter().any(|form| delivers(form, text.as_bytes()));
    if texts.iter().any(found) {
        return Delivery::Command;
    }
    if packet
        .iter()
        .any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127..))
    {
        return Delivery::Encrypted;
    }
    let is_builtin = |line: &[u8]| {
        let line = line.trim_ascii();
        let word = line.split(|byte| byte.is_ascii_whitespace() || *byte == b';').next();
        word.is_some_and(|word| BUILTINS.iter().any(|builtin| builtin.as_bytes() == word))
    };
    if packet.split(|&byte| byte == b'\n').any(is_builtin) {
        Delivery::ShellText
    } else {
        Delivery::Other
    }
}

/// TLS records of version 1.0 to 1.3: change of cipher, alert, handshake, data.
fn is_tls(packet: &[u8]) -> bool {
    matches!(packet, [20..=23, 3, 0..=4, ..])
}

/// Whether `text` stands in `form` as a command would.
fn delivers(form: &[u8], text: &[u8]) -> bool {
    let text = text.trim_ascii();
    if text.len() < COMMAND_MIN {
        return false;
    }
    let single = !text.iter().any(u8::is_ascii_whitespace);
    memmem::find_iter(form, text).any(|at| {
        let before = at.checked_sub(1).map(|at| form[at]);
        let after = form.get(at + text.len()).copied();
        if single {
            // All of a line, a parameter's value or a quoted string.
            let opens = |byte: Option<u8>| byte.is_none_or(|byte| matches!(byte, b'\n' | b'=' | b'"' | b'\'' | b'\0'));
            let closes = |byte: Option<u8>| {
                byte.is_none_or(|byte| matches!(byte, b'\n' | b'\r' | b'&' | b'"' | b'\'' | b'\0' | b' ' | b';' | b'|'))
            };
            // A line's first word with an argument behind it is another command.
            let whole = before == Some(b'=') || after != Some(b' ');
            let names_a_value = form[at + text.len()..].trim_ascii_start().strip_prefix(b"\"");
            let names_a_value = names_a_value.is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"));
            opens(before) && closes(after) && whole && !names_a_value
        } else {
            let inside = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            !inside(before) && !inside(after)
        }
    })
}

/// `%20` and `+` of URLs and forms.
fn url_decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| (byte as char).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        decoded.push(match first {
            b'+' => b' ',
            b'%' => match (digit(tail.first()), digit(tail.get(1))) {
                (Some(high), Some(low)) => {
                    rest = &tail[2..];
                    (high * 16 + low) as u8
                }
                _ => b'%',
            },
            byte => *byte,
        });
    }
    decoded
}

/// Backslash escapes of JSON.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail.first()) {
            (b'\\', Some(escaped)) => {
                rest = &tail[1..];
                plain.push(match escaped {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    other => *other,
                });
            }
            (byte, _) => plain.push(*byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examine_one(packet: &str, command: &str) -> Delivery {
        examine([packet.as_bytes()], &[command.into()])
    }

    #[test]
    fn a_delivered_command_is_found_however_it_is_wrapped() {
        for (packet, command) in [
            ("id\n", "id"),
            ("id\r\n", "id"),
            ("id", "id"),
            ("uname -a\n", "uname -a"),
            ("first\nuname -a\n", "uname -a"),
            ("GET /?cmd=id HTTP/1.1\r\nHost: x\r\n\r\n", "id"),
            ("GET /?cmd=cat%20/etc/passwd HTTP/1.1\r\n", "cat /etc/passwd"),
            ("GET /?c=uname+-a&x=1 HTTP/1.1\r\n", "uname -a"),
            ("POST / HTTP/1.1\r\n\r\ncmd=id", "id"),
            (r#"{"run": "id"}"#, "id"),
            (r#"{"run": "grep \"root\" /etc/passwd"}"#, r#"grep "root" /etc/passwd"#),
            ("ls -l | wc -l\n", "ls -l"),
        ] {
            assert_eq!(examine_one(packet, command), Delivery::Command, "{command} in {packet}");
        }
    }

    #[test]
    fn what_only_resembles_a_command_is_not_found() {
        for (packet, command) in [
            ("HTTP/1.1 200 OK\r\nDate: Mon, 1 Jan\r\n\r\n", "date"),
            ("the df of the host", "df"),
            ("df -h /srv\n", "df"),
            ("identity\n", "id"),
            ("w\n", "w"),
            ("", "id"),
            ("xuname -a\n", "uname -a"),
            ("uname -ab\n", "uname -a"),
            (r#"{"uptime": 12, "load": 3}"#, "uptime"),
            ("GET /status HTTP/1.1\r\nHost: df\r\n\r\n", "df"),
        ] {
            assert_ne!(examine_one(packet, command), Delivery::Command, "{command} in {packet}");
        }
    }

    #[test]
    fn ciphertext_protocols_and_shell_text_are_told_apart() {
        assert_eq!(examine([&b"\x16\x03\x01\x02\x00"[..]], &[]), Delivery::Encrypted);
        assert_eq!(
            examine([&b"\x17\x03\x03\x00\x20id\n"[..]], &["id".into()]),
            Delivery::Encrypted
        );
        assert_eq!(examine([&b"\x00\x9f\xf2abc"[..]], &[]), Delivery::Encrypted);
        assert_eq!(examine([&b"HTTP/1.1 200 OK\r\n\r\n{}"[..]], &[]), Delivery::Other);
        assert_eq!(examine([&b"+OK\r\n"[..]], &[]), Delivery::Other);
        assert_eq!(examine([&b"echo $((6*7))\n"[..]], &[]), Delivery::ShellText);
        assert_eq!(examine(std::iter::empty::<&[u8]>(), &[]), Delivery::Nothing);
    }

    #[test]
    fn redirections_that_the_runner_appends_are_no_part_of_the_command() {
        for text in ["id 2>&1", "id </dev/null 2>&1", " id ; ", "id 2>/dev/null &"] {
            assert_eq!(without_redirections(text.as_bytes()), b"id", "{text}");
        }
    }
}
