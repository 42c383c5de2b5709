//! A peer behind TLS.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
};

use anyhow::{Context, Result};

use crate::{
    deadline::wait_for,
    lab::Lab,
    peer::{Ends, Peer, V4, free_port},
    tools,
};

/// Waits for a shell that calls through TLS.
pub struct TlsListener {
    link: OwnedFd,
    port: u16,
}

impl TlsListener {
    /// Listens, with ncat's own certificate.
    ///
    /// # Errors
    /// If ncat does not.
    pub fn new(lab: &Lab<'_>) -> Result<Self> {
        let port = free_port(V4)?;
        let (link, terminal) = UnixStream::pair()?;
        let mut ncat = lab.command(tools::find("ncat")?)?;
        ncat.args(["--ssl", "-l", "127.0.0.1", &port.to_string()])
            .stdin(Stdio::from(OwnedFd::from(terminal.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(terminal)));
        lab.spawn(&mut ncat)?;
        wait_for("a TLS server", || {
            Ok(sockets()?
                .into_iter()
                .any(|socket| socket.state == "0A" && socket.local.port() == port)
                .then_some(()))
        })?;
        Ok(Self {
            link: link.into(),
            port,
        })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The shell that calls.
    ///
    /// # Errors
    /// If none does.
    pub fn accept(self) -> Result<Peer> {
        let ends = wait_for("a shell that calls through TLS", || {
            Ok(sockets()?
                .into_iter()
                .find(|socket| socket.state == "01" && socket.remote.port() == self.port)
                .map(|socket| Ends {
                    host: socket.local,
                    peer: socket.remote,
                }))
        })?;
        Peer::new(self.link, ends, false)
    }
}

/// A row of /proc/net/tcp.
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: String,
}

fn sockets() -> Result<Vec<Socket>> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    let row = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        Some(Socket {
            local: address(fields.next()?)?,
            remote: address(fields.next()?)?,
            state: fields.next()?.to_owned(),
        })
    };
    table
        .lines()
        .skip(1)
        .map(|line| row(line).with_context(|| format!("an odd line in /proc/net/tcp: {line}")))
        .collect()
}

/// `0100007F:1F90`: the address as this machine's memory has it, the port as it is written.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
    Some(SocketAddr::new(ip.into(), u16::from_str_radix(port, 16).ok()?))
}
