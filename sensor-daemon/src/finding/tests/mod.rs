//! Tests of what is written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod clip;
mod describe;
mod ecs;
mod full;
mod human;
mod ocsf;
mod official;
mod relays;
mod report;
mod scc;

use serde_json::Value;

pub(crate) use self::full::largest;
use super::Report;
use crate::{
    detect::{Delivery, Engine, Inspector, Settings, Severity, Snapshot},
    model::{
        BootTime, Cgroup, Credentials, Direction, Exec, Executable, Exit, Flow, Holder, Host, Losses, Namespaces,
        Observation, ProcessId, Socket, Stream, Text, samples,
    },
};

/// Nobody holds anything.
struct Nobody;

impl Inspector for Nobody {
    fn holds_socket(&self, _: ProcessId, _: u64) -> bool {
        false
    }

    fn is_alive(&self, _: ProcessId) -> bool {
        false
    }

    fn opposite(&self, _: &Stream) -> Vec<Holder> {
        Vec::new()
    }

    fn delivered(&self, _: Flow, _: BootTime, _: &[Text]) -> Delivery {
        Delivery::Unwatched
    }
}

pub(crate) fn report(incident: &Snapshot) -> Report {
    Report::new(incident.clone(), &host(), losses())
}

fn host() -> Host {
    Host {
        hostname: "vm1".into(),
        hostname_of_container: false,
        machine_id: "0123456789abcdef0123456789abcdef".into(),
        boot_id: "5b1d7e80-7c1c-4f0e-a0fb-1f2f3a4b5c6d".into(),
        kernel: "6.1.0-42-amd64".into(),
        boot_unix_ns: 1_795_000_000_000_000_000,
    }
}

fn socket(direction: Direction) -> Socket {
    Socket {
        direction,
        ..samples::socket()
    }
}

/// A user's process in a unit of the host, below a web application.
fn exec(pid: u32, argv: &[&str], streams: [Stream; 3]) -> Exec {
    let plain = samples::exec(pid, argv);
    Exec {
        time: BootTime(u64::from(pid) * 1_000_000),
        credentials: Credentials {
            uid: 1000,
            gid: 1000,
            euid: 1000,
            egid: 1000,
            capabilities: 0,
        },
        executable: Executable {
            inode: 42,
            device: 0x80_0001,
            ..plain.executable
        },
        cwd: Some("/srv".into()),
        cgroup: Cgroup {
            id: 99,
            leaf: "web.service".into(),
            parent: "system.slice".into(),
        },
        namespaces: Namespaces {
            mnt: 4_026_531_841,
            pid: 4_026_531_836,
            net: 4_026_531_840,
            user: 4_026_531_837,
        },
        streams,
        ancestors: vec![
            samples::ancestor(4300, "python3", &["python3", "/srv/app.py"]),
            samples::ancestor(1, "systemd", &["systemd"]),
        ],
        ..plain
    }
}

/// What a finding says there.
fn at<'a>(line: &'a Value, pointer: &str) -> &'a Value {
    line.pointer(pointer).unwrap_or(&Value::Null)
}

fn on(socket: &Socket, which: [bool; 3]) -> [Stream; 3] {
    which.map(|on| {
        if on {
            Stream::Socket(socket.clone())
        } else {
            Stream::Other
        }
    })
}

/// The last snapshot after these execs, and after the first one's exit if `ended`.
fn incident_of(execs: Vec<Exec>, ended: bool) -> Snapshot {
    let mut engine = Engine::new(Settings {
        min_severity: Severity::Low,
        ..Settings::default()
    });
    let shell = execs[0].process;
    let others: Vec<ProcessId> = execs[1..].iter().map(|exec| exec.process).collect();
    let last = execs.last().unwrap().time;
    let mut out = Vec::new();
    for exec in execs {
        out.extend(engine.observe(Observation::Exec(Box::new(exec)), &Nobody));
    }
    out.extend(engine.tick(BootTime(last.0 + 10_000_000_000), &Nobody));
    if ended {
        for process in others.into_iter().chain([shell]) {
            let time = BootTime(last.0 + 20_000_000_000);
            out.extend(engine.observe(
                Observation::Exit(Exit {
                    time,
                    process,
                    status: 0,
                }),
                &Nobody,
            ));
        }
    }
    out.pop().unwrap()
}

pub(crate) fn reverse_shell() -> Snapshot {
    let socket = socket(Direction::Outbound);
    incident_of(vec![exec(4321, &["bash", "-i"], on(&socket, [true; 3]))], false)
}

/// Twenty seconds long, without a command.
pub(crate) fn ended() -> Snapshot {
    let socket = socket(Direction::Outbound);
    incident_of(vec![exec(4321, &["bash"], on(&socket, [true; 3]))], true)
}

fn losses() -> Losses {
    Losses::default()
}
