//! The plainest takeover: `sh` on a connection that this process made. For everything that is about the sensor, not
//! about the attack.

use std::{
    net::TcpStream,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Child, Command, Stdio},
};

use anyhow::Result;

use crate::{
    peer::{Ends, Listener, Peer, V4},
    process::command,
};

/// A shell under this test's control.
pub struct Takeover {
    peer: Peer,
    shell: Child,
}

impl Takeover {
    /// Starts one.
    ///
    /// # Errors
    /// If the shell can't be started.
    pub fn start() -> Result<Self> {
        Self::start_named("sh")
    }

    /// Starts one whose shell calls itself `name`.
    ///
    /// # Errors
    /// If the shell can't be started.
    pub fn start_named(name: impl AsRef<std::ffi::OsStr>) -> Result<Self> {
        let mut command = command("/bin/sh");
        command.arg0(name);
        Self::start_as(command)
    }

    /// Starts one whose shell is what `command` runs.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start_as(mut command: Command) -> Result<Self> {
        let listener = Listener::tcp(V4)?;
        let stream = TcpStream::connect((V4, listener.port()?))?;
        command
            .stdin(Stdio::from(OwnedFd::from(stream.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(stream)));
        // The connection stays open in `command` until it goes.
        let shell = command.spawn()?;
        Ok(Self {
            peer: listener.accept()?,
            shell,
        })
    }

    /// Both ends of the connection.
    #[must_use]
    pub fn ends(&self) -> Ends {
        self.peer.ends()
    }

    /// Who has the shell.
    pub fn peer(&mut self) -> &mut Peer {
        &mut self.peer
    }

    /// Hangs up, and waits until the shell is gone.
    ///
    /// # Errors
    /// None that is known.
    pub fn end(self) -> Result<()> {
        let Self { peer, mut shell } = self;
        drop(peer);
        shell.wait()?;
        Ok(())
    }
}
