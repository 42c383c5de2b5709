//! A syslog collector that takes nothing but what RFC 5424 says.

use std::{
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

/// An element of structured data: its name, and names and values of its parameters.
pub type Element = (String, Vec<(String, String)>);

/// One message.
#[derive(Debug)]
pub struct Message {
    /// Facility and severity.
    pub priority: u8,
    /// Time, host, program, process, kind.
    pub header: [String; 5],
    /// The structured data.
    pub data: Vec<Element>,
    /// The rest.
    pub text: String,
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

/// `<PRI>1 TIME HOST APP PROCID MSGID [data] text`.
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
    let mut data = Vec::new();
    while let Some(element) = rest.strip_prefix('[') {
        let (element, after) = element_of(element)?;
        data.push(element);
        rest = after;
    }
    let text = rest.strip_prefix(' ').context("no space before the text")?;
    Ok(Message {
        priority,
        header,
        data,
        text: text.to_owned(),
    })
}

/// An element after its bracket, and what follows it.
fn element_of(text: &str) -> Result<(Element, &str)> {
    let is_name = |name: &str| {
        let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
        !name.is_empty() && name.len() <= 32 && name.bytes().all(fits)
    };
    let end = text.find([' ', ']']).context("an element without an end")?;
    let (name, mut rest) = text.split_at(end);
    ensure!(is_name(name), "{name:?} as the name of an element");
    let mut parameters: Vec<(String, String)> = Vec::new();
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (key, value) = parameter.split_once("=\"").context("a parameter without a value")?;
        ensure!(is_name(key), "{key:?} as the name of a parameter");
        let mut unescaped = String::new();
        let mut chars = value.char_indices();
        rest = loop {
            match chars.next().context("a value without an end")? {
                (at, '"') => break &value[at + 1..],
                (_, ']') => bail!("a bracket that is not escaped in {key}"),
                (_, '\\') => match chars.next() {
                    Some((_, escaped @ ('"' | '\\' | ']'))) => unescaped.push(escaped),
                    other => bail!("an escape of {other:?} in {key}"),
                },
                (_, c) => unescaped.push(c),
            }
        };
        parameters.push((key.to_owned(), unescaped));
    }
    let rest = rest.strip_prefix(']').context("an element without a bracket")?;
    Ok(((name.to_owned(), parameters), rest))
}
