//! Random streams of observations: nothing panics, and what always holds holds.

use std::collections::{HashMap, HashSet};

use super::{
    build::{Build, SECOND, Scene, process, socket},
    wiring,
};
use crate::{
    detect::{Link, Severity, Snapshot, State, Technique},
    finding::{LINE_MAX, Report, finding_id, human, scc},
    model::{BootTime, Direction, Endpoint, Holder, Host, Losses, Socket, SocketState, Transport},
};

/// xorshift64*: enough to be arbitrary, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

fn any_exec(random: &mut Random, time: BootTime) -> Build {
    let line = random.pick(&[
        "bash -i",
        "sh -c id",
        "sh",
        "id",
        "cat",
        "python3",
        "python3 x.py",
        "perl -e 1",
        "sshd -R",
    ]);
    let mut build = Build::new(10 + random.below(20) as u32, line).at(time).parent(
        10 + random.below(20) as u32,
        random.pick(&["bash", "python3", "sshd", "systemd"]),
    );
    for stream in ["i", "o", "e"] {
        if random.below(3) == 0 {
            continue;
        }
        let mut socket = socket(random.below(12));
        socket.direction = random.pick(&[Direction::Outbound, Direction::Inbound, Direction::Unknown]);
        socket.transport = random.pick(&[Transport::Tcp, Transport::Tcp, Transport::Udp]);
        socket.bytes_received = random.pick(&[None, Some(0), Some(9)]);
        socket.parent_fd = random.pick(&[None, Some(3)]);
        socket.state = random.pick(&[
            SocketState::Connected,
            SocketState::Connected,
            SocketState::Connected,
            SocketState::Connecting,
            SocketState::Unconnected,
            SocketState::Listening,
        ]);
        if random.below(4) == 0 {
            socket.remote = Endpoint::Ip("127.0.0.1:9".parse().unwrap());
        }
        build = build.on(stream, &socket);
    }
    build
}

/// Streams that others may carry, and a parent that may hold connections.
fn any_piped_exec(random: &mut Random, time: BootTime) -> Build {
    let line = random.pick(&["sh", "bash -i", "python3", "id -u", "sh -c id", "cat", "uname -a"]);
    let mut build = Build::new(10 + random.below(20) as u32, line).at(time).parent(
        10 + random.below(20) as u32,
        random.pick(&["bash", "python3", "systemd"]),
    );
    let words = ["p1", "p2", "f3", "s4", "u5-6", "m4", "x"];
    let mut streams = [(); 3].map(|()| random.pick(&words));
    if random.below(3) == 0 {
        streams = ["p1", "p2", "p2"];
    }
    let streams = streams.join(" ");
    build = build.streams(wiring::streams(&streams, &socket(7)));
    let held: Vec<Socket> = (0..random.below(4)).map(|_| any_connection(random)).collect();
    build.held(&held)
}

fn any_connection(random: &mut Random) -> Socket {
    use {
        Direction::{Inbound, Outbound, Unknown},
        Transport::{Tcp, Udp, Vsock},
    };

    let mut socket = socket(random.below(12));
    socket.direction = random.pick(&[Outbound, Outbound, Outbound, Inbound, Unknown]);
    socket.transport = random.pick(&[Tcp, Tcp, Tcp, Udp, Vsock]);
    socket.bytes_received = random.pick(&[None, Some(0), Some(9)]);
    socket
}

/// Anybody holds anything.
fn any_holders(random: &mut Random) -> Vec<Holder> {
    let words = ["p1", "p2", "f3", "m4", "s4", "u6-5", "u5-6", "c", "c", "l", "i", "d"];
    if random.below(3) == 0 {
        // A general program, whose ways need proof.
        let agent = format!("40 agent 6w=p1 7r=p2 8=c{}", random.below(12));
        return wiring::holders(&agent, &any_connection(random));
    }
    let processes: Vec<String> = (0..random.below(12))
        .map(|_| {
            let name = random.pick(&["nc", "cat", "agent", "python3"]);
            let mut process = format!("{} {name}", 10 + random.below(30));
            for fd in 0..random.below(6) {
                let word = random.pick(&words);
                let inode = if word.len() == 1 {
                    random.below(12).to_string()
                } else {
                    String::new()
                };
                process.push_str(&format!(" {}{}={word}{inode}", fd, random.pick(&["", "r", "w"])));
            }
            process
        })
        .collect();
    wiring::holders(&processes.join(";"), &any_connection(random))
}

/// What was last said of each finding.
#[derive(Default)]
struct Told(HashMap<String, (Severity, u64, u64)>);

impl Told {
    fn take(&mut self, incidents: Vec<Snapshot>) {
        for incident in incidents {
            let id = finding_id(&incident, &Host::default());
            let last = (incident.severity, incident.update, incident.command_count);
            assert_eq!(incident.state == State::Inactive, incident.ended.is_some());
            assert!(incident.updated >= incident.opened);
            let shell_is_first = u64::from(!incident.technique.is_shell());
            let told = incident.commands.len() as u64 + incident.omitted + shell_is_first;
            assert_eq!(told, incident.command_count, "a command is neither kept nor counted");
            assert!(incident.new_commands <= incident.command_count);
            if let Some(before) = self.0.insert(id, last)
                // Forgotten in between: the same socket begins a new count.
                && incident.update > 1
            {
                assert!(before.0 <= incident.severity, "severity fell");
                assert_eq!(before.1 + 1, incident.update, "a snapshot is missing");
            }
            let report = Report::new(incident, &Host::default(), Losses::default());
            let line = serde_json::to_string(&scc(&report)).unwrap();
            assert!(line.len() <= LINE_MAX);
            assert!(!human(&report, false).contains('\x1b'));
        }
    }
}

#[test]
fn random_observations() {
    let mut seen = HashSet::new();
    for seed in 1..=12_u64 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut scene = Scene::above(random.pick(&[Severity::Low, Severity::Medium, Severity::High]));
        let mut told = Told::default();
        let (mut now, mut newest) = (0, 10);
        for _ in 0..2000 {
            now += random.pick(&[
                0,
                1000,
                SECOND / 100,
                SECOND / 10,
                SECOND,
                SECOND,
                40 * SECOND,
                700 * SECOND,
            ]);
            let time = BootTime(now);
            let pid = 10 + random.below(20) as u32;
            let inode = random.below(12);
            let out = match random.below(20) {
                0..5 => {
                    let build = any_exec(&mut random, time);
                    scene.exec(build)
                }
                5..10 => {
                    let build = any_piped_exec(&mut random, time);
                    newest = build.0.process.pid;
                    scene.exec(build)
                }
                10 | 11 => scene.exit(pid, time),
                12 => scene.close(inode, time),
                13 => {
                    match random.below(2) {
                        0 => scene.world.hold(pid, inode),
                        _ => scene.world.release(pid, inode),
                    }
                    if random.below(2) == 0 {
                        scene.world.gone.borrow_mut().insert(process(pid));
                    } else {
                        scene.world.gone.borrow_mut().clear();
                    }
                    vec![]
                }
                14 => {
                    scene.world.holders.replace(any_holders(&mut random));
                    vec![]
                }
                15 | 16 => {
                    let connection = any_connection(&mut random);
                    let line = format!("ping {}", random.below(1000));
                    let bytes =
                        random.pick(&["cd /\n", "HTTP/1.1 200 OK\r\n", "\u{17}\u{3}\u{3}", &line, &line, &line]);
                    scene.world.deliver(&connection, BootTime(now + 1), bytes.as_bytes());
                    now += 2;
                    let command = Build::new(pid, &line).parent(random.pick(&[newest, 10, 11]), "ruby");
                    let command = command.at(BootTime(now)).held(&[connection]);
                    scene.exec(command)
                }
                17 => scene.connect(pid, time),
                _ => scene.tick(time),
            };
            for incident in &out {
                seen.insert((incident.link, incident.technique));
            }
            told.take(out);
            scene.engine.check();
        }
        told.take(scene.engine.finish(BootTime(now)));
        // When everybody has ended, nothing is watched, followed or waited for.
        for pid in 10..50 {
            scene.world.gone.borrow_mut().insert(process(pid));
            for inode in 0..12 {
                scene.world.release(pid, inode);
            }
            told.take(scene.exit(pid, BootTime(now)));
        }
        let mut ticks = 0;
        while let Some(due) = scene.engine.next_deadline() {
            told.take(scene.tick(due));
            scene.engine.check();
            ticks += 1;
            assert!(ticks < 1000, "it never comes to rest");
        }
        assert_eq!(
            (scene.watched(), scene.marked.len(), scene.engine.open_incidents()),
            (0, 0, 0)
        );
    }
    // It would be of little use if it never came to these.
    for expected in [
        (Link::Streams, Technique::ReverseShell),
        (Link::Carried, Technique::ReverseShell),
        (Link::Carried, Technique::BindShell),
        (Link::Carried, Technique::InputOnlyShell),
        (Link::Held, Technique::CommandLoop),
        (Link::Delivered, Technique::CommandLoop),
        (Link::Delivered, Technique::ReverseShell),
    ] {
        assert!(seen.contains(&expected), "{expected:?} is not among {seen:?}");
    }
}
