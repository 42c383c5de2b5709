//! A real journal in a mount namespace of its own, read back with `journalctl` in the format that is made for programs.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    deadline::wait_for,
    process::{command, wait_end},
    tools,
};

/// A running journal.
pub struct Journal {
    child: Child,
    run: PathBuf,
}

/// An entry: names and values in the order in which they came.
pub type Entry = Vec<(String, Vec<u8>)>;

impl Journal {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub fn start() -> Result<Self> {
        let mut unshare = command(tools::find("unshare")?);
        unshare.args(["--mount", "sh", "-ec", include_str!("../programs/journal.sh")]);
        let child = unshare.stdin(Stdio::piped()).spawn()?;
        let run = PathBuf::from(format!("/proc/{}/root/run", child.id()));
        let journal = Self { child, run };
        wait_for("the journal", || {
            let socket = UnixDatagram::unbound()?;
            Ok(socket.connect(journal.run.join("systemd/journal/socket")).ok())
        })?;
        Ok(journal)
    }

    /// A command for a program that has this journal for the machine's.
    ///
    /// # Errors
    /// If `nsenter` is not installed.
    pub fn beside(&self, program: PathBuf) -> Result<Command> {
        let mut nsenter = command(tools::find("nsenter")?);
        nsenter
            .arg(format!("--mount=/proc/{}/ns/mnt", self.child.id()))
            .arg("--")
            .arg(program);
        Ok(nsenter)
    }

    /// The entries that match.
    ///
    /// # Errors
    /// If what `journalctl` writes is not what its format is.
    pub fn entries(&self, matches: &[&str]) -> Result<Vec<Entry>> {
        let output = Command::new(tools::find("journalctl")?)
            .args(["--quiet", "--all", "-o", "export", "--directory"])
            .arg(self.run.join("log/journal"))
            .args(matches)
            .output()?;
        read(&output.stdout)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Without its standard input it ends with the journal.
        drop(self.child.stdin.take());
        let pid = fs::read_to_string(self.run.join("pid"));
        let Some(pid) = pid.ok().and_then(|pid| pid.trim().parse::<u32>().ok()) else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            return;
        };
        if let Some(journald) = rustix::process::Pid::from_raw(pid.cast_signed()) {
            let _ = rustix::process::kill_process(journald, rustix::process::Signal::TERM);
        }
        let _ = wait_end(pid);
        let _ = self.child.wait();
    }
}

/// Reads the Journal Export Format: a field a line, or its name, its length and its bytes; an empty line after each entry.
fn read(mut export: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut entry = Entry::new();
    while !export.is_empty() {
        let end = export.iter().position(|&byte| byte == b'\n').context("a torn line")?;
        let (line, rest) = (&export[..end], &export[end + 1..]);
        export = rest;
        if line.is_empty() {
            ensure!(!entry.is_empty(), "an empty entry");
            entries.push(std::mem::take(&mut entry));
            continue;
        }
        let equals = line.iter().position(|&byte| byte == b'=');
        let name = std::str::from_utf8(&line[..equals.unwrap_or(line.len())])?;
        let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        ensure!(name.bytes().all(is_name), "no name of a field: {name:?}");
        let value = match equals {
            Some(at) => line[at + 1..].to_vec(),
            None => {
                let (length, rest) = export.split_first_chunk().context("no length")?;
                let length = usize::try_from(u64::from_le_bytes(*length))?;
                let (value, rest) = rest.split_at_checked(length).context("a torn value")?;
                let Some(rest) = rest.strip_prefix(b"\n") else {
                    bail!("{name} does not end after its length");
                };
                export = rest;
                value.to_vec()
            }
        };
        entry.push((name.to_owned(), value));
    }
    ensure!(entry.is_empty(), "a torn entry");
    Ok(entries)
}
