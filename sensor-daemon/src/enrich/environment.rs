//! Environment variables of a process, for users who ask for them. Secrets are masked: by the variable's name, and by what its
//! value looks like. If in doubt, a value is masked. `model/secrets.rs` knows what the keys of services look like.

use std::{fs::File, io::Read as _};

use crate::model::{
    Text,
    secrets::{MASK, has_login, is_key},
};

/// Most bytes that are read, most variables and bytes of a variable that are kept.
const READ_MAX: u64 = 64 << 10;
const VARIABLES_MAX: usize = 64;
const VARIABLE_MAX: usize = 256;

/// Parts of names whose values are secrets. Compared in upper case.
const NAMES: &[&str] = &[
    "PASS",
    "PWD_",
    "_PWD",
    "SECRET",
    "TOKEN",
    "KEY",
    "CREDENTIAL",
    "AUTH",
    "COOKIE",
    "SESSION",
    "PRIVATE",
    "CERT",
    "SIGN",
    "SALT",
    "DSN",
    "CONNECTION_STRING",
    "CONNECTIONSTRING",
    "JWT",
    "BEARER",
    "WEBHOOK",
    "OTP",
    "SAS",
    "ENCRYPT",
    "PIN_",
];
/// Names that hold such a part and no secret.
const HARMLESS: &[&str] = &[
    "PWD",
    "OLDPWD",
    "SSH_AUTH_SOCK",
    "XAUTHORITY",
    "XDG_SESSION_ID",
    "XDG_SESSION_TYPE",
    "XDG_SESSION_CLASS",
    "DESKTOP_SESSION",
    "DBUS_SESSION_BUS_ADDRESS",
    "KEYBOARD",
    "MONKEY",
];
/// A value of so many letters and digits without a pause, of several kinds, is taken for a key.
const RUN_MIN: usize = 24;

/// The variables of a live process, as it was executed.
pub(super) fn of(pid: u32) -> Vec<Text> {
    masked(&read(pid))
}

/// The text of `/proc/PID/environ`, as much of it as is read; nothing if it can't be. Not to be shown as it is.
pub(super) fn read(pid: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ")).and_then(|file| file.take(READ_MAX).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    bytes
}

/// The variables of a text as `/proc/PID/environ` has it, masked and cut.
fn masked(bytes: &[u8]) -> Vec<Text> {
    bytes
        .split(|&byte| byte == 0)
        .filter(|variable| !variable.is_empty())
        .take(VARIABLES_MAX)
        .map(|variable| {
            let at = variable.iter().position(|&byte| byte == b'=');
            let (name, value) = at.map_or((variable, None), |at| (&variable[..at], Some(&variable[at + 1..])));
            let mut shown = match value {
                Some(value) if is_secret(name, value) => {
                    [&name[..name.len().min(VARIABLE_MAX)], b"=", MASK.as_bytes()].concat()
                }
                // Without a `=` it is no variable, and might be anything.
                None => MASK.as_bytes().to_vec(),
                Some(_) => variable.to_vec(),
            };
            if shown.len() > VARIABLE_MAX + 1 + MASK.len() {
                let cut = std::str::from_utf8(&shown).map(|text| text.floor_char_boundary(VARIABLE_MAX));
                shown.truncate(cut.unwrap_or(VARIABLE_MAX));
                shown.extend("…".bytes());
            }
            Text(shown)
        })
        .collect()
}

fn is_secret(name: &[u8], value: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    let by_name = NAMES.iter().any(|part| name.contains(part)) && !HARMLESS.contains(&name.as_str());
    by_name || looks_secret(&String::from_utf8_lossy(value))
}

fn looks_secret(value: &str) -> bool {
    // Anywhere in the value: behind `--header=`, in a list, in JSON.
    let words =
        || value.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '=' | '&' | '(' | ')'));
    let begins = words().any(|word| is_key(word) || matches!(word, "Bearer" | "Basic"));
    let address = has_login(value);
    let run = words()
        .flat_map(|word| word.split(['/', ':', '.', '@', '\\']))
        .any(|word| is_random(word.trim_end_matches('=')));
    begins || value.contains("-----BEGIN") || address || run
}

/// Long, and of digits and letters mixed as no word is.
fn is_random(word: &str) -> bool {
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_');
    if word.len() < RUN_MIN || !word.chars().all(is_key) {
        return false;
    }
    let count = |is: fn(&char) -> bool| word.chars().filter(is).count();
    let digits = count(char::is_ascii_digit);
    let (upper, lower) = (count(char::is_ascii_uppercase), count(char::is_ascii_lowercase));
    // Hexadecimal, Base64, Base32.
    digits >= 3 && upper + lower >= 3 || (digits > 0 && upper > 3 && lower > 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        for (variable, secret) in [
            // By name.
            ("PASSWORD=x", true),
            ("db_password=hunter2", true),
            ("MYSQL_PWD=x", true),
            ("PGPASSFILE=/x", true),
            ("AWS_SECRET_ACCESS_KEY=x", true),
            ("API_KEY=x", true),
            ("apikey=x", true),
            ("GITHUB_TOKEN=x", true),
            ("AUTHORIZATION=x", true),
            ("SESSION_ID=x", true),
            ("SENTRY_DSN=x", true),
            ("SLACK_WEBHOOK=x", true),
            // By value.
            ("X=AKIAIOSFODNN7EXAMPLE", true),
            ("X=ghp_16C7e42F292c6912E7710c838347Ae178B4a", true),
            ("X=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", true),
            ("CURL_OPTS=-H 'X: Bearer abc'", true),
            ("X=-----BEGIN RSA PRIVATE KEY-----\nMIIE", true),
            ("DATABASE_URL=postgres://app:hunter2@db/prod", true),
            ("http_proxy=http://user:pw@proxy:3128", true),
            ("X=0123456789abcdef0123456789abcdef", true),
            ("X=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", true),
            ("X=a,b=0123456789abcdef0123456789abcdef", true),
            ("X=sk-proj-abc", true),
            // Not a variable at all.
            ("0123456789", true),
            // Neither.
            (
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                false,
            ),
            ("PWD=/srv/app", false),
            ("OLDPWD=/", false),
            ("HOME=/home/app", false),
            ("LANG=en_US.UTF-8", false),
            ("TERM=xterm-256color", false),
            ("HOSTNAME=web-6d4cf56db6-abcde", false),
            ("KUBERNETES_SERVICE_HOST=10.0.0.1", false),
            ("JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64", false),
            ("DATABASE_URL=postgres://db/prod", false),
            ("SSH_AUTH_SOCK=/tmp/ssh-x/agent.1", false),
            ("SSH_CONNECTION=192.0.2.1 5000 192.0.2.2 22", false),
            ("EMPTY=", false),
        ] {
            let shown = masked(variable.as_bytes());
            let hidden = shown[0].to_text().ends_with(MASK);
            assert_eq!(hidden, secret, "{variable} is shown as {shown:?}");
            if !secret {
                assert_eq!(shown[0].to_text(), variable);
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let many = "A=b\0".repeat(VARIABLES_MAX + 1);
        assert_eq!(masked(many.as_bytes()).len(), VARIABLES_MAX);
        for long in [
            format!("X={}", "é ".repeat(9999)),
            format!("{}={}", "TOKEN".repeat(999), "x"),
            format!("X={}", "\u{ff}".repeat(9999)),
        ] {
            let shown = masked(long.as_bytes());
            assert!(
                shown[0].0.len() <= VARIABLE_MAX + 1 + MASK.len(),
                "{}",
                shown[0].0.len()
            );
            assert!(std::str::from_utf8(&shown[0].0).is_ok());
        }
        assert!(masked(b"").is_empty() && masked(b"\0\0").is_empty());
        assert_eq!(masked(b"X=\xff\0")[0].0, b"X=\xff");
    }

    #[test]
    fn this_process_has_an_environment() {
        assert!(
            of(std::process::id())
                .iter()
                .any(|variable| variable.0.starts_with(b"PATH="))
        );
    }
}
