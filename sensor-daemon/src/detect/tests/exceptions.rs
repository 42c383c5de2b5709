//! Whether exceptions hold for what they name, and for nothing beside it.

use super::build::{Build, socket};
use crate::{
    config,
    detect::exceptions::{Exceptions, Origin, Subject},
    model::{Container, ContainerRuntime, Direction, Endpoint, Exec, Socket, Text},
};

/// What is matched, owned.
#[derive(Clone)]
struct Seen {
    exec: Exec,
    relays: Vec<Text>,
    sockets: Vec<Socket>,
    direction: Direction,
    container: Option<Container>,
}

impl Seen {
    /// `bash -i` on an outbound connection to 203.0.113.7:4444, started by /usr/bin/python3.
    fn shell() -> Self {
        Self {
            exec: Build::new(200, "bash -i").0,
            relays: vec![],
            sockets: vec![socket(1)],
            direction: Direction::Outbound,
            container: None,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn relayed(path: &str, direction: Direction) -> Self {
        Self::shell().with(|seen| {
            seen.relays = vec![path.into()];
            seen.direction = direction;
        })
    }

    fn matched(&self, exceptions: &Exceptions) -> Option<String> {
        let subject = Subject {
            exec: &self.exec,
            relays: &self.relays,
            sockets: &self.sockets,
            direction: self.direction,
            container: self.container.as_ref(),
        };
        exceptions.matching(&subject).map(|exception| exception.id.clone())
    }
}

struct Nobody;

impl config::Users for Nobody {
    fn uid(&self, name: &str) -> Option<u32> {
        (name == "backup").then_some(34)
    }
}

/// Whether an exception with these conditions holds, the built-in ones aside.
fn holds(conditions: &str, seen: &Seen) -> bool {
    let text = format!("[[exception]]\nid = \"x\"\nreason = \"test\"\n{conditions}\n");
    let read = config::parse("test", &text, &Nobody).unwrap_or_else(|problems| panic!("{problems}"));
    let own = read
        .exceptions
        .iter()
        .filter(|exception| exception.origin == Origin::User)
        .cloned();
    seen.matched(&Exceptions::new(own.collect())).is_some()
}

fn container() -> Container {
    Container {
        runtime: ContainerRuntime::Docker,
        id: "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9".into(),
        name: Some("backup-1".into()),
        image: Some("registry.example.com/tools/backup:2".into()),
    }
}

#[test]
fn each_condition_holds_for_what_it_names_only() {
    let seen = Seen::shell().with(|seen| {
        seen.exec.script = Some("/opt/jobs/run.sh".into());
        seen.relays = vec!["/usr/bin/socat".into(), "/usr/sbin/proxy".into()];
        seen.container = Some(container());
        seen.exec.credentials.uid = 34;
        seen.exec.credentials.euid = 34;
    });
    for (condition, expected) in [
        ("binary = '/usr/bin/bash'", true),
        ("binary = ['/usr/bin/zsh', '/usr/bin/b*']", true),
        ("binary = '/bin/bash'", false),
        ("script = '/opt/jobs/*.sh'", true),
        ("script = '/opt/*.sh'", false),
        ("parent = '/usr/bin/python3'", true),
        ("parent = '/usr/bin/systemd'", false),
        ("ancestor = '/usr/bin/systemd'", true),
        ("ancestor = '/usr/bin/sshd'", false),
        ("relay = '/usr/sbin/proxy'", true),
        ("relay = '/usr/bin/bash'", false),
        ("peer = '203.0.113.0/24'", true),
        ("peer = ['10.0.0.0/8', '203.0.113.7']", true),
        ("peer = '10.0.0.0/8'", false),
        ("port = 4444", true),
        ("port = [22, '4000-4999']", true),
        ("port = 40001", false),
        ("user = 'backup'", true),
        ("user = [0, 34]", true),
        ("user = 0", false),
        ("container = '0a1b2c3d4e5f'", true),
        ("container = '1a1b2c3d4e5f'", false),
        ("container = 'backup-*'", true),
        ("container = 'web-*'", false),
        ("image = 'registry.example.com/tools/backup:*'", true),
        ("image = 'backup:*'", false),
        ("port = 4444\ncontainer = true", true),
        ("port = 4444\ncontainer = false", false),
        ("port = 4444\ndirection = 'outbound'", true),
        ("port = 4444\ndirection = 'inbound'", false),
        (
            "binary = '/usr/bin/bash'\nport = 4444\nparent = '/usr/bin/python3'",
            true,
        ),
        (
            "binary = '/usr/bin/bash'\nport = 4445\nparent = '/usr/bin/python3'",
            false,
        ),
    ] {
        assert_eq!(holds(condition, &seen), expected, "{condition}");
    }
}

#[test]
fn what_is_not_known_does_not_hold() {
    let seen = Seen::shell().with(|seen| {
        seen.exec.executable.path = None;
        seen.exec.ancestors.clear();
        seen.direction = Direction::Unknown;
        seen.sockets.clear();
    });
    for condition in [
        "binary = '/**bash'",
        "script = '/**.sh'",
        "parent = '/usr/**'",
        "ancestor = '/usr/**'",
        "relay = '/usr/**'",
        "peer = '203.0.113.7'",
        "port = '1-65000'",
        "container = 'backup-*'",
        "image = '**backup**'",
        "user = 0\ndirection = ['inbound', 'outbound']",
    ] {
        assert!(!holds(condition, &seen), "{condition}");
    }
}

#[test]
fn one_good_peer_does_not_hide_another() {
    let elsewhere = Socket {
        remote: Endpoint::Ip("198.51.100.1:443".parse().unwrap()),
        ..socket(2)
    };
    let vsock = Socket {
        remote: Endpoint::Vsock { cid: 2, port: 4444 },
        ..socket(3)
    };
    let both = Seen::shell().with(|seen| seen.sockets.push(elsewhere));
    assert!(!holds("peer = '203.0.113.0/24'", &both));
    assert!(!holds("port = 4444", &both));
    assert!(holds(
        "peer = ['203.0.113.0/24', '198.51.100.0/24']\nport = [443, 4444]",
        &both
    ));
    let mixed = Seen::shell().with(|seen| seen.sockets.push(vsock));
    assert!(holds("port = 4444", &mixed));
    assert!(
        !holds("peer = '203.0.113.0/24'", &mixed),
        "a virtual machine is in no network"
    );
}

#[test]
fn the_port_is_the_servers() {
    let inbound = Seen::shell().with(|seen| {
        seen.direction = Direction::Inbound;
        seen.sockets[0].local = Endpoint::Ip("[2001:db8::1]:22".parse().unwrap());
        seen.sockets[0].remote = Endpoint::Ip("[2001:db8:1::9]:51000".parse().unwrap());
    });
    assert!(holds("port = 22\npeer = '2001:db8:1::/48'", &inbound));
    assert!(!holds("port = 51000", &inbound));
}

#[test]
fn names_that_an_attacker_chooses_are_seen_through() {
    let path = |path: &[u8]| Seen::shell().with(|seen| seen.exec.executable.path = Some(path.into()));
    assert!(holds("binary = '/opt/good/**'", &path(b"/opt/good/a")));
    assert!(!holds("binary = '/opt/good/**'", &path(b"/opt/good/../../tmp/evil")));
    assert!(!holds("binary = '**/good/*'", &path(b"memfd:/good/a")), "no path");
    assert!(holds("binary = '/opt/caf?'", &path(b"/opt/caf\xe9")));
    assert!(!holds("binary = '/opt/good/?'", &path(b"/opt/good/\n/x")));

    let memfd = path(b"/opt/good/a").with(|seen| seen.exec.executable.memfd = true);
    assert!(!holds("binary = '/opt/good/**'", &memfd));
    let truncated = path(b"/opt/good/a").with(|seen| seen.exec.executable.path_truncated = true);
    assert!(!holds("binary = '/opt/good/**'", &truncated));

    let setuid = Seen::shell().with(|seen| seen.exec.credentials.uid = 34);
    assert!(!holds("user = 'backup'", &setuid), "he has become root");
}

#[test]
fn paths_in_a_user_namespace_of_its_own_prove_nothing() {
    let own = Seen::shell().with(|seen| seen.exec.namespaces.user = 4_026_532_999);
    let host = Seen::shell().with(|seen| seen.exec.namespaces.user = 4_026_531_837);
    for condition in [
        "binary = '/usr/bin/bash'",
        "parent = '/usr/bin/python3'",
        "ancestor = '/usr/bin/systemd'",
    ] {
        assert!(holds(condition, &host), "{condition}");
        assert!(!holds(condition, &own), "{condition}");
    }
    let named = own.with(|seen| seen.container = Some(container()));
    assert!(!holds("binary = '/usr/bin/bash'\ncontainer = true", &named));
    assert!(holds("binary = '/usr/bin/bash'\ncontainer = 'backup-1'", &named));
}

#[test]
fn disabled_exceptions_do_not_match() {
    let login = Seen::relayed("/usr/sbin/sshd", Direction::Inbound);
    let all = config::parse("test", "", &Nobody).unwrap().exceptions;
    assert_eq!(login.matched(&all).as_deref(), Some("openssh"));
    let without = config::parse("test", "disable_exceptions = 'openssh'", &Nobody)
        .unwrap()
        .exceptions;
    assert_eq!(login.matched(&without), None);
}

#[test]
fn built_in_exceptions_match_services_and_not_their_imitations() {
    let all = Exceptions::new(config::built_in().unwrap());
    let inbound = |path| Seen::relayed(path, Direction::Inbound);
    let outbound = |path| Seen::relayed(path, Direction::Outbound);
    let from = |seen: Seen, peer: &str| seen.with(|seen| seen.sockets[0].remote = Endpoint::Ip(peer.parse().unwrap()));
    let inside = |seen: Seen| seen.with(|seen| seen.container = Some(container()));
    let node = "/home/me/.vscode-server/cli/servers/Stable-1/server/node";
    for (seen, expected) in [
        (inbound("/usr/lib/openssh/sshd-session"), Some("openssh")),
        (inbound("/usr/sbin/dropbear"), Some("dropbear")),
        (inbound("/usr/bin/containerd"), Some("container-exec")),
        (inside(inbound("/usr/bin/containerd")), Some("container-exec")),
        (
            from(outbound("/usr/bin/ssm-session-worker"), "203.0.113.7:443"),
            Some("aws-session-manager"),
        ),
        (from(inbound(node), "127.0.0.1:50000"), Some("remote-editors")),
        (
            from(outbound("/usr/bin/xterm"), "127.0.0.1:6010"),
            Some("x11-forwarding"),
        ),
        // Calling out under a server's name.
        (outbound("/usr/sbin/sshd"), None),
        (inside(outbound("/usr/bin/containerd")), None),
        (inside(outbound("/usr/bin/tailscaled")), None),
        // A name, but not the place.
        (inbound("/tmp/usr/sbin/sshd"), None),
        (inbound("/tmp/sshd"), None),
        (from(inbound("/tmp/.vscode-server/a/node"), "127.0.0.1:50000"), None),
        (
            from(inbound("/home/me/../../tmp/.vscode-server/a/node"), "127.0.0.1:50000"),
            None,
        ),
        // From the network, without a tunnel.
        (inbound(node), None),
        (from(outbound("/usr/bin/xterm"), "203.0.113.7:6010"), None),
        // Tools that carry anything for anybody.
        (inbound("/usr/bin/socat"), None),
        (inbound("/usr/bin/python3.11"), None),
        (inbound("/usr/bin/conmon"), None),
        (Seen::shell(), None),
    ] {
        assert_eq!(
            seen.matched(&all).as_deref(),
            expected,
            "{:?} {:?}",
            seen.relays,
            seen.direction
        );
    }
}

#[test]
fn a_login_excuses_nothing_that_is_started_in_it() {
    let all = Exceptions::new(config::built_in().unwrap());
    let inside = Seen::shell().with(|seen| {
        for ancestor in &mut seen.exec.ancestors {
            ancestor.path = Some("/usr/sbin/sshd".into());
        }
    });
    for direction in [Direction::Outbound, Direction::Inbound, Direction::Unknown] {
        let seen = inside.clone().with(|seen| seen.direction = direction);
        assert_eq!(seen.matched(&all), None, "{direction:?}");
    }
}
