//! Syslog by RFC 5424, over a UNIX datagram socket, UDP (RFC 5426) or TCP with counted octets (RFC 6587).
//!
//! Syslog and not OTLP: every log collector of a host takes it as it is, and an OTLP exporter (opentelemetry-otlp) would bring
//! an HTTP or gRPC client with a runtime of its own into a process that has 12 MB. A message is one line, which the few lines
//! here encode; `syslog` from crates.io knows neither structured data of this length nor counted octets. There is no TLS:
//! a collector on the host sends on, and the sensor holds no keys.
//!
//! A message is the finding's sentence, and what `fields` says of it as structured data, so that the whole stays below the
//! 8 KiB that collectors take by default. The whole finding is in the store and in other sinks.

use std::{
    fmt, io,
    io::Write as _,
    net::{TcpStream, ToSocketAddrs as _, UdpSocket},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use jiff::Timestamp;
use rustix::net::RecvFlags;

use super::{Sink, fields};
use crate::{
    finding::{self, Report},
    model::printable,
};

/// Structured data is named by whoever defines it, with a number for enterprises; this one is for documentation and examples
/// (RFC 5612), since the sensor's makers have none.
const DATA_ID: &str = "finding@32473";
/// `LOG_AUTHPRIV`: not for everybody's eyes.
const FACILITY: u8 = 10;
/// Most bytes of one value; there are less than thirty.
const VALUE_MAX: usize = 200;
/// The longest that a path, a command line or the sentence may be.
const SENTENCE_MAX: usize = 1024;
/// How long a collector that reads nothing, or does not answer, may keep the sink.
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
    /// The connection, while there is one.
    stream: Option<TcpStream>,
}

impl Syslog {
    /// A sink for this collector, which need not listen yet.
    #[must_use]
    pub fn new(collector: Collector) -> Self {
        Self {
            name: format!("syslog={collector}"),
            collector,
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
                let to = address(place)?;
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.send_to(message.as_bytes(), to)?;
            }
            Collector::Tcp(place) => {
                let mut stream = match self.stream.take().filter(is_open) {
                    Some(stream) => stream,
                    None => {
                        let stream = TcpStream::connect_timeout(&address(place)?, PATIENCE)?;
                        stream.set_write_timeout(Some(PATIENCE))?;
                        stream
                    }
                };
                // Counted, so that nothing in a message can begin another.
                stream.write_all(format!("{} {message}", message.len()).as_bytes())?;
                // After an error nobody knows how much of it arrived: the next goes over a new connection.
                self.stream = Some(stream);
            }
        }
        Ok(())
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

fn address(place: &str) -> io::Result<std::net::SocketAddr> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    place.to_socket_addrs()?.next().ok_or_else(none)
}

/// One line, by RFC 5424. The text is UTF-8 without the mark that the RFC would have before it: collectors keep it as text.
fn message(report: &Report) -> String {
    let priority = FACILITY * 8 + fields::priority(report.incident.severity);
    let time = Timestamp::from_microsecond(finding::updated(report).as_microsecond()).unwrap_or_default();
    let host = header(&report.host.hostname);
    let mut message = format!(
        "<{priority}>1 {time} {host} {} {} FINDING [{DATA_ID}",
        env!("CARGO_PKG_NAME"),
        std::process::id()
    );
    for (name, value) in fields::of(report) {
        message.push(' ');
        message.push_str(&name.to_lowercase());
        message.push_str("=\"");
        for c in one_line(&value, VALUE_MAX).chars() {
            if matches!(c, '"' | '\\' | ']') {
                message.push('\\');
            }
            message.push(c);
        }
        message.push('"');
    }
    message.push_str("] ");
    message.push_str(&one_line(&finding::sentence(&report.incident), SENTENCE_MAX));
    message
}

/// Without control characters, cut at a character.
fn one_line(text: &str, most: usize) -> String {
    let mut line = printable(text);
    if line.len() > most {
        let end = (0..=most).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
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
}
