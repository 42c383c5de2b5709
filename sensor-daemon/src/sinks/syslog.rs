//! Syslog by RFC 5424, over a UNIX datagram socket, UDP (RFC 5426) or TCP with counted octets (RFC 6587).
//!
//! Syslog and not OTLP: every log collector of a host takes it as it is, and an OTLP exporter (opentelemetry-otlp) would bring
//! an HTTP or gRPC client with a runtime of its own into a process that has 12 MB. A message is one line, which the few lines
//! here encode; `syslog` from crates.io does not know counted octets. There is no TLS: a collector on the host sends on, and the
//! sensor holds no keys.
//!
//! A message is a JSON object: the finding's sentence as `message`, and the fields of `fields` in lower case. There is no structured
//! data, because whoever names its own elements there needs an enterprise number (RFC 5424, section 7). The whole stays below the
//! 8 KiB that collectors take by default. The whole finding is in the store and in other sinks.

use std::{
    fmt, io,
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use jiff::Timestamp;
use rustix::net::RecvFlags;
use serde::{Serialize, Serializer};

use super::{
    Sink,
    fields::{self, one_line},
};
use crate::{
    finding::{self, Report, json},
    model::printable,
};

/// `LOG_AUTHPRIV`: not for everybody's eyes.
const FACILITY: u8 = 10;
/// Most bytes of one value. A dozen values can be as long, and JSON may double them: together less than 4 KiB.
const VALUE_MAX: usize = 160;
/// Most bytes of the sentence.
const SENTENCE_MAX: usize = 1024;
/// Longest wait for a collector that reads nothing or does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collector {
    /// A UNIX datagram socket.
    Unix(PathBuf),
    /// HOST:PORT.
    Udp(String),
    /// HOST:PORT.
    Tcp(String),
}

impl FromStr for Collector {
    type Err = String;

    /// `unix:/dev/log`, `udp:HOST:PORT` or `tcp:HOST:PORT`; an IPv6 address goes into brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || {
            let text = printable(text);
            format!("`{text}` names no syslog collector: write unix:/dev/log, udp:HOST:514 or tcp:HOST:514")
        };
        let (kind, place) = text.split_once(':').ok_or_else(wanted)?;
        let has_port = || {
            let port = place.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0))
        };
        match kind {
            "unix" if place.starts_with('/') => Ok(Self::Unix(place.into())),
            "udp" if has_port() => Ok(Self::Udp(place.into())),
            "tcp" if has_port() => Ok(Self::Tcp(place.into())),
            _ => Err(wanted()),
        }
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(place) => write!(f, "udp:{place}"),
            Self::Tcp(place) => write!(f, "tcp:{place}"),
        }
    }
}

/// A syslog collector as a sink.
#[derive(Debug)]
pub struct Syslog {
    name: String,
    collector: Collector,
    /// Kept from one message to the next: the kernel tells of a refusal with the next use of the socket.
    datagrams: Option<UdpSocket>,
    stream: Option<TcpStream>,
}

impl Syslog {
    /// A sink for this collector, which need not listen yet.
    #[must_use]
    pub fn new(collector: Collector) -> Self {
        Self {
            name: format!("syslog={collector}"),
            collector,
            datagrams: None,
            stream: None,
        }
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        match &self.collector {
            Collector::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.send_to(message.as_bytes(), path)?;
            }
            Collector::Udp(place) => {
                // After an error the socket is gone: the retry looks the name up anew.
                self.datagrams = Some(match self.datagrams.take() {
                    Some(socket) => send_datagram(socket, message)?,
                    None => first(place.to_socket_addrs()?, |to| send_datagram(connected(to)?, message))?,
                });
            }
            Collector::Tcp(place) => {
                let mut stream = match self.stream.take().filter(is_open) {
                    Some(stream) => stream,
                    None => first(place.to_socket_addrs()?, |to| TcpStream::connect_timeout(&to, PATIENCE))?,
                };
                stream.set_write_timeout(Some(PATIENCE))?;
                // Counted, so that nothing in a message can begin another.
                stream.write_all(format!("{} {message}", message.len()).as_bytes())?;
                // After an error nobody knows how much of it arrived: the next goes over a new connection.
                self.stream = Some(stream);
            }
        }
        Ok(())
    }
}

/// What the first address gives that works, else the error of the last one.
fn first<T>(
    addresses: impl Iterator<Item = SocketAddr>,
    attempt: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses {
        match attempt(address) {
            Ok(done) => return Ok(done),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

/// A UDP socket that is connected, so that the kernel can tell of a refusal.
fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match to {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    Ok(socket)
}

/// Sends a datagram. On this host a refusal is there at once; one from farther away comes with the next datagram, and this one is lost.
fn send_datagram(socket: UdpSocket, message: &str) -> io::Result<UdpSocket> {
    socket.send(message.as_bytes())?;
    match socket.take_error()? {
        Some(refused) => Err(refused),
        None => Ok(socket),
    }
}

impl Sink for Syslog {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver(&mut self, report: &Report) -> io::Result<()> {
        self.send(&message(report)).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::WouldBlock => "it has read nothing for some seconds".to_owned(),
                _ => error.to_string(),
            };
            io::Error::new(error.kind(), format!("the collector does not take a finding: {why}"))
        })
    }
}

/// Collectors never answer: what can be read is the end of the connection. A message that was written to a closed one would
/// be lost without an error.
fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let read = rustix::net::recv(stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(read, Err(rustix::io::Errno::AGAIN)) || read.is_ok_and(|(_, length)| length > 0)
}

/// One line, by RFC 5424. The text is UTF-8 without the mark that the RFC would have before it: collectors keep it as text.
fn message(report: &Report) -> String {
    let priority = FACILITY * 8 + fields::priority(report);
    let time = Timestamp::from_microsecond(finding::updated(report).as_microsecond()).unwrap_or_default();
    let host = header(&report.host.hostname);
    let sentence = one_line(&finding::sentence(&report.incident), SENTENCE_MAX);
    let mut members = vec![("message".to_owned(), sentence)];
    let fields = fields::of(report).into_iter();
    members.extend(fields.map(|(name, value)| (name.to_lowercase(), one_line(&value, VALUE_MAX))));
    format!(
        "<{priority}>1 {time} {host} {} {} FINDING - {}",
        env!("CARGO_PKG_NAME"),
        std::process::id(),
        json::line(&Object(members))
    )
}

/// A JSON object with its members in this order.
struct Object(Vec<(String, String)>);

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// What a header may hold: printable ASCII and no space, or a hyphen for nothing.
fn header(text: &str) -> String {
    let printable: String = text.chars().filter(char::is_ascii_graphic).take(255).collect();
    if printable.is_empty() { "-".into() } else { printable }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::{io::Read as _, net::TcpListener};

    use super::*;
    use crate::finding::tests::largest;

    #[test]
    fn collectors_are_written_as_kind_and_place() {
        for text in ["unix:/dev/log", "udp:logs.example:514", "tcp:[2001:db8::1]:6514"] {
            assert_eq!(text.parse::<Collector>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "unix:dev/log",
            "udp:host",
            "udp::514",
            "tcp:host:0",
            "tcp:host:99999",
            "tls:host:6514",
            "\u{1b}[2J",
        ] {
            let error = text.parse::<Collector>().unwrap_err();
            assert!(error.contains("unix:/dev/log") && !error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn a_collector_that_was_started_again_is_connected_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let mut sink = Syslog::new(Collector::Tcp(at.to_string()));
        for text in ["first", "second ]\"\\"] {
            sink.send(text).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = vec![0; format!("{} {text}", text.len()).len()];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(got, format!("{} {text}", text.len()).as_bytes());
            // Closes: the next message needs a new connection.
            drop(stream);
            let closed = sink.stream.as_ref().unwrap();
            while is_open(closed) {
                std::thread::yield_now();
            }
        }
        drop(listener);
        sink.send("third").unwrap_err();
    }

    #[test]
    fn a_collector_that_refuses_datagrams_is_noticed() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let mut sink = Syslog::new(Collector::Udp(at.to_string()));
        sink.send("first").unwrap();
        drop(socket);
        assert_eq!(
            sink.send("second").unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        let socket = UdpSocket::bind(at).unwrap();
        sink.send("second").unwrap();
        let mut got = [0; 16];
        let length = socket.recv(&mut got).unwrap();
        assert_eq!(&got[..length], b"second");
    }

    #[test]
    fn every_address_of_a_name_is_tried() {
        let refuses = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let takes = socket.local_addr().unwrap();
        first([refuses, takes].into_iter(), |to| send_datagram(connected(to)?, "x")).unwrap();
        assert_eq!(socket.recv(&mut [0; 4]).unwrap(), 1);
        let none = first([].into_iter(), connected).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_message_is_small_enough_for_collectors_whatever_a_process_says() {
        for filling in [&b"\x01"[..], b"\xff", b"\"", "\u{202e}".as_bytes()] {
            let message = message(&largest(filling));
            assert!(message.len() <= 8192, "{} bytes", message.len());
            let (header, json) = message.split_once(" FINDING - ").unwrap();
            assert!(header.starts_with("<82>1 "), "{header}");
            let fields: serde_json::Map<_, _> = serde_json::from_str(json).unwrap();
            assert_eq!(fields["technique"], "reverse_shell");
        }
    }
}
