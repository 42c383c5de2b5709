//! Random streams of observations: nothing panics, and what always holds holds.

use std::collections::HashMap;

use super::build::{Build, SECOND, Scene, socket};
use crate::{
    detect::{Incident, Severity, State},
    finding::{LINE_MAX, finding_id, human, scc},
    model::{BootTime, Direction, Endpoint, Host, Losses, SocketState, Transport},
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

/// What was last said of each finding.
#[derive(Default)]
struct Told(HashMap<String, (Severity, u64, u64)>);

impl Told {
    fn take(&mut self, incidents: Vec<Incident>) {
        for incident in incidents {
            let id = finding_id(&incident, &Host::default());
            let last = (incident.severity, incident.update, incident.command_count);
            assert_eq!(incident.state == State::Inactive, incident.ended.is_some());
            assert!(incident.updated >= incident.opened);
            assert!(incident.commands.len() as u64 <= incident.command_count.max(1));
            assert!(incident.new_commands <= incident.command_count);
            if let Some(before) = self.0.insert(id, last)
                // Forgotten in between: the same socket begins a new count.
                && incident.update > 1
            {
                assert!(before.0 <= incident.severity, "severity fell");
                assert_eq!(before.1 + 1, incident.update, "a snapshot is missing");
            }
            let line = serde_json::to_string(&scc(&incident, &Host::default(), &Losses::default())).unwrap();
            assert!(line.len() <= LINE_MAX);
            assert!(!human(&incident, &Host::default(), &Losses::default(), false).contains('\x1b'));
        }
    }
}

#[test]
fn random_observations() {
    for seed in 1..=12_u64 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut scene = Scene::above(random.pick(&[Severity::Low, Severity::Medium, Severity::High]));
        let mut told = Told::default();
        let mut now = 0;
        for _ in 0..1000 {
            now += random.pick(&[0, 1000, SECOND / 10, SECOND, 40 * SECOND, 700 * SECOND]);
            let time = BootTime(now);
            let pid = 10 + random.below(20) as u32;
            let inode = random.below(12);
            let out = match random.below(10) {
                0..5 => {
                    let build = any_exec(&mut random, time);
                    scene.exec(build)
                }
                5 | 6 => scene.exit(pid, time),
                7 => scene.close(inode, time),
                8 => {
                    match random.below(2) {
                        0 => scene.world.hold(pid, inode),
                        _ => scene.world.release(pid, inode),
                    }
                    vec![]
                }
                _ => scene.tick(time),
            };
            told.take(out);
            scene.engine.check();
        }
        told.take(scene.engine.finish(BootTime(now)));
    }
}
