//! Reports of which everything is known, and ones in which everything is as long and as hostile as it can be.

use super::{exec, on, relays, report, reverse_shell, socket};
use crate::{
    detect::{Delivery, Severity, Snapshot},
    finding::{Closed, Report},
    model::{
        Account, Cloud, Container, ContainerRuntime, Context, Direction, Endpoint, FileDigest, Pod, Posture, Text,
        Transport,
    },
};

/// What a process may choose: quotes, lines, escapes, what is no UTF-8, what looks like a quotation.
const HOSTILE: &[u8] = b"a\nFINDING_ID=evil\nMESSAGE=x\r\x1b[2J\"\\\xff\xfe'\x01";

fn context(text: &str) -> Context {
    Context {
        account: Some(Account {
            name: Some(format!("www-data{text}")),
            login_uid: Some(1001),
            login_name: Some(format!("ann{text}")),
            session: Some(7),
            tty: Some(format!("pts/3{text}")),
        }),
        file: Some(FileDigest {
            sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
            size: 1_265_648,
        }),
        posture: Some(Posture {
            capabilities: vec!["CAP_NET_ADMIN".into(), "CAP_SYS_ADMIN".into()],
            privileged: true,
            seccomp: Some("disabled".into()),
            no_new_privs: Some(false),
            mapped_root: Some(100_000),
            host_namespaces: vec!["net".into(), "pid".into()],
            writable_root: Some(true),
            security_label: Some(format!("docker-default (enforce){text}")),
        }),
        pod: Some(Pod {
            uid: Some("11111111-2222-3333-4444-555555555555".into()),
            name: Some(format!("web-0{text}")),
            namespace: Some(format!("shop{text}")),
        }),
        cloud: Some(Cloud {
            name: format!("//compute.googleapis.com/projects/demo/zones/europe-west1-b/instances/1{text}"),
            display_name: format!("vm1{text}"),
            kind: "google.compute.Instance".into(),
            project: Some("demo".into()),
            location: Some("europe-west1-b".into()),
            region: Some("europe-west1".into()),
            zone: Some("europe-west1-b".into()),
            instance_id: Some("4711".into()),
            part: None,
        }),
        addresses: vec!["10.0.0.5".parse().unwrap(), "2001:db8::5".parse().unwrap()],
        environment: vec![
            "PATH=/usr/bin:/bin".into(),
            Text::from(format!("API_TOKEN=***{text}").as_str()),
            "BARE".into(),
        ],
    }
}

fn container(text: &str) -> Container {
    Container {
        runtime: ContainerRuntime::Containerd,
        id: "0123456789abcdef".repeat(4),
        name: Some(format!("web{text}")),
        image: Some(format!("registry.example/shop/web:1.2{text}")),
    }
}

/// All that the sensor can know.
pub(super) fn known(mut incident: Snapshot) -> Report {
    incident.shell.container = Some(container(""));
    Report {
        context: context(""),
        ..report(&incident)
    }
}

/// The largest report that there can be, all of whose text is `filling` over and over.
pub(crate) fn largest(filling: &[u8]) -> Report {
    let huge = Text::from(filling.repeat(4096).as_slice());
    // The kernel keeps no more of it.
    let comm = Text::from(&huge.0[..15]);
    let long = String::from_utf8_lossy(&huge.0).into_owned();
    let socket = socket(Direction::Outbound);
    let mut incident = incident_with_commands(&socket);
    let chain = relays::chain();
    let mut relay = chain.relays[0].clone();
    relay.comm = comm.clone();
    relay.path = Some(huge.clone());
    incident.relays = vec![relay.clone(); 10];
    incident.input_route = chain.input_route.clone();
    incident.output_route = chain.output_route.clone();
    for route in [&mut incident.input_route, &mut incident.output_route]
        .into_iter()
        .flatten()
    {
        route.hops = vec![relay.clone(); 5];
    }
    let shell = &mut incident.shell;
    shell.argv = vec![huge.clone(); 3];
    shell.comm = comm.clone();
    shell.executable.path = Some(huge.clone());
    shell.script = Some(huge.clone());
    shell.cwd = Some(huge.clone());
    shell.cgroup.leaf = huge.clone();
    shell.cgroup.parent = huge.clone();
    shell.container = Some(container(&long));
    let mut above = shell.ancestors[0].clone();
    above.argv = vec![huge.clone()];
    above.path = Some(huge.clone());
    above.comm = comm.clone();
    shell.ancestors = vec![above; 8];
    for command in &mut incident.commands {
        command.argv = vec![Text::from(&huge.0[..512])];
        command.comm = comm.clone();
        command.executable.path = Some(huge.clone());
        command.script = Some(huge.clone());
    }
    incident.evidence.push_str(&long);
    let mut context = context(&long);
    context.addresses = vec!["2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap(); 4096];
    context.environment = vec![Text::from(format!("V={long}").as_str()); 64];
    if let Some(posture) = &mut context.posture {
        posture.capabilities = vec![long.clone(); 200];
        posture.host_namespaces = vec![long.clone(); 200];
    }
    Report {
        context,
        ..report(&incident)
    }
}

pub(super) fn incident_with_commands(socket: &crate::model::Socket) -> Snapshot {
    let mut execs = vec![exec(4321, &["bash", "-i"], on(socket, [true; 3]))];
    execs.extend((0..40).map(|at| exec(4400 + at, &["id"], on(socket, [true; 3]))));
    super::incident_of(execs, false)
}

/// One of every kind, each known in full and not at all.
pub(super) fn every_kind() -> Vec<Report> {
    let outbound = socket(Direction::Outbound);
    let mut incidents = vec![
        reverse_shell(),
        incident_with_commands(&outbound),
        super::ended(),
        super::incident_of(vec![exec(4321, &["python3"], on(&outbound, [true; 3]))], false),
        super::incident_of(
            vec![exec(4321, &["bash"], on(&socket(Direction::Inbound), [true; 3]))],
            false,
        ),
        super::incident_of(
            vec![exec(4321, &["bash"], on(&socket(Direction::Unknown), [true; 3]))],
            false,
        ),
        relays::chain(),
        relays::downloaded(),
        relays::terminal(Delivery::Unwatched),
        relays::popped(Severity::Low),
    ];
    for transport in [Transport::Udp, Transport::Sctp, Transport::Dccp, Transport::Other(200)] {
        let mut incident = reverse_shell();
        incident.sockets[0].transport = transport;
        incidents.push(incident);
    }
    let mut vsock = reverse_shell();
    vsock.sockets[0].transport = Transport::Vsock;
    vsock.sockets[0].local = Endpoint::Vsock { cid: 3, port: 1 };
    vsock.sockets[0].remote = Endpoint::Vsock {
        cid: 2,
        port: 4_000_000_000,
    };
    let mut six = reverse_shell();
    six.sockets[0].local = Endpoint::Ip("[::1]:51234".parse().unwrap());
    six.sockets[0].remote = Endpoint::Ip("[::1]:4444".parse().unwrap());
    let mut nameless = reverse_shell();
    nameless.shell.executable.path = None;
    nameless.shell.ancestors.clear();
    nameless.shell.argv.clear();
    nameless.sockets.clear();
    let mut hostile = reverse_shell();
    for argument in [HOSTILE, b"", b"$'x'", "\u{202e}\u{2028}é".as_bytes()] {
        hostile.shell.argv.push(Text::from(argument));
    }
    hostile.shell.comm = Text::from(HOSTILE);
    hostile.shell.executable.path = Some(Text::from(HOSTILE));
    hostile.shell.cwd = Some(Text::from(HOSTILE));
    incidents.extend([vsock, six, nameless, hostile]);
    let mut closed = report(&super::ended());
    closed.closed = Some(Closed {
        unix_ns: 1_795_000_100_000_000_000,
        reason: Some("a drill".into()),
    });
    incidents
        .iter()
        .map(report)
        .chain(incidents.iter().cloned().map(known))
        .chain([closed])
        .collect()
}
