//! Tests of stories and their pictures.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod advice;
mod hostile;
mod pages;
mod related;

use crate::{
    detect::{Command, EndReason, Link, Severity, Snapshot, State, Technique},
    finding::Report,
    model::{
        Account, Ancestor, BootTime, Cgroup, Container, ContainerRuntime, Context, Credentials, Direction, Endpoint,
        Exec, Executable, FileDigest, Hop, Host, Losses, Namespaces, Onward, Pod, Posture, ProcessId, Program,
        ProgramKind, Route, Socket, SocketState, Stream, Text, Transport,
    },
};

const SECOND: u64 = 1_000_000_000;

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

fn process(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        start: BootTime(u64::from(pid) * SECOND / 100),
    }
}

fn program(kind: ProgramKind, name: &str) -> Program {
    Program {
        kind,
        name: name.into(),
    }
}

fn socket(remote: &str, inode: u64) -> Socket {
    Socket {
        inode,
        cookie: None,
        netns: 4_026_531_840,
        transport: Transport::Tcp,
        state: SocketState::Connected,
        direction: Direction::Outbound,
        local: Endpoint::Ip("10.0.0.5:51234".parse().unwrap()),
        remote: Endpoint::Ip(remote.parse().unwrap()),
        bytes_received: Some(3),
        bytes_sent: Some(5),
        parent_fd: None,
    }
}

fn ancestor(pid: u32, name: &str, argv: &[&str]) -> Ancestor {
    Ancestor {
        process: process(pid),
        uid: 33,
        comm: name.into(),
        path: Some(Text::from(format!("/usr/bin/{name}").as_str())),
        argv: argv.iter().map(|&word| word.into()).collect(),
        program: program(ProgramKind::Other, name),
    }
}

fn exec(pid: u32, argv: &[&str], streams: [Stream; 3]) -> Exec {
    Exec {
        time: BootTime(u64::from(pid) * SECOND / 100),
        process: process(pid),
        running: false,
        comm: argv[0].into(),
        credentials: Credentials {
            uid: 33,
            gid: 33,
            euid: 33,
            egid: 33,
            capabilities: 0,
        },
        executable: Executable {
            path: Some(Text::from(format!("/usr/bin/{}", argv[0]).as_str())),
            ..Executable::default()
        },
        program: program(ProgramKind::Shell, argv[0]),
        script: None,
        cwd: Some("/srv".into()),
        argv: argv.iter().map(|&word| word.into()).collect(),
        argv_truncated: false,
        cgroup: Cgroup {
            id: 99,
            leaf: "web.service".into(),
            parent: "system.slice".into(),
        },
        container: None,
        namespaces: Namespaces::default(),
        streams,
        held: Vec::new(),
        ancestors: vec![
            ancestor(4300, "php-fpm", &["php-fpm: pool www"]),
            ancestor(1, "systemd", &["/sbin/init"]),
        ],
    }
}

/// bash on a connection of a unit of the host; it goes on.
fn reverse_shell() -> Report {
    let socket = socket("203.0.113.7:4444", 777);
    let on = Stream::Socket(socket.clone());
    let shell = exec(4321, &["bash", "-i"], [on.clone(), on.clone(), on]);
    let incident = Snapshot {
        update: 2,
        state: State::Active,
        severity: Severity::Critical,
        technique: Technique::ReverseShell,
        direction: Direction::Outbound,
        opened: shell.time,
        updated: BootTime(shell.time.0 + 12 * SECOND),
        ended: None,
        end_reason: None,
        commands: vec![
            command(4330, &["id"], shell.time.0 + SECOND),
            command(4331, &["cat", "/etc/passwd"], shell.time.0 + 12 * SECOND),
        ],
        first_commands: 2,
        omitted: 0,
        command_count: 2,
        new_commands: 1,
        sockets: vec![socket],
        carried: [true; 3],
        link: Link::Streams,
        relays: Vec::new(),
        input_route: None,
        output_route: None,
        loopback: false,
        evidence: "its standard input and output are the connection".into(),
        monitoring_ended: false,
        shell,
    };
    Report::new(incident, &host(), Losses::default())
}

fn command(pid: u32, argv: &[&str], time: u64) -> Command {
    Command::from(Exec {
        time: BootTime(time),
        ..exec(pid, argv, [Stream::Other, Stream::Other, Stream::Other])
    })
}

/// `mkfifo | sh | nc` in a container; it has ended.
fn relayed() -> Report {
    let mut report = reverse_shell();
    let incident = &mut report.incident;
    let socket = incident.sockets[0].clone();
    let hop = |kind: &str, inode| Hop {
        process: process(4322),
        comm: "nc".into(),
        path: Some("/usr/bin/nc.openbsd".into()),
        host_path: true,
        program: program(ProgramKind::Relay, "nc"),
        parent: 4300,
        fd: 1,
        kind: kind.into(),
        inode,
        onward: Onward {
            fd: 3,
            kind: "socket".into(),
            inode: 777,
        },
    };
    let route = |kind: &str, inode| Route {
        hops: vec![hop(kind, inode)],
        socket: socket.clone(),
        fd: 3,
        connections: 1,
    };
    incident.shell.streams = [
        Stream::Fifo { inode: 55, fs: 1 },
        Stream::Pipe { inode: 56 },
        Stream::Pipe { inode: 56 },
    ];
    incident.input_route = Some(route("fifo", 55));
    incident.output_route = Some(route("pipe", 56));
    incident.relays = vec![hop("fifo", 55)];
    incident.link = Link::Carried;
    incident.state = State::Inactive;
    incident.ended = Some(BootTime(incident.updated.0 + 3 * SECOND));
    incident.end_reason = Some(EndReason::ProcessesEnded);
    incident.shell.container = Some(Container {
        runtime: ContainerRuntime::Containerd,
        id: "0123456789abcdef".repeat(4),
        name: Some("php".into()),
        image: Some("registry.example/shop/php:8.2".into()),
    });
    report.context = Context {
        account: Some(Account {
            name: Some("www-data".into()),
            ..Account::default()
        }),
        file: Some(FileDigest {
            sha256: "ab".repeat(32),
            size: 125_560,
        }),
        posture: Some(Posture {
            capabilities: vec!["CAP_NET_RAW".into(), "CAP_SYS_ADMIN".into()],
            seccomp: Some("disabled".into()),
            no_new_privs: Some(false),
            host_namespaces: vec!["net".into(), "user".into()],
            writable_root: Some(true),
            security_label: Some("cri-containerd.apparmor.d".into()),
            ..Posture::default()
        }),
        pod: Some(Pod {
            uid: Some("1b2c3d4e-0000-4111-8222-933334444555".into()),
            name: Some("shop-7d9f8b6c5d-x2x7k".into()),
            namespace: Some("shop".into()),
        }),
        ..Context::default()
    };
    report
}

/// A shell with a connection of its own for each stream, to the longest of addresses.
fn split() -> Report {
    let mut report = reverse_shell();
    let remotes = ["203.0.113.7:4444", LONGEST, LONGEST];
    let sockets = [0, 1, 2].map(|at| socket(remotes[at], 777 + at as u64));
    report.incident.shell.streams = sockets.clone().map(Stream::Socket);
    report.incident.sockets = sockets.to_vec();
    report
}

const LONGEST: &str = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535";

/// Everything that there is to be told, of a container that is at work.
fn full() -> Report {
    let mut report = relayed();
    let incident = &mut report.incident;
    incident.state = State::Active;
    (incident.ended, incident.end_reason) = (None, None);
    let opened = incident.opened.0;
    incident.commands = (0..32)
        .map(|at| {
            command(
                70_000 + at,
                &["find", "/", "-perm", "-4000"],
                opened + u64::from(at) * SECOND,
            )
        })
        .collect();
    incident.command_count = 140;
    incident.updated = BootTime(opened + 200 * SECOND);
    let shell = &mut incident.shell;
    shell.ancestors = vec![
        ancestor(4300, "php-fpm", &["php-fpm: pool www"]),
        ancestor(
            4250,
            "php-fpm",
            &["php-fpm: master process (/usr/local/etc/php-fpm.conf)"],
        ),
        ancestor(
            4200,
            "containerd-shim",
            &["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby"],
        ),
        ancestor(1, "systemd", &["/sbin/init"]),
    ];
    for above in &mut shell.ancestors[2..] {
        above.uid = 0;
    }
    shell.script = Some("/tmp/.x/run.sh".into());
    if let Some(container) = &mut shell.container {
        container.runtime = ContainerRuntime::Docker;
    }
    if let Some(posture) = &mut report.context.posture {
        posture.host_namespaces = vec!["pid".into(), "user".into()];
        posture.security_label = Some("unconfined".into());
    }
    report.context.addresses = ["10.0.0.5", "172.17.0.1", "fe80::42:acff:fe11:2"]
        .map(|address| address.parse().unwrap())
        .to_vec();
    report
}

/// The same with bytes that try to be something else, wherever a process or a container chooses them.
fn hostile() -> Report {
    let mut report = relayed();
    let evil = "\u{1b}[2J\u{9b}31m\u{202e}</svg></title><script>alert(1)</script><img src=x onerror=\"a\">'\"`$(reboot)`\n\r\0; rm -rf / &amp; \u{5d0}\u{5d1}\u{e0041}";
    let wide = "\u{754c}".repeat(300) + &"e\u{301}".repeat(900);
    let text = |more: &str| Text::from(format!("{evil}{more}").as_str());
    let incident = &mut report.incident;
    incident.shell.argv = vec![text(""), Text(vec![0xff, 0x1b, b'<', b'b', b'>']), text(&wide)];
    incident.shell.comm = text("");
    incident.shell.program.name = evil.into();
    incident.shell.executable.path = Some(text(&wide));
    incident.shell.script = Some(text(""));
    incident.shell.cwd = Some(text(""));
    incident.shell.cgroup.leaf = text(".service");
    for ancestor in &mut incident.shell.ancestors {
        ancestor.argv = vec![text(&wide)];
        ancestor.program.name = evil.into();
    }
    let routes = [&mut incident.input_route, &mut incident.output_route];
    let hops = routes.into_iter().flatten().flat_map(|route| &mut route.hops);
    for hop in hops.chain(&mut incident.relays) {
        hop.path = Some(text(&wide));
        hop.program.name = evil.into();
        hop.kind = evil.into();
    }
    incident.commands = (0..32)
        .map(|at| command(5000 + at, &[evil, &wide], 60 * SECOND))
        .collect();
    incident.command_count = u64::MAX;
    incident.evidence = evil.into();
    let container = incident.shell.container.as_mut().unwrap();
    (container.id, container.name, container.image) = (evil.into(), Some(evil.into()), Some(evil.into()));
    report.id = evil.into();
    report.host.hostname = evil.into();
    report.host.kernel = evil.into();
    report.context.pod = Some(Pod {
        uid: Some(evil.into()),
        name: Some(evil.into()),
        namespace: Some(evil.into()),
    });
    let posture = report.context.posture.as_mut().unwrap();
    posture.capabilities = vec![evil.into(); 500];
    posture.host_namespaces = vec![evil.into()];
    posture.security_label = Some(evil.into());
    posture.seccomp = Some(evil.into());
    report.context.account.as_mut().unwrap().name = Some(evil.into());
    report.context.file.as_mut().unwrap().sha256 = evil.into();
    report
}
