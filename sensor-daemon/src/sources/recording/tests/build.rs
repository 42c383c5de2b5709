//! A machine on which anything can happen, and what a sensor records of it.

use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    path::Path,
    rc::Rc,
};

use crate::{
    detect::{Delivery, Engine, Inspector, Settings, Severity},
    finding::{Report, scc},
    model::{
        Act, Ancestor, BootTime, Credentials, Descriptor, Direction, Endpoint, Exec, Exit, Flow, Holder, Host, Losses,
        Observation, ProcessId, Socket, SocketClosed, SocketState, Stream, Text, Transport, samples,
    },
    sources::recording::{Reader, RecordedWorld, Recorder, Turn},
};

pub(super) const SECOND: u64 = 1_000_000_000;

/// xorshift64*: enough to be arbitrary, and the same everywhere.
pub(super) struct Random(Cell<u64>);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Cell::new(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)))
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn pick<T: Clone>(&self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize].clone()
    }
}

pub(super) fn host() -> Host {
    Host {
        hostname: "vm1".into(),
        hostname_of_container: false,
        machine_id: "0123456789abcdef0123456789abcdef".into(),
        boot_id: "8b1d4f4e-0000-4000-8000-000000000001".into(),
        kernel: "6.12.0".into(),
        boot_unix_ns: 1_790_000_000 * 1_000_000_000,
    }
}

fn process(pid: u32) -> ProcessId {
    ProcessId::from_start_ticks(pid, u64::from(pid))
}

fn socket(random: &Random) -> Socket {
    let inode = random.below(12);
    Socket {
        inode,
        cookie: random.pick(&[None, Some(u64::MAX)]),
        netns: 4_026_531_840,
        transport: random.pick(&[Transport::Tcp, Transport::Tcp, Transport::Udp, Transport::Other(132)]),
        state: SocketState::Connected,
        direction: random.pick(&[Direction::Outbound, Direction::Inbound, Direction::Unknown]),
        local: Endpoint::Ip(format!("10.0.0.5:{}", 40_000 + inode).parse().unwrap()),
        remote: Endpoint::Ip(random.pick(&["203.0.113.7:4444", "[2001:db8::7]:443"]).parse().unwrap()),
        bytes_received: random.pick(&[None, Some(0), Some(9)]),
        bytes_sent: random.pick(&[None, Some(0), Some(9)]),
        parent_fd: random.pick(&[None, Some(3)]),
    }
}

fn stream(random: &Random) -> Stream {
    match random.below(7) {
        0 | 1 => Stream::Pipe { inode: random.below(8) },
        2 => Stream::Fifo {
            inode: random.below(8),
            fs: 25,
        },
        3 => Stream::Terminal {
            device: 136 << 20,
            inode: random.below(4),
            fs: 25,
        },
        4 => Stream::Unix {
            inode: random.below(8),
            peer: random.pick(&[None, Some(7)]),
        },
        5 => Stream::Other,
        _ => Stream::Socket(socket(random)),
    }
}

fn exec(random: &Random, time: BootTime) -> Observation {
    let line = random.pick(&["bash -i", "sh", "sh -c id", "id", "python3", "python3 x.py", "cat"]);
    let words: Vec<&str> = line.split_whitespace().collect();
    let parent = random.pick(&["bash", "python3", "nc"]);
    let mut exec = Exec {
        time,
        process: process(10 + random.below(20) as u32),
        credentials: Credentials {
            capabilities: u64::MAX,
            ..Credentials::default()
        },
        running: random.below(4) == 0,
        streams: [stream(random), stream(random), stream(random)],
        held: (0..random.below(3)).map(|_| socket(random)).collect(),
        ancestors: vec![Ancestor {
            process: process(10 + random.below(20) as u32),
            path: None,
            ..samples::ancestor(0, parent, &[parent])
        }],
        ..samples::exec(0, &words)
    };
    if random.below(4) == 0 {
        exec.argv.push(Text::from(&b"\xff\x00\"\\'\n"[..]));
    }
    Observation::Exec(Box::new(exec))
}

/// Answers anything, each time anew.
struct Whim<'a>(&'a Random);

impl Inspector for Whim<'_> {
    fn holds_socket(&self, _: ProcessId, _: u64) -> bool {
        self.0.below(2) == 0
    }

    fn is_alive(&self, _: ProcessId) -> bool {
        self.0.below(4) > 0
    }

    fn opposite(&self, _: &Stream) -> Vec<Holder> {
        let holder = |_| {
            let name = self.0.pick(&["nc", "cat", "python3"]);
            Holder {
                process: process(10 + self.0.below(20) as u32),
                parent: 1,
                comm: name.into(),
                path: Some("/tmp/caf\u{e9}".into()),
                host_path: true,
                program: samples::program(name),
                descriptors: (0..self.0.below(5) as u32)
                    .map(|fd| Descriptor {
                        fd,
                        stream: stream(self.0),
                        read: true,
                        write: self.0.below(2) == 0,
                    })
                    .collect(),
            }
        };
        (0..self.0.below(4)).map(holder).collect()
    }

    fn delivered(&self, _: Flow, _: BootTime, _: &[Text]) -> Delivery {
        self.0.pick(&[
            Delivery::Unwatched,
            Delivery::Nothing,
            Delivery::Encrypted,
            Delivery::Other,
            Delivery::ShellText,
            Delivery::Command,
        ])
    }
}

/// What has been written, while the writer is still at work.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(min_severity: Severity) -> Settings {
    Settings {
        min_severity,
        ..Settings::default()
    }
}

/// A recording of `turns` turns of a machine of which everything depends on `seed`, and the lines of its findings.
pub(super) fn recorded(seed: u64, turns: usize, min_severity: Severity) -> (Vec<u8>, Vec<String>) {
    let random = Random::new(seed);
    let shared = Shared::default();
    let mut host = host();
    let recorder = Recorder::into(Path::new("test"), Box::new(shared.clone()), &host, None, min_severity).unwrap();
    let mut engine = Engine::new(settings(min_severity));
    let mut losses = Losses::default();
    let (mut now, mut lines) = (0, Vec::new());
    for at in 0..=turns {
        now += random.pick(&[0, 1000, SECOND / 10, SECOND, 40 * SECOND]);
        let time = BootTime(now);
        let pid = process(10 + random.below(20) as u32);
        let turn = match random.below(10) {
            _ if at == turns => Turn::Finish(time),
            0..6 => Turn::Observe(exec(&random, time)),
            6 => Turn::Observe(Observation::Exit(Exit {
                time,
                process: pid,
                status: 9,
            })),
            7 => Turn::Observe(Observation::SocketClosed(SocketClosed {
                time,
                inode: random.below(12),
            })),
            8 => Turn::Observe(Observation::Connect(Act { time, process: pid })),
            _ => Turn::Tick(time),
        };
        recorder.turn(&turn, &engine);
        let due = turn.happen(&mut engine, &recorder.watching(&Whim(&random)));
        engine.take_requests();
        if due.is_empty() {
            continue;
        }
        losses.ring_full += random.below(2);
        host.boot_unix_ns += random.pick(&[0, 0, 0, 5_000_000_000]);
        recorder.findings(losses, host.boot_unix_ns);
        for incident in due {
            lines.push(serde_json::to_string(&scc(&Report::new(incident, &host, losses))).unwrap());
        }
    }
    recorder.flush();
    let bytes = shared.0.borrow().clone();
    (bytes, lines)
}

/// The lines of the findings of a recording, and the first line with a question that it does not answer.
pub(super) fn replayed(recording: &[u8], min_severity: Severity) -> (Vec<String>, Option<usize>) {
    let mut reader = Reader::open("test", recording).unwrap();
    let mut host = reader.header().host.clone();
    let mut engine = Engine::new(settings(min_severity));
    let world = RecordedWorld::default();
    let (mut losses, mut lines) = (Losses::default(), Vec::new());
    while let Some(mut turn) = reader.next_turn().unwrap() {
        assert_eq!(turn.missed, turn.turn.missed(&engine).is_some(), "line {}", turn.line);
        world.turn(&mut turn);
        losses = turn.losses.unwrap_or(losses);
        host.boot_unix_ns = turn.boot_unix_ns.unwrap_or(host.boot_unix_ns);
        for incident in turn.turn.happen(&mut engine, &world) {
            lines.push(serde_json::to_string(&scc(&Report::new(incident, &host, losses))).unwrap());
        }
        engine.take_requests();
    }
    (lines, world.unanswered())
}
