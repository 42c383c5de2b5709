//! What is written of shells whose streams others carry, and of commands that a connection delivered.

use serde_json::{Value, json};

use super::{exec, report, scc::written, socket};
use crate::{
    detect::{Delivery, Engine, Inspector, Settings, Severity, Snapshot},
    finding::{describe::sentence, human},
    model::{
        BootTime, Descriptor, Direction, Endpoint, Exec, Flow, Holder, Observation, ProcessId, Program, ProgramKind,
        Stream, Text, samples,
    },
};

const NULL: Stream = Stream::Other;

/// These are all processes, and this is what any flow has delivered.
struct Machine(Vec<Holder>, Delivery);

impl Inspector for Machine {
    fn holds_socket(&self, _: ProcessId, _: u64) -> bool {
        true
    }

    fn is_alive(&self, _: ProcessId) -> bool {
        true
    }

    fn opposite(&self, _: &Stream) -> Vec<Holder> {
        self.0.clone()
    }

    fn delivered(&self, _: Flow, _: BootTime, _: &[Text]) -> Delivery {
        self.1
    }
}

/// Standard input and output are open in their own direction only, so that a pipe's reader is not taken for its writer.
fn holder(pid: u32, name: &str, descriptors: &[(u32, Stream)]) -> Holder {
    Holder {
        process: samples::process(pid),
        parent: 77,
        comm: name.into(),
        path: Some(Text::from(format!("/usr/bin/{name}").as_str())),
        host_path: true,
        program: Program {
            kind: ProgramKind::Other,
            name: name.into(),
        },
        descriptors: descriptors
            .iter()
            .map(|(fd, stream)| Descriptor {
                fd: *fd,
                stream: stream.clone(),
                read: *fd != 1,
                write: *fd != 0,
            })
            .collect(),
    }
}

fn fifo(inode: u64) -> Stream {
    Stream::Fifo { inode, fs: 25 }
}

fn pipe(inode: u64) -> Stream {
    Stream::Pipe { inode }
}

fn peer() -> Stream {
    Stream::Socket(socket(Direction::Outbound))
}

/// The last snapshot, some time after the execs.
fn seen(execs: Vec<Exec>, machine: &Machine) -> Snapshot {
    let mut engine = Engine::new(Settings {
        min_severity: Severity::Low,
        ..Settings::default()
    });
    let mut out = Vec::new();
    for exec in execs {
        out.extend(engine.observe(Observation::Exec(Box::new(exec)), machine));
    }
    out.extend(engine.tick(BootTime(10_000_000_000), machine));
    out.pop().unwrap()
}

/// `nc … <pipe | sh >fifo`, with a `cat` between FIFO and shell.
pub(super) fn chain() -> Snapshot {
    let machine = Machine(
        vec![
            holder(12, "nc", &[(0, pipe(55)), (1, fifo(1234)), (3, peer())]),
            holder(13, "cat", &[(0, fifo(1234)), (1, pipe(66))]),
        ],
        Delivery::Nothing,
    );
    seen(vec![exec(4321, &["bash"], [pipe(66), pipe(55), NULL])], &machine)
}

/// `curl … | bash`.
pub(super) fn downloaded() -> Snapshot {
    let machine = Machine(
        vec![holder(12, "curl", &[(1, pipe(66)), (5, peer())])],
        Delivery::Nothing,
    );
    seen(vec![exec(4321, &["bash"], [pipe(66), NULL, NULL])], &machine)
}

/// A shell on a terminal whose master a general program holds.
pub(super) fn terminal(delivered: Delivery) -> Snapshot {
    let slave = Stream::Terminal {
        device: 136 << 20,
        inode: 3,
        fs: 25,
    };
    let mut socket = socket(Direction::Outbound);
    socket.bytes_received = Some(0);
    let machine = Machine(
        vec![holder(
            4300,
            "python3",
            &[
                (6, Stream::TerminalMaster { slave: 3, fs: 25 }),
                (5, Stream::Socket(socket)),
            ],
        )],
        delivered,
    );
    let shell = exec(4321, &["bash"], [slave.clone(), slave.clone(), slave.clone()]);
    let mut command = exec(4330, &["id"], [slave.clone(), slave.clone(), slave]);
    let mut parent = command.ancestors[0].clone();
    parent.process = shell.process;
    command.ancestors.insert(0, parent);
    seen(vec![shell, command], &machine)
}

/// A command of a program that holds a connection.
pub(super) fn popped(severity: Severity) -> Snapshot {
    let mut socket = socket(Direction::Outbound);
    socket.parent_fd = Some(5);
    let commands = [4321, 4330].map(|pid| {
        let mut exec = exec(pid, &["id", "-u"], [NULL; 3]);
        exec.argv[1] = pid.to_string().as_str().into();
        exec.held = vec![socket.clone()];
        exec
    });
    let delivered = match severity {
        Severity::High => Delivery::Command,
        _ => Delivery::Other,
    };
    seen(commands.into(), &Machine(vec![], delivered))
}

#[test]
fn every_hop_with_both_of_its_descriptors() {
    let line = written(&chain());
    let hop = |stream: &str, pid: u32, name: &str, here: (u32, &str, &str), onward: (u32, &str, &str)| {
        json!({
            "stream": stream, "processId": pid, "name": name, "binaryPath": format!("/usr/bin/{name}"),
            "isAncestor": false, "descriptor": here.0, "kind": here.1, "inode": here.2,
            "onward": {"descriptor": onward.0, "kind": onward.1, "inode": onward.2},
        })
    };
    let properties = &line["finding"]["sourceProperties"];
    assert_eq!(
        properties["relays"],
        json!([
            hop("stdin", 13, "cat", (1, "pipe", "66"), (0, "fifo", "1234")),
            hop("stdin", 12, "nc", (1, "fifo", "1234"), (3, "socket", "777")),
            hop("stdout", 12, "nc", (0, "pipe", "55"), (3, "socket", "777")),
        ])
    );
    assert_eq!(properties["link"], "carried");
    assert_eq!(properties["streams"][1]["carried"], true);
    assert_eq!(properties["Reverse_Shell_Stdin_Redirection_Dst_Ip"], "203.0.113.7");
    assert_eq!(line["finding"]["connections"][0]["destinationPort"], 4444);
}

fn pids(line: &Value) -> Vec<&str> {
    let processes = line["finding"]["processes"].as_array().unwrap();
    processes
        .iter()
        .map(|process| process["pid"].as_str().unwrap())
        .collect()
}

#[test]
fn relays_are_between_the_commands_and_the_ancestors() {
    let mut incident = chain();
    incident.commands = terminal(Delivery::Command).commands;
    let line = written(&incident);
    assert_eq!(pids(&line), ["4321", "4330", "13", "12", "4300", "1"]);
    assert_eq!(
        line["finding"]["processes"][3],
        json!({"name": "nc", "binary": {"path": "/usr/bin/nc"}, "pid": "12", "parentPid": "77"})
    );
}

#[test]
fn a_relay_that_is_an_ancestor_is_no_second_process() {
    let line = written(&terminal(Delivery::Command));
    assert_eq!(pids(&line), ["4321", "4330", "4300", "1"]);
    let relays = line["finding"]["sourceProperties"]["relays"].as_array().unwrap();
    assert_eq!(relays.len(), 2);
    for relay in relays {
        assert_eq!(
            (&relay["processId"], &relay["isAncestor"]),
            (&json!(4300), &json!(true))
        );
        assert_eq!(relay["kind"], "terminal master");
        assert_eq!(relay["onward"]["descriptor"], 5);
    }
}

#[test]
fn a_shell_that_answers_on_its_errors() {
    let machine = Machine(
        vec![holder(12, "nc", &[(0, pipe(55)), (1, pipe(66)), (3, peer())])],
        Delivery::Nothing,
    );
    let incident = seen(vec![exec(4321, &["bash"], [pipe(66), NULL, pipe(55)])], &machine);
    let properties = &written(&incident)["finding"]["sourceProperties"];
    assert_eq!(properties["relays"][1]["stream"], "stderr");
    assert_eq!(properties["streams"][1]["carried"], false);
    assert_eq!(properties["streams"][2]["carried"], true);
    assert!(human(&report(&incident), false).contains("| bash (pid 4321) stderr\n"));
}

#[test]
fn two_connections_and_many_relays() {
    let mut answer = socket(Direction::Outbound);
    answer.inode += 1;
    answer.remote = Endpoint::Ip("203.0.113.8:5555".parse().unwrap());
    let machine = Machine(
        vec![
            holder(12, "nc", &[(1, pipe(1)), (3, peer())]),
            holder(13, "cat", &[(0, pipe(1)), (1, pipe(2))]),
            holder(14, "tee", &[(0, pipe(2)), (1, pipe(66))]),
            holder(15, "tr", &[(0, pipe(55)), (1, pipe(3))]),
            holder(16, "nc", &[(0, pipe(3)), (3, Stream::Socket(answer))]),
        ],
        Delivery::Nothing,
    );
    let incident = seen(vec![exec(4321, &["bash"], [pipe(66), pipe(55), NULL])], &machine);
    let sentence = sentence(&incident);
    assert!(
        sentence.contains(
            "carried by tee (pid 14), cat (pid 13), nc (pid 12) and 2 other processes over an outbound TCP connection to \
             203.0.113.7:4444 and an outbound TCP connection to 203.0.113.8:5555 for output: a reverse shell"
        ),
        "{sentence}"
    );
    let shown = human(&report(&incident), false);
    assert!(
        shown.contains(
            "
  way         203.0.113.7:4444 -> nc (pid 12) fd 3 | pipe 1 | cat (pid 13) fd 0
              | pipe 2 | tee (pid 14) fd 0 | pipe 66 | bash (pid 4321) stdin
  way         203.0.113.8:5555 <- nc (pid 16) fd 3 | pipe 3 | tr (pid 15) fd 1
              | pipe 55 | bash (pid 4321) stdout
"
        ),
        "{shown}"
    );
}

#[test]
fn the_way_of_a_terminal_is_one_line() {
    let shown = human(&report(&terminal(Delivery::Command)), false);
    assert!(
        shown.contains(
            "
  way         203.0.113.7:4444 <-> python3 (pid 4300) fd 5 | terminal 3
              | bash (pid 4321) stdin stdout
"
        ),
        "{shown}"
    );
    assert_eq!(shown.matches("  way ").count(), 1);
}

#[test]
fn hostile_names_of_relays_stay_in_their_place() {
    for filling in [&b"\x01"[..], b"\xff", b"\x1b]0;x\x07\n", "\u{202e}é".as_bytes()] {
        let huge = Text::from(filling.repeat(4096).as_slice());
        let mut machine: Vec<Holder> = Vec::new();
        for (at, first) in [(0, 66), (10, 55)] {
            for hop in 0..5 {
                let inode = |hop: u64| if hop == 0 { first } else { first * 100 + hop };
                let onward = if hop == 4 { peer() } else { pipe(inode(hop + 1)) };
                let mut holder = holder(500 + at + hop as u32, "x", &[(3, onward), (4, pipe(inode(hop)))]);
                holder.program.kind = ProgramKind::Relay;
                holder.comm = Text::from(&huge.as_bytes()[..15]);
                holder.path = Some(huge.clone());
                holder.program.name = String::from_utf8_lossy(&huge.as_bytes()[..255]).into_owned();
                machine.push(holder);
            }
        }
        let machine = Machine(machine, Delivery::Nothing);
        let mut shell = exec(4321, &["bash"], [pipe(66), pipe(55), NULL]);
        shell.executable.path = Some(huge.clone());
        let mut incident = seen(vec![shell], &machine);
        assert_eq!(incident.relays.len(), 10);
        incident.shell.script = Some(huge.clone());
        incident.shell.argv.push(huge.clone());
        incident.shell.cwd = Some(huge.clone());
        for ancestor in &mut incident.shell.ancestors {
            ancestor.argv = vec![huge.clone()];
            ancestor.path = Some(huge.clone());
        }
        let mut ancestor = incident.shell.ancestors[0].clone();
        ancestor.process.pid = 1;
        incident.shell.ancestors.resize(8, ancestor);
        let line = written(&incident);
        assert_eq!(line["finding"]["processes"].as_array().unwrap().len(), 1 + 10 + 8);
        assert_eq!(
            line["finding"]["sourceProperties"]["relays"].as_array().unwrap().len(),
            10
        );
        let sentence = sentence(&incident);
        assert!(sentence.chars().all(|c| !c.is_control()), "{sentence:?}");
        let shown = human(&report(&incident), false);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(!shown.contains('\u{202e}'));
        let lines: Vec<&str> = shown.lines().skip(1).collect();
        assert!(
            lines.iter().all(|line| line.is_empty() || line.starts_with("  ")),
            "{shown}"
        );
        let ways = lines.iter().skip_while(|line| !line.starts_with("  way"));
        assert!(ways.clone().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(ways.count() < 60, "{shown}");
    }
}
