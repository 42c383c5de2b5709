//! Patterns over bytes that somebody else chose: `?` is one character other than `/`, `*` any number of them, `**` anything
//! at all; `**/` is also no directory. Linear in the text for each token of the pattern, whatever an attacker names his file.

use std::fmt;

/// A pattern and its source text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    source: String,
    tokens: Vec<Token>,
}

/// What a pattern is matched with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobKind {
    /// An absolute path.
    Path,
    /// A name: of a container, an image.
    Name,
}

/// Why a pattern is refused, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobError {
    /// What is wrong.
    pub what: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Star,
    DoubleStar,
    /// `**/` after a slash or at the start: nothing, or what the next token takes.
    Directories,
    /// The second half of `Directories`: anything that ends with a slash.
    DirectoriesBody,
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It could not match what it is for, means something else elsewhere, or would match anything.
    pub fn new(source: &str, kind: GlobKind) -> Result<Self, GlobError> {
        let tokens = tokens(source)?;
        let literal = |token: &Token| matches!(token, Token::Char(c) if *c != '/');
        if source.is_empty() {
            return Err(GlobError {
                what: "is empty",
                remedy: "write a path or a name, or leave the field out",
            });
        }
        if !tokens.iter().any(literal) {
            return Err(GlobError {
                what: "matches anything",
                remedy: "name at least a part of what is meant, or leave the field out",
            });
        }
        if kind == GlobKind::Path {
            if !source.starts_with('/') && !source.starts_with("**/") {
                return Err(GlobError {
                    what: "is not an absolute path",
                    remedy: "begin it with `/`; `**/name` is a file of that name anywhere, which anybody can create",
                });
            }
            if source.split('/').any(|component| matches!(component, "." | "..")) || source.contains("//") {
                return Err(GlobError {
                    what: "is not a plain path",
                    remedy: "write it without `.`, `..` and `//`",
                });
            }
            if source.ends_with('/') {
                return Err(GlobError {
                    what: "is a directory",
                    remedy: "name a file, or append `**` for every file below it",
                });
            }
        }
        Ok(Self {
            source: source.to_owned(),
            tokens,
        })
    }

    /// Whether all of `value` is what the pattern describes. A byte that is not UTF-8 counts as one character.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        // Every token that could come next, at once, so that there is no way back to be taken.
        let mut states = vec![false; self.tokens.len() + 1];
        self.enter(&mut states, 0);
        for unit in units(value) {
            let mut next = vec![false; states.len()];
            for (at, token) in self.tokens.iter().enumerate() {
                if !states[at] {
                    continue;
                }
                match token {
                    Token::Char(c) if unit == Some(*c) => self.enter(&mut next, at + 1),
                    Token::One if unit != Some('/') => self.enter(&mut next, at + 1),
                    Token::Star if unit != Some('/') => self.enter(&mut next, at),
                    Token::DoubleStar => self.enter(&mut next, at),
                    Token::DirectoriesBody => {
                        next[at] = true;
                        if unit == Some('/') {
                            self.enter(&mut next, at + 1);
                        }
                    }
                    _ => {}
                }
            }
            states = next;
        }
        states[self.tokens.len()]
    }

    /// Enters a state, and those that are reached from it for nothing.
    fn enter(&self, states: &mut [bool], mut at: usize) {
        loop {
            states[at] = true;
            match self.tokens.get(at) {
                Some(Token::Star | Token::DoubleStar) => at += 1,
                Some(Token::Directories) => {
                    states[at + 1] = true;
                    at += 2;
                }
                _ => return,
            }
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

fn tokens(source: &str) -> Result<Vec<Token>, GlobError> {
    let mut tokens = Vec::new();
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '?' => tokens.push(Token::One),
            '*' => {
                let mut double = false;
                while chars.next_if_eq(&'*').is_some() {
                    double = true;
                }
                if !double {
                    tokens.push(Token::Star);
                } else if matches!(tokens.last(), None | Some(Token::Char('/'))) && chars.next_if_eq(&'/').is_some() {
                    tokens.extend([Token::Directories, Token::DirectoriesBody]);
                } else {
                    tokens.push(Token::DoubleStar);
                }
            }
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '?' | '[' | ']' | '{' | '}' | '\\')) => tokens.push(Token::Char(escaped)),
                _ => {
                    return Err(GlobError {
                        what: "has a `\\` that escapes nothing",
                        remedy: "write `\\\\` for the character itself",
                    });
                }
            },
            '[' | ']' | '{' | '}' => {
                return Err(GlobError {
                    what: "has a bracket, which is no wildcard here",
                    remedy: "use `?`, `*`, `**` or a list of patterns; write `\\[` for the character itself",
                });
            }
            '\0' => {
                return Err(GlobError {
                    what: "has a NUL character, which nothing has",
                    remedy: "remove it",
                });
            }
            c => tokens.push(Token::Char(c)),
        }
    }
    Ok(tokens)
}

/// Characters, and `None` for each byte that is none.
fn units(value: &[u8]) -> impl Iterator<Item = Option<char>> {
    value.utf8_chunks().flat_map(|chunk| {
        let invalid = chunk.invalid().iter().map(|_| None);
        chunk.valid().chars().map(Some).chain(invalid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, value: &[u8]) -> bool {
        Glob::new(pattern, GlobKind::Name).unwrap().matches(value)
    }

    #[test]
    fn wildcards_stay_where_they_belong() {
        for (pattern, value, expected) in [
            ("/usr/sbin/sshd", &b"/usr/sbin/sshd"[..], true),
            ("/usr/sbin/sshd", b"/usr/sbin/sshd2", false),
            ("/usr/sbin/sshd", b"/tmp/usr/sbin/sshd", false),
            ("/usr/*/sshd", b"/usr/sbin/sshd", true),
            ("/usr/*/sshd", b"/usr/local/sbin/sshd", false),
            ("/usr/*/sshd", b"/usr//sshd", true),
            ("/usr/**/sshd", b"/usr/local/sbin/sshd", true),
            ("/usr/**/sshd", b"/usr/sshd", true),
            ("/usr/**/sshd", b"/usr/notsshd", false),
            ("/usr/**/sshd", b"/usr/a/notsshd", false),
            ("/opt/**", b"/opt/a/b", true),
            ("/opt/**", b"/optional", false),
            ("**/sshd", b"/sshd", true),
            ("**/sshd", b"/a/b/sshd", true),
            ("**/sshd", b"/a/b/xsshd", false),
            ("**sshd", b"/a/b/xsshd", true),
            ("/a?c", b"/abc", true),
            ("/a?c", b"/ac", false),
            ("/a?c", b"/a/c", false),
            ("a*b*c", b"a__b__b__c", true),
            ("a*b*c", b"a__c__b", false),
            ("a**b/c", b"a/x/b/b/c", true),
            ("**/a/**/b", b"/x/a/b", true),
            ("**/a/**/b", b"/x/a/y/z/b", true),
            ("**/a/**/b", b"/x/ab", false),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} on {value:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_count_one_each() {
        assert!(matches("/tmp/caf?", b"/tmp/caf\xe9"));
        assert!(matches("/tmp/caf?", "/tmp/café".as_bytes()), "a character, not a byte");
        assert!(!matches("/tmp/caf?", b"/tmp/caf\xff\xfe"));
        assert!(matches("/tmp/*.sh", b"/tmp/\xff\xfe.sh"));
        assert!(
            !matches("/tmp/\u{fffd}", b"/tmp/\xff"),
            "no replacement character is made up"
        );
    }

    #[test]
    fn escapes_are_literal() {
        assert!(matches(r"/a\*b\?\[\\", b"/a*b?[\\"));
        assert!(!matches(r"/a\*b", b"/axb"));
    }

    #[test]
    fn what_would_surprise_is_refused() {
        for pattern in [
            "", "*", "**", "/**", "**/*", "/?*/**", "/a[bc]", "/a{b,c}", r"/a\b", "/a\\", "/a\0b",
        ] {
            assert!(Glob::new(pattern, GlobKind::Name).is_err(), "{pattern}");
        }
        for pattern in [
            "bash",
            "bin/bash",
            "*/bash",
            "/usr/../bin/bash",
            "/usr/./bash",
            "/usr//bash",
            "/usr/bin/",
        ] {
            assert!(Glob::new(pattern, GlobKind::Path).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_hostile_name_costs_no_more_than_its_length() {
        let pattern = format!("{}b", "*a".repeat(50));
        assert!(!matches(&pattern, &b"a".repeat(4096)));
    }
}
