//! A builder of execs, and a world made of a table.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use crate::{
    detect::{Delivery, Engine, Incident, Settings, Severity, World, wire},
    model::{
        Ancestor, BootTime, Cgroup, Credentials, Direction, Endpoint, Exec, Executable, Exit, Flow, Holder, Namespaces,
        Observation, ProcessId, Program, ProgramKind, Socket, SocketClosed, SocketState, Stream, Text, Transport,
    },
    sources::open_files::{OpenFiles, Owner},
};

pub(super) const SECOND: u64 = 1_000_000_000;

/// Nobody has its master.
pub(super) const TERMINAL: Stream = Stream::Terminal {
    device: 136 << 20,
    inode: 3,
    fs: 25,
};

/// A process that started when its number says.
pub(super) fn process(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        start: BootTime(u64::from(pid)),
    }
}

pub(super) fn seconds(seconds: f64) -> BootTime {
    BootTime((seconds * SECOND as f64) as u64)
}

/// A connected TCP socket, outbound, on which something was received.
pub(super) fn socket(inode: u64) -> Socket {
    Socket {
        inode,
        cookie: None,
        netns: 4_026_531_840,
        transport: Transport::Tcp,
        state: SocketState::Connected,
        direction: Direction::Outbound,
        local: Endpoint::Ip(format!("10.0.0.5:{}", 40_000 + inode % 20_000).parse().unwrap()),
        remote: Endpoint::Ip("203.0.113.7:4444".parse().unwrap()),
        bytes_received: Some(12),
        bytes_sent: Some(34),
        parent_fd: None,
    }
}

pub(super) fn program(name: &str) -> Program {
    let kind = match name {
        "sh" | "bash" | "dash" | "zsh" | "ksh" | "mksh" | "fish" | "tcsh" | "busybox" => ProgramKind::Shell,
        _ if [
            "python", "perl", "ruby", "php", "lua", "node", "tclsh", "expect", "deno", "awk", "gawk", "pwsh", "erl",
            "irb", "iex", "ipython", "julia",
        ]
        .iter()
        .any(|language| name.starts_with(language)) =>
        {
            ProgramKind::Interpreter
        }
        _ => ProgramKind::Other,
    };
    Program {
        kind,
        name: name.into(),
    }
}

/// `line` executed by process `pid`, child of 100, streams on a terminal.
#[derive(Clone)]
pub(super) struct Build(pub(super) Exec);

impl Build {
    pub(super) fn new(pid: u32, line: &str) -> Self {
        let argv: Vec<Text> = line.split_whitespace().map(Text::from).collect();
        let name = String::from_utf8_lossy(argv.first().map(Text::file_name).unwrap_or_default());
        let name = name.trim_start_matches('-').to_owned();
        let exec = Exec {
            time: BootTime(u64::from(pid)),
            process: process(pid),
            comm: name.as_str().into(),
            credentials: Credentials::default(),
            executable: Executable {
                path: Some(Text::from(format!("/usr/bin/{name}").as_str())),
                ..Executable::default()
            },
            program: program(&name),
            script: None,
            cwd: Some("/".into()),
            argv,
            argv_truncated: false,
            cgroup: Cgroup::default(),
            namespaces: Namespaces::default(),
            streams: [const { TERMINAL }; 3],
            held: vec![],
            container: None,
            running: false,
            ancestors: vec![],
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
        self.0.ancestors.truncate(0);
        for (pid, name) in [(pid, name), (1, "systemd")] {
            self.0.ancestors.push(Ancestor {
                process: process(pid),
                uid: 0,
                comm: name.into(),
                path: Some(Text::from(format!("/usr/bin/{name}").as_str())),
                argv: vec![name.into()],
                program: program(name),
            });
        }
        self
    }

    pub(super) fn see(self) -> Observation {
        Observation::Exec(Box::new(self.0))
    }
}

/// Who holds which socket.
#[derive(Default)]
pub(super) struct Table {
    pub(super) held: RefCell<HashSet<(ProcessId, u64)>>,
    pub(super) asked: RefCell<usize>,
    /// Processes that are gone; all others are alive.
    pub(super) gone: RefCell<HashSet<ProcessId>>,
    /// Who has what open.
    pub(super) holders: RefCell<Vec<Holder>>,
    /// What each watched flow delivered, and when.
    pub(super) packets: RefCell<HashMap<Flow, Vec<(BootTime, Vec<u8>)>>>,
}

impl Table {
    pub(super) fn hold(&self, pid: u32, inode: u64) {
        self.held.borrow_mut().insert((process(pid), inode));
    }

    pub(super) fn release(&self, pid: u32, inode: u64) {
        self.held.borrow_mut().remove(&(process(pid), inode));
    }
}

impl World for Table {
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
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::above(Severity::Low)
    }

    pub(super) fn above(min_severity: Severity) -> Self {
        Self {
            engine: Engine::new(Settings {
                min_severity,
                ..Settings::default()
            }),
            world: Table::default(),
        }
    }

    pub(super) fn exec(&mut self, build: Build) -> Vec<Incident> {
        self.engine.observe(build.see(), &self.world)
    }

    pub(super) fn exit(&mut self, pid: u32, time: BootTime) -> Vec<Incident> {
        self.engine.observe(
            Observation::Exit(Exit {
                time,
                process: process(pid),
                status: 0,
            }),
            &self.world,
        )
    }

    pub(super) fn close(&mut self, inode: u64, time: BootTime) -> Vec<Incident> {
        self.engine
            .observe(Observation::SocketClosed(SocketClosed { time, inode }), &self.world)
    }

    pub(super) fn tick(&mut self, time: BootTime) -> Vec<Incident> {
        self.engine.tick(time, &self.world)
    }
}

/// The only one.
pub(super) fn one(incidents: Vec<Incident>) -> Incident {
    let [incident] = <[Incident; 1]>::try_from(incidents).expect("exactly one snapshot");
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
