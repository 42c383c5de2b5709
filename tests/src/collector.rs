//! A syslog collector that takes nothing but what RFC 5424 says, with a JSON object as text.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail, ensure};

use crate::peer::V4;

/// How messages come.
#[derive(Clone, Debug)]
pub enum Transport {
    /// As datagrams to a socket at this path.
    Unix(PathBuf),
    /// As datagrams.
    Udp,
    /// With counted octets (RFC 6587).
    Tcp,
}

/// A message, or why none could be read.
type Received = Result<Vec<u8>, String>;

/// A running collector; its thread ends with the tests.
pub struct Collector {
    /// Where it listens, as `--output` names it.
    pub output: String,
    received: Arc<Mutex<Vec<Received>>>,
}

/// One message.
#[derive(Debug)]
pub struct Message {
    /// Facility and severity.
    pub priority: u8,
    /// Time, host, program, process, kind.
    pub header: [String; 5],
    /// The members of the JSON object that the text is.
    pub fields: BTreeMap<String, String>,
}

impl Message {
    /// A member.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    /// Starts one.
    ///
    /// # Errors
    /// If it can't listen.
    pub fn start(transport: Transport) -> Result<Self> {
        let received = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&received);
        let keep = move |message: Received| lock(&keep).push(message);
        let output = match transport {
            Transport::Unix(path) => {
                let socket = UnixDatagram::bind(&path)?;
                thread::spawn(move || datagrams(|buffer| socket.recv(buffer), keep));
                format!("syslog=unix:{}", path.display())
            }
            Transport::Udp => {
                let socket = UdpSocket::bind((V4, 0))?;
                let port = socket.local_addr()?.port();
                thread::spawn(move || datagrams(|buffer| socket.recv(buffer), keep));
                format!("syslog=udp:127.0.0.1:{port}")
            }
            Transport::Tcp => {
                let socket = TcpListener::bind((V4, 0))?;
                let port = socket.local_addr()?.port();
                thread::spawn(move || {
                    for stream in socket.incoming().map_while(Result::ok) {
                        frames(BufReader::new(stream), &keep);
                    }
                });
                format!("syslog=tcp:127.0.0.1:{port}")
            }
        };
        Ok(Self { output, received })
    }

    /// What has come so far.
    ///
    /// # Errors
    /// If anything was no message.
    pub fn messages(&self) -> Result<Vec<Message>> {
        let received = lock(&self.received);
        let messages = received.iter().map(|message| match message {
            Ok(message) => {
                parse(message).with_context(|| format!("no message: {:?}", String::from_utf8_lossy(message)))
            }
            Err(error) => bail!("{error}"),
        });
        messages.collect()
    }
}

fn datagrams(receive: impl Fn(&mut [u8]) -> std::io::Result<usize>, keep: impl Fn(Received)) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = receive(&mut buffer) {
        keep(Ok(buffer.get(..length).unwrap_or_default().to_vec()));
    }
}

fn frames(mut stream: impl BufRead, keep: &impl Fn(Received)) {
    loop {
        let mut count = Vec::new();
        match stream.read_until(b' ', &mut count) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let length = std::str::from_utf8(&count)
            .ok()
            .and_then(|count| count.trim_end().parse::<u64>().ok());
        let Some(length) = length.filter(|length| *length < 65_536) else {
            return keep(Err(format!(
                "no count of octets: {:?}",
                String::from_utf8_lossy(&count)
            )));
        };
        let mut message = Vec::new();
        if stream.by_ref().take(length).read_to_end(&mut message).is_err() {
            return;
        }
        keep(Ok(message));
    }
}

/// `<PRI>1 TIME HOST APP PROCID MSGID - {…}`.
fn parse(message: &[u8]) -> Result<Message> {
    ensure!(message.len() <= 8192, "{} bytes", message.len());
    let text = std::str::from_utf8(message)?;
    let rest = text.strip_prefix('<').context("no priority")?;
    let (priority, rest) = rest.split_once(">1 ").context("no priority and version")?;
    let priority: u8 = priority.parse()?;
    ensure!(priority < 192, "priority {priority}");
    let mut header: [String; 5] = Default::default();
    let mut rest = rest;
    for (field, most) in header.iter_mut().zip([32, 255, 48, 128, 32]) {
        let (word, after) = rest.split_once(' ').context("a short header")?;
        let printable = word.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(
            !word.is_empty() && word.len() <= most && printable,
            "{word:?} in the header"
        );
        field.push_str(word);
        rest = after;
    }
    let text = rest.strip_prefix("- ").context("structured data")?;
    ensure!(!text.contains(char::is_control), "control characters in the text");
    Ok(Message {
        priority,
        header,
        fields: serde_json::from_str(text)?,
    })
}
