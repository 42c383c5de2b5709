//! What is known of the hostile shell, and whether a line has all of it as it was.

use anyhow::{Context as _, Result, ensure};
use sensor_tests::{
    hostile::{bytes_of, words_of},
    suite::Format,
};
use serde_json::Value;

use super::layout::layout;

/// A cut text ends with it.
const CUT: char = '…';

/// What is known of the shell.
pub struct Shell<'a> {
    pub whole: &'a [Vec<u8>],
    pub long: &'a [u8],
    pub path: &'a [u8],
    pub directory: &'a [u8],
    pub variable: (&'a [u8], &'a [u8]),
}

impl Shell<'_> {
    /// The arguments of a line: all that are whole, and at most the beginning of the long one.
    pub fn are_arguments(&self, shown: &[Vec<u8>]) -> Result<()> {
        let (whole, cut) = shown.split_at_checked(self.whole.len()).context("too few arguments")?;
        ensure!(whole == self.whole, "{whole:?} is not {:?}", self.whole);
        let is_beginning = |rest: &[u8]| rest == CUT.to_string().as_bytes() || self.long.starts_with(rest);
        ensure!(
            cut.len() <= 2 && cut.iter().all(|rest| is_beginning(rest)),
            "{cut:?} at the end"
        );
        Ok(())
    }

    /// Whether these are the arguments of the command that ran: the beginning of them, and at least so many whole ones.
    pub fn is_command(&self, shown: &[Vec<u8>], least: usize) -> bool {
        let mut expected = vec![self.path, b"-c", b":"];
        // The shell's own name, `-s` and `--` come before what it handed on.
        expected.extend(self.whole.iter().skip(3).map(Vec::as_slice));
        let pairs = shown.iter().zip(&expected);
        let same = pairs.take_while(|(shown, expected)| shown == *expected).count();
        // One more may be cut, and be followed by a mark.
        same >= least && shown.len() <= same + 2
    }

    /// Everything that it chose comes out of a line as it was.
    pub fn check(&self, format: Format, line: &Value) -> Result<()> {
        let get = |pointer: &str| line.pointer(pointer).with_context(|| format!("no {pointer}: {line:#}"));
        let text = |pointer: &str| get(pointer)?.as_str().with_context(|| format!("{pointer} is no text"));
        let strings = |pointer: &str| -> Result<Vec<Vec<u8>>> {
            let list = get(pointer)?.as_array().context("no list")?;
            list.iter()
                .map(|item| bytes_of(item.as_str().context("no text")?))
                .collect()
        };
        let own = match format {
            Format::Scc => "/finding/sourceProperties",
            Format::Ocsf => "/unmapped",
            Format::Ecs => "/sensor_daemon",
        };
        let (name, path, directory) = match format {
            Format::Scc => ("/finding/processes/0/name", "/finding/processes/0/binary/path", None),
            Format::Ocsf => (
                "/evidences/0/process/name",
                "/evidences/0/process/file/path",
                Some("/evidences/0/process/working_directory"),
            ),
            Format::Ecs => (
                "/process/name",
                "/process/executable",
                Some("/process/working_directory"),
            ),
        };
        let comm: Vec<u8> = self
            .whole
            .first()
            .context("no name")?
            .iter()
            .take(15)
            .copied()
            .collect();
        ensure!(bytes_of(text(name)?)? == comm, "another name: {line:#}");
        ensure!(bytes_of(text(path)?)? == self.path, "another path: {line:#}");
        let own_directory = format!("{own}/execution/workingDirectory");
        for pointer in directory.into_iter().chain([own_directory.as_str()]) {
            ensure!(
                bytes_of(text(pointer)?)? == self.directory,
                "another directory: {line:#}"
            );
        }
        let (list, arguments) = match format {
            Format::Scc => {
                self.are_arguments(&strings("/finding/processes/0/args")?)?;
                let truncated = get("/finding/processes/0/argumentsTruncated")?;
                ensure!(truncated == true, "not said to be cut: {line:#}");
                ("/finding/processes", "/args")
            }
            Format::Ocsf => {
                self.are_arguments(&words_of(text("/evidences/0/process/cmd_line")?)?)?;
                ("/evidences", "/process/cmd_line")
            }
            Format::Ecs => {
                self.are_arguments(&strings("/process/args")?)?;
                self.are_arguments(&words_of(text("/process/command_line")?)?)?;
                ("/sensor_daemon/commands", "/command_line")
            }
        };
        let mut found = 0;
        for at in 0..get(list)?.as_array().context("no list")?.len() {
            let pointer = format!("{list}/{at}{arguments}");
            let words = match line.pointer(&pointer) {
                Some(Value::Array(_)) => strings(&pointer)?,
                Some(Value::String(words)) => words_of(words)?,
                _ => continue,
            };
            // Half of the room for a line is for its quotation.
            found += usize::from(self.is_command(&words, 3));
        }
        ensure!(found == 1, "{found} commands as they were: {line:#}");
        let variables = get(layout(format).environment)?.as_array().context("no list")?;
        let variables: Result<Vec<(Vec<u8>, Vec<u8>)>> = variables
            .iter()
            .map(|variable| {
                let (name, value) = match format {
                    Format::Scc => (variable["name"].as_str(), variable["val"].as_str()),
                    Format::Ocsf => (variable["name"].as_str(), variable["value"].as_str()),
                    Format::Ecs => variable.as_str().and_then(|text| text.split_once('=')).unzip(),
                };
                Ok((
                    bytes_of(name.context("no name")?)?,
                    bytes_of(value.unwrap_or_default())?,
                ))
            })
            .collect();
        let (name, value) = self.variable;
        ensure!(
            variables?.contains(&(name.to_vec(), value.to_vec())),
            "the variable is not there: {line:#}"
        );
        Ok(())
    }
}
