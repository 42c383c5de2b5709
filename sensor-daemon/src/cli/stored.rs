//! What commands share that read the record of findings: where it is, moments as people write them, one finding by its id.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::{
    Span, Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use crate::{
    config,
    finding::Report,
    model::Text,
    store::{self, Reader},
};

/// Options of commands that read it.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Options {
    /// The directory in which the sensor keeps findings: its --state-directory. Without it, what the configuration file says
    /// ([store] `directory`), else /var/lib/sensor-daemon
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
    /// The sensor's configuration file; /etc/sensor-daemon/config.toml, if it exists, where this is not given
    #[arg(long, value_name = "FILE", conflicts_with = "state_directory")]
    config: Option<PathBuf>,
}

impl Options {
    /// Where the record is, from wherever it is read, unless it is where it is looked for by default.
    pub(super) fn elsewhere(&self) -> Option<PathBuf> {
        if self.state_directory.is_none() && self.config.is_none() {
            return None;
        }
        let directory = std::path::absolute(self.directory().ok()?).ok()?;
        (directory != Path::new(store::DIRECTORY)).then_some(directory)
    }

    /// Opens the record.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub(super) fn open(&self) -> anyhow::Result<Reader> {
        Ok(Reader::open(&self.directory()?.join(store::FILE))?)
    }

    /// The directory of the record.
    ///
    /// # Errors
    /// The configuration file, which may name it, can't be read or is wrong.
    pub(super) fn directory(&self) -> anyhow::Result<PathBuf> {
        if let Some(directory) = &self.state_directory {
            return Ok(directory.clone());
        }
        let config = config::load(self.config.as_deref())
            .context("where findings are kept can't be told, name it with --state-directory")?;
        Ok(config.store.directory.unwrap_or_else(|| store::DIRECTORY.into()))
    }
}

/// The moment from which on findings are asked for, in nanoseconds of Unix time. A date is its beginning.
///
/// # Errors
/// The text is no moment; the error says how to write one.
pub(super) fn since(text: &str) -> Result<i64, String> {
    moment(text, Time::MIN)
}

/// The moment up to which findings are asked for. A date is its end.
///
/// # Errors
/// The text is no moment; the error says how to write one.
pub(super) fn until(text: &str) -> Result<i64, String> {
    moment(text, Time::MAX)
}

fn moment(text: &str, time_of_date: Time) -> Result<i64, String> {
    let in_utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let ago = |span: Span| {
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        now.checked_sub(span.abs()).ok().map(|time| time.timestamp())
    };
    // Jiff reads a date in a text with a time as well.
    let date = || {
        text.parse::<Date>()
            .ok()
            .filter(|_| !text.contains([':', 'T', 't', ' ']))
    };
    let time = if let Ok(time) = text.parse::<Timestamp>() {
        Some(time)
    } else if let Some(date) = date() {
        in_utc(date.to_datetime(time_of_date))
    } else if let Ok(time) = text.parse::<DateTime>() {
        in_utc(time)
    } else {
        text.parse::<Span>().ok().and_then(ago)
    };
    time.and_then(|time| i64::try_from(time.as_nanosecond()).ok())
        .ok_or_else(|| {
            "write how long ago (15m, 2h, 7d), a date (2026-01-31) or a time (2026-01-31T09:00:00Z)".to_owned()
        })
}

/// The finding whose id begins so.
///
/// # Errors
/// There is none, or more than one.
pub(super) fn by_id(reader: &Reader, id: &str) -> anyhow::Result<Report> {
    let shown = Text::from(id).for_terminal();
    // As Security Command Center writes it.
    let id = id.rsplit_once("/findings/").map_or(id, |(_, id)| id);
    if id.is_empty() {
        bail!("an empty id names no finding: `sensor-daemon findings` lists them");
    }
    let mut found = reader.by_prefix(&id.to_ascii_lowercase())?;
    match (found.pop(), found.len()) {
        (Some(stored), 0) => Ok(stored.report),
        (None, _) => bail!("there is no finding whose id begins with `{shown}`: `sensor-daemon findings` lists them"),
        (Some(last), more) => bail!(
            "{} findings have an id that begins with `{shown}`: write more of it, for one {}",
            more + 1,
            last.report.id
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn moments() {
        for (text, seconds) in [
            ("1970-01-01T00:00:01Z", 1),
            ("1970-01-01T01:00:01+01:00", 1),
            ("1970-01-02T01:00", 90_000),
            ("1970-01-02", 86_400),
        ] {
            assert_eq!(since(text), Ok(seconds * 1_000_000_000), "{text}");
        }
        assert_eq!(until("1970-01-01"), Ok(86_400 * 1_000_000_000 - 1));
        let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap();
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("15m", 900),
            ("2h", 7_200),
            ("1h30m", 5_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
        ] {
            let before = (now - since(text).unwrap()) / 1_000_000_000;
            assert!((before - seconds).abs() <= 5, "{text}");
        }
        for wrong in [
            "",
            "s",
            "2",
            "yesterday",
            "99999999999999999999d",
            "2026-13-01",
            "2026-13-01T00:00:00Z",
        ] {
            assert!(since(wrong).unwrap_err().contains("2h"), "{wrong}");
        }
    }
}
