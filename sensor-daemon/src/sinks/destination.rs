//! The places for findings, as people write them, on the command line and in the configuration file alike.

use std::{fmt, path::PathBuf, str::FromStr};

use super::{stdout, syslog::Collector};

/// A place for findings. Its text form is what people write, and what the sink is called in the record of findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The standard output.
    Stdout,
    /// systemd's journal.
    Journald,
    /// Lines appended to this file.
    File(PathBuf),
    /// A syslog collector.
    Syslog(Collector),
}

/// How one is written.
pub const FORMS: &str =
    "stdout, journald, file=PATH, syslog=unix:/dev/log, syslog=udp:HOST:PORT or syslog=tcp:HOST:PORT";

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == stdout::NAME => Ok(Self::Stdout),
            None if text == "journald" => Ok(Self::Journald),
            Some(("file", path)) if is_path_of_file(path) => Ok(Self::File(path.into())),
            Some(("syslog", collector)) => collector.parse().map(Self::Syslog),
            _ => Err(format!("write {FORMS}")),
        }
    }
}

fn is_path_of_file(path: &str) -> bool {
    !path.is_empty() && !path.ends_with('/') && !path.contains('\0')
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str(stdout::NAME),
            Self::Journald => f.write_str("journald"),
            Self::File(path) => write!(f, "file={}", path.display()),
            Self::Syslog(collector) => write!(f, "syslog={collector}"),
        }
    }
}

/// One that is there twice, if any is: findings would go there twice, and their place in the record be shared.
#[must_use]
pub fn repeated(outputs: &[Destination]) -> Option<&Destination> {
    let mut rest = outputs.iter().enumerate();
    rest.find_map(|(at, output)| outputs[..at].contains(output).then_some(output))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_written_as_they_are_called() {
        for text in [
            "stdout",
            "journald",
            "file=/var/log/findings.json",
            "file=a=b",
            "syslog=unix:/dev/log",
            "syslog=tcp:logs.example:6514",
        ] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for (text, remedy) in [
            ("", "write stdout"),
            ("Stdout", "write stdout"),
            ("stdout=x", "file=PATH"),
            ("file=", "file=PATH"),
            ("file", "file=PATH"),
            ("file=/var/log/", "file=PATH"),
            ("file=a\0", "file=PATH"),
            ("syslog", "syslog=unix:/dev/log"),
            ("syslog=logs.example", "udp:HOST:514"),
        ] {
            let error = text.parse::<Destination>().unwrap_err();
            assert!(error.contains(remedy), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_there_twice_is_found() {
        let outputs = |texts: &[&str]| -> Vec<Destination> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let two = outputs(&["stdout", "syslog=udp:a:1", "syslog=udp:b:1", "file=/a", "file=/b"]);
        assert_eq!(repeated(&two), None);
        let again = outputs(&["file=/a", "stdout", "file=/a"]);
        assert_eq!(repeated(&again), Some(&again[0]));
    }
}
