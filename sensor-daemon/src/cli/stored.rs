//! What commands share that read the record of findings: where it is, moments as people write them, one finding by its id.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::{SignedDuration, Timestamp};

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

    fn directory(&self) -> anyhow::Result<PathBuf> {
        if let Some(directory) = &self.state_directory {
            return Ok(directory.clone());
        }
        let config = config::load(self.config.as_deref())
            .context("where findings are kept can't be told, name it with --state-directory")?;
        Ok(config.store.directory.unwrap_or_else(|| store::DIRECTORY.into()))
    }
}

/// A moment as it is written on the command line, in nanoseconds of Unix time: `90s`, `15m`, `2h`, `7d` ago, or RFC 3339.
///
/// # Errors
/// It is neither; the text says what would be.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    let time = ago(text).map_or_else(
        || text.parse::<Timestamp>().ok(),
        |span| Timestamp::now().checked_sub(span).ok(),
    );
    time.and_then(|time| i64::try_from(time.as_nanosecond()).ok())
        .ok_or_else(|| "write how long ago (90s, 15m, 2h, 7d), or a time such as 2026-01-31T09:00:00Z".to_owned())
}

fn ago(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number
        .parse::<i64>()
        .ok()?
        .checked_mul(seconds)
        .map(SignedDuration::from_secs)
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
        assert_eq!(moment("1970-01-01T00:00:01Z").unwrap(), 1_000_000_000);
        assert_eq!(moment("1970-01-01T01:00:01+01:00").unwrap(), 1_000_000_000);
        let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap();
        for (text, seconds) in [("0s", 0), ("90s", 90), ("15m", 900), ("2h", 7_200), ("7d", 604_800)] {
            let since = now - moment(text).unwrap();
            assert!((since / 1_000_000_000 - seconds).abs() <= 5, "{text}");
        }
        for wrong in [
            "",
            "s",
            "2",
            "2w",
            "-2h",
            "yesterday",
            "99999999999999999999d",
            "2026-13-01T00:00:00Z",
        ] {
            assert!(moment(wrong).unwrap_err().contains("2h"), "{wrong}");
        }
    }
}
