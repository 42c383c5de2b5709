//! A builder of execs, and a world made of a table.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use crate::{
    detect::{Delivery, Engine, Inspector, Request, Settings, Severity, Snapshot, wire},
    model::{
        Act, BootTime, Endpoint, Exec, Exit, Flow, Holder, Observation, OpenFiles, Owner, ProcessId, Socket,
        SocketClosed, Stream, Text, samples,
    },
};

pub(super) use crate::model::samples::{process, program};

pub(super) const SECOND: u64 = 1_000_000_000;

/// Nobody has its master.
pub(super) const TERMINAL: Stream = Stream::Terminal {
    device: 136 << 20,
    inode: 3,
    fs: 25,
};

pub(super) fn seconds(seconds: f64) -> BootTime {
    BootTime((seconds * SECOND as f64) as u64)
}

/// A connected TCP socket, outbound, on which something was received.
pub(super) fn socket(inode: u64) -> Socket {
    Socket {
        inode,
        local: Endpoint::Ip(format!("10.0.0.5:{}", 40_000 + inode % 20_000).parse().unwrap()),
        ..samples::socket()
    }
}

/// `line` executed by process `pid`, child of 100, streams on a terminal.
#[derive(Clone)]
pub(super) struct Build(pub(super) Exec);

impl Build {
    pub(super) fn new(pid: u32, line: &str) -> Self {
        let argv: Vec<&str> = line.split_whitespace().collect();
        let name = argv
            .first()
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or_default();
        let exec = Exec {
            argv: argv.iter().map(|&word| word.into()).collect(),
            streams: [const { TERMINAL }; 3],
            ..samples::exec(pid, &[name.trim_start_matches('-')])
        };
        Self(exec).parent(100, "python3")
    }

    pub(super) fn at(mut self, time: BootTime) -> Self {
        self.0.time = time;
        self
    }

    pub(super) fn program(mut self, name: &str) -> Self {
        self.0.program = program(name);
        self
    }

    /// Puts `socket` on the streams named in `which`: `i`, `o`, `e`.
    pub(super) fn on(mut self, which: &str, socket: &Socket) -> Self {
        for (letter, stream) in "ioe".chars().zip(&mut self.0.streams) {
            if which.contains(letter) {
                *stream = Stream::Socket(socket.clone());
            }
        }
        self
    }

    pub(super) fn parent(mut self, pid: u32, name: &str) -> Self {
        let above = [(pid, name), (1, "systemd")];
        self.0.ancestors = above.map(|(pid, name)| samples::ancestor(pid, name, &[name])).into();
        self
    }

    pub(super) fn streams(mut self, streams: [Stream; 3]) -> Self {
        self.0.streams = streams;
        self
    }

    /// Its parent holds these connections, from descriptor 5 on.
    pub(super) fn held(mut self, sockets: &[Socket]) -> Self {
        self.0.held = sockets.to_vec();
        for (socket, fd) in self.0.held.iter_mut().zip(5..) {
            socket.parent_fd = Some(fd);
        }
        self
    }

    pub(super) fn see(self) -> Observation {
        Observation::Exec(Box::new(self.0))
    }
}

/// When it came, and its bytes.
type Packet = (BootTime, Vec<u8>);

/// Who holds which socket.
#[derive(Default)]
pub(super) struct Table {
    pub(super) held: RefCell<HashSet<(ProcessId, u64)>>,
    pub(super) asked: RefCell<usize>,
    /// Processes that are gone; all others are alive.
    pub(super) gone: RefCell<HashSet<ProcessId>>,
    /// Who has what open.
    pub(super) holders: RefCell<Vec<Holder>>,
    /// What each flow delivered since it is watched, and when.
    pub(super) packets: RefCell<HashMap<Flow, Vec<Packet>>>,
}

impl Table {
    pub(super) fn hold(&self, pid: u32, inode: u64) {
        self.held.borrow_mut().insert((process(pid), inode));
    }

    /// Bytes come in on a connection; they are seen if its flow is watched.
    pub(super) fn deliver(&self, socket: &Socket, time: BootTime, bytes: &[u8]) {
        let mut packets = self.packets.borrow_mut();
        if let Some(packets) = Flow::of(socket).and_then(|flow| packets.get_mut(&flow)) {
            packets.push((time, bytes.to_vec()));
        }
    }

    pub(super) fn release(&self, pid: u32, inode: u64) {
        self.held.borrow_mut().remove(&(process(pid), inode));
    }
}

impl Inspector for Table {
    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool {
        *self.asked.borrow_mut() += 1;
        self.held.borrow().contains(&(process, inode))
    }

    fn is_alive(&self, process: ProcessId) -> bool {
        !self.gone.borrow().contains(&process)
    }

    fn opposite(&self, stream: &Stream) -> Vec<Holder> {
        let mut files = OpenFiles::default();
        let holders = self.holders.borrow();
        for holder in holders.iter() {
            files.push(Owner {
                process: holder.process,
                parent: holder.parent,
                comm: holder.comm.clone(),
                descriptors: holder.descriptors.clone(),
            });
        }
        let owners = files.opposite(stream);
        owners
            .filter_map(|owner| holders.iter().find(|holder| holder.process == owner.process).cloned())
            .collect()
    }

    fn delivered(&self, flow: Flow, since: BootTime, texts: &[Text]) -> Delivery {
        let packets = self.packets.borrow();
        let Some(packets) = packets.get(&flow) else {
            return Delivery::Unwatched;
        };
        let fresh = packets.iter().filter(|(time, _)| *time > since);
        wire::examine(fresh.map(|(_, bytes)| bytes.as_slice()), texts)
    }
}

/// An engine with its world.
pub(super) struct Scene {
    pub(super) engine: Engine,
    pub(super) world: Table,
    /// Processes whose execs the kernel side reports.
    pub(super) marked: HashSet<ProcessId>,
    /// Processes whose connections it reports.
    pub(super) neighbours: HashSet<ProcessId>,
    /// The kernel side denies to watch flows and to report connects.
    pub(super) denies: bool,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::above(Severity::Low)
    }

    pub(super) fn above(min_severity: Severity) -> Self {
        Self::of(Settings {
            min_severity,
            ..Settings::default()
        })
    }

    pub(super) fn of(settings: Settings) -> Self {
        Self {
            engine: Engine::new(settings),
            world: Table::default(),
            marked: HashSet::new(),
            neighbours: HashSet::new(),
            denies: false,
        }
    }

    pub(super) fn observe(&mut self, observation: Observation) -> Vec<Snapshot> {
        let out = self.engine.observe(observation, &self.world);
        self.grant();
        out
    }

    /// Does what the engine would like, as the kernel side would. A flow that is watched is not watched once more.
    pub(super) fn grant(&mut self) {
        for request in self.engine.take_requests() {
            match request {
                Request::ReportConnects(_) | Request::Watch(_) if self.denies => {
                    assert!(self.engine.denied(BootTime(0), request).is_empty());
                }
                Request::Follow(process) => drop(self.marked.insert(process)),
                Request::Unfollow(process) => drop(self.marked.remove(&process)),
                Request::ReportConnects(process) => drop(self.neighbours.insert(process)),
                Request::Watch(flow) => {
                    let before = self.world.packets.borrow_mut().insert(flow, Vec::new());
                    assert!(before.is_none(), "{flow:?} is watched twice");
                }
                Request::Unwatch(flow) => {
                    let before = self.world.packets.borrow_mut().remove(&flow);
                    assert!(before.is_some(), "{flow:?} was not watched");
                }
            }
        }
    }

    /// How many flows are watched.
    pub(super) fn watched(&self) -> usize {
        self.world.packets.borrow().len()
    }

    pub(super) fn exec(&mut self, build: Build) -> Vec<Snapshot> {
        let exec = &build.0;
        let parent = exec.parent().map(|parent| parent.process);
        let followed = parent.is_some_and(|parent| self.marked.contains(&parent));
        let piped = !exec.streams.iter().any(|stream| matches!(stream, Stream::Socket(_)));
        if piped && (followed || (exec.streams[0].has_other_end() && exec.program.executes_text())) {
            self.marked.insert(exec.process);
        }
        self.observe(build.see())
    }

    /// Somebody connects whose connections are reported.
    pub(super) fn connect(&mut self, pid: u32, time: BootTime) -> Vec<Snapshot> {
        self.observe(Observation::Connect(Act {
            time,
            process: process(pid),
        }))
    }

    pub(super) fn exit(&mut self, pid: u32, time: BootTime) -> Vec<Snapshot> {
        self.marked.remove(&process(pid));
        self.neighbours.remove(&process(pid));
        self.observe(Observation::Exit(Exit {
            time,
            process: process(pid),
            status: 0,
        }))
    }

    pub(super) fn close(&mut self, inode: u64, time: BootTime) -> Vec<Snapshot> {
        self.observe(Observation::SocketClosed(SocketClosed { time, inode }))
    }

    pub(super) fn tick(&mut self, time: BootTime) -> Vec<Snapshot> {
        let out = self.engine.tick(time, &self.world);
        self.grant();
        out
    }
}

/// The only one.
pub(super) fn one(incidents: Vec<Snapshot>) -> Snapshot {
    let [incident] = <[Snapshot; 1]>::try_from(incidents).expect("exactly one snapshot");
    incident
}

/// A reverse shell on the socket of this inode number.
pub(super) fn shell(pid: u32, inode: u64) -> Build {
    Build::new(pid, "bash -i").on("ioe", &socket(inode))
}

/// A command of the shell that is process 200.
pub(super) fn command(pid: u32, inode: u64) -> Build {
    Build::new(pid, "id").on("ioe", &socket(inode)).parent(200, "bash")
}

/// A command of a loop: only its output is the socket, which its parent holds.
pub(super) fn loop_command(pid: u32, parent: u32) -> Build {
    let mut socket = socket(7);
    socket.parent_fd = Some(5);
    Build::new(pid, "id").on("oe", &socket).parent(parent, "bash")
}
