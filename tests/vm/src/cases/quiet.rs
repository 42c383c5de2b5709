//! What must raise nothing. That no finding came is demanded of every case when it is over.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
};

use anyhow::{Result, ensure};
use sensor_tests::{deadline::deadline, lab::Lab};

use super::Case;

pub const CASES: &[Case] = &[
    ("quiet::unix_socket", |lab| {
        let (mut ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(deadline()))?;
        let mut shell = lab.command("/bin/sh")?;
        shell
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs));
        let mut child = lab.spawn(&mut shell)?;
        drop(shell);
        ours.write_all(b"id\nexit\n")?;
        let mut said = String::new();
        ours.read_to_string(&mut said)?;
        ensure!(
            child.wait()?.success() && said.contains("uid="),
            "the shell said {said:?}"
        );
        Ok(())
    }),
    // As FastCGI hands it over.
    ("quiet::listening_socket", |lab| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        sh(lab, "id; true", OwnedFd::from(listener).into())
    }),
    ("quiet::file_and_pipe", |lab| {
        std::fs::write(lab.path("commands"), "id | cat\n")?;
        sh(lab, "sh commands | cat", Stdio::null())
    }),
];

fn sh(lab: &Lab<'_>, script: &str, stdin: Stdio) -> Result<()> {
    let mut shell = lab.command("/bin/sh")?;
    let status = lab.spawn(shell.args(["-c", script]).stdin(stdin))?.wait()?;
    ensure!(
        status.success() && lab.output().contains("uid="),
        "the work was not done: {}",
        lab.output()
    );
    Ok(())
}
