//! The network peer of a takeover: who types the commands and reads the answers.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::{
    deadline::{deadline, wait_for},
    process::Proc,
};

/// IPv4 loopback.
pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// IPv6 loopback.
pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Both ends of a connection, IPv4-mapped addresses as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// The attacked program's end.
    pub host: SocketAddr,
    /// The peer's end.
    pub peer: SocketAddr,
}

impl Ends {
    fn new(host: SocketAddr, peer: SocketAddr) -> Self {
        let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
        Self {
            host: canonical(host),
            peer: canonical(peer),
        }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (host) - {} (peer)", self.host, self.peer)
    }
}

/// Waits for a reverse shell.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// UDP: the first datagram tells who the shell is.
    Udp(UdpSocket),
}

impl Listener {
    /// Listens on a free TCP port.
    ///
    /// # Errors
    /// If the address does not exist here.
    pub fn tcp(ip: IpAddr) -> Result<Self> {
        let socket = TcpListener::bind((ip, 0)).with_context(|| format!("listening on {ip}"))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(deadline()))?;
        Ok(Self::Tcp(socket))
    }

    /// Waits on a free UDP port.
    ///
    /// # Errors
    /// If the address does not exist here.
    pub fn udp(ip: IpAddr) -> Result<Self> {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.set_read_timeout(Some(deadline()))?;
        Ok(Self::Udp(socket))
    }

    /// The port.
    ///
    /// # Errors
    /// None that is known.
    pub fn port(&self) -> Result<u16> {
        Ok(match self {
            Self::Tcp(socket) => socket.local_addr()?.port(),
            Self::Udp(socket) => socket.local_addr()?.port(),
        })
    }

    /// The next shell that calls.
    ///
    /// # Errors
    /// If none does.
    pub fn accept(&self) -> Result<Peer> {
        match self {
            Self::Tcp(socket) => {
                let (stream, host) = socket.accept().context("no shell connected")?;
                Peer::of_tcp(stream, |local| Ends::new(host, local))
            }
            Self::Udp(socket) => {
                let mut first = [0; 4096];
                let (length, host) = socket.recv_from(&mut first).context("no shell sent a datagram")?;
                let socket = socket.try_clone()?;
                socket.connect(host)?;
                let ends = Ends::new(host, socket.local_addr()?);
                let mut peer = Peer::new(socket.into(), ends, true)?;
                peer.heard.extend_from_slice(first.get(..length).unwrap_or_default());
                Ok(peer)
            }
        }
    }
}

/// Calls a bind shell, as soon as it listens.
///
/// # Errors
/// If it never does.
pub fn call(addr: SocketAddr) -> Result<Peer> {
    let stream = wait_for(&format!("a bind shell on {addr}"), || match TcpStream::connect(addr) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    Peer::of_tcp(stream, |local| Ends::new(addr, local))
}

/// Calls a bind shell over UDP, until it answers.
///
/// # Errors
/// If it never does.
pub fn call_udp(addr: SocketAddr) -> Result<Peer> {
    let socket = UdpSocket::bind((addr.ip(), 0))?;
    socket.connect(addr)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let heard = wait_for(&format!("a bind shell on {addr}"), || {
        let mut answer = [0; 4096];
        // Refused while nobody is there; a line feed is no command.
        match socket.send(b"\n").and_then(|_| socket.recv(&mut answer)) {
            Ok(length) => Ok(Some(answer.get(..length).unwrap_or_default().to_vec())),
            Err(_) => Ok(None),
        }
    })?;
    let ends = Ends::new(addr, socket.local_addr()?);
    let mut peer = Peer::new(socket.into(), ends, true)?;
    peer.heard = heard;
    Ok(peer)
}

/// A port on which nobody listens, outside the range of ephemeral ports: else connecting to it before the bind shell
/// listens could connect a socket with itself.
///
/// # Errors
/// If there is none.
pub fn free_port(ip: IpAddr) -> Result<u16> {
    // Never the same one twice: what was accepted on it may linger.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + u16::try_from(std::process::id() % 6_000)?;
    let mut ports = (0..6_000).map(|_| start + NEXT.fetch_add(1, Ordering::Relaxed) % 6_000);
    ports
        .find(|&port| TcpListener::bind((ip, port)).is_ok())
        .context("no free port")
}

/// An open connection to a shell.
pub struct Peer {
    link: File,
    /// Sends each byte as a datagram: a shell reads its input byte by byte, and the rest of a datagram would be lost.
    bytewise: bool,
    ends: Ends,
    heard: Vec<u8>,
}

impl Peer {
    fn of_tcp(stream: TcpStream, ends: impl FnOnce(SocketAddr) -> Ends) -> Result<Self> {
        let ends = ends(stream.local_addr()?);
        Self::new(stream.into(), ends, false)
    }

    /// One that reads and writes `socket`.
    pub(crate) fn new(socket: OwnedFd, ends: Ends, bytewise: bool) -> Result<Self> {
        set_socket_timeout(&socket, Timeout::Recv, Some(deadline()))?;
        set_socket_timeout(&socket, Timeout::Send, Some(deadline()))?;
        Ok(Self {
            link: socket.into(),
            bytewise,
            ends,
            heard: Vec::new(),
        })
    }

    /// Both ends.
    #[must_use]
    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// Types something.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        let text = text.as_ref();
        let step = if self.bytewise { 1 } else { text.len().max(1) };
        for part in text.chunks(step) {
            self.link.write_all(part).context("sending to the shell")?;
        }
        Ok(())
    }

    /// Reads until `needle` and the rest of its line have come; gives everything up to there.
    ///
    /// # Errors
    /// If it never comes.
    pub fn read_until(&mut self, needle: &str) -> Result<String> {
        let mut buffer = [0; 4096];
        loop {
            let line_end = find(&self.heard, needle.as_bytes()).and_then(|at| {
                self.heard
                    .get(at..)?
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .map(|line| at + line + 1)
            });
            if let Some(end) = line_end {
                let rest = self.heard.split_off(end);
                let said = std::mem::replace(&mut self.heard, rest);
                return Ok(String::from_utf8_lossy(&said).into_owned());
            }
            match self.link.read(&mut buffer) {
                Ok(length) if length > 0 => self.heard.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                end => {
                    let heard = String::from_utf8_lossy(&self.heard);
                    bail!("waited in vain for {needle:?} ({end:?}); heard: {heard:?}");
                }
            }
        }
    }

    /// Reads until the other side closes.
    ///
    /// # Errors
    /// If it does not.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>> {
        self.link
            .read_to_end(&mut self.heard)
            .context("waiting for the other side to close")?;
        Ok(std::mem::take(&mut self.heard))
    }

    /// Proves that commands sent here are executed: `id` must answer.
    ///
    /// # Errors
    /// If it does not.
    pub fn id(&mut self) -> Result<String> {
        self.send("id\n")?;
        self.read_until("uid=").context("the shell does not execute `id`")
    }

    /// [`Self::id`], and which process is the shell.
    ///
    /// # Errors
    /// If either does not answer.
    pub fn shell(&mut self) -> Result<Proc> {
        self.id()?;
        self.send("echo pid=$$.\n")?;
        loop {
            // An interactive bash echoes the command first.
            let answer = self.read_until("pid=")?;
            if let Some(pid) = answer
                .rsplit("pid=")
                .next()
                .and_then(|rest| rest.split('.').next()?.parse().ok())
            {
                return Proc::of(pid);
            }
        }
    }

    /// Types a command after which another program reads the connection, and waits until it is executed: a shell that
    /// reads ahead would take what is meant for the other.
    ///
    /// # Errors
    /// If it is not executed.
    pub fn last_line(&mut self, command: &str) -> Result<()> {
        self.send(format!("echo last-$((6*7)); {command}\n"))?;
        self.read_until("last-42").map(|_| ())
    }

    /// Ends what it sends: the shell reads end of file.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn finish(&self) -> Result<()> {
        Ok(rustix::net::shutdown(self.link.as_fd(), rustix::net::Shutdown::Write)?)
    }
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}
