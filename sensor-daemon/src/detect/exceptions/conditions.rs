//! What an exception demands, and whether it is so.

use std::{fmt, ops::RangeInclusive};

use ipnet::IpNet;

use super::glob::Glob;
use crate::model::{Container, Direction, Endpoint, Exec, Socket, Text};

/// The first user namespace's inode number (`PROC_USER_INIT_INO` in include/linux/proc_ns.h).
const INITIAL_USER_NAMESPACE: u32 = 0xEFFF_FFFD;

/// What an exception is matched with.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The exec that is evidence.
    pub exec: &'a Exec,
    /// Executables of the processes that carry the streams between the program and the network, nearest first. Only those
    /// of the stream that the takeover is judged by, the input if it is carried: a shell that reads from `nc` is not
    /// sshd's because its standard error is still the terminal of a login.
    pub relays: &'a [Text],
    /// The sockets that the takeover goes through.
    pub sockets: &'a [Socket],
    /// Who opened the connection.
    pub direction: Direction,
    /// The container that the program runs in.
    pub container: Option<&'a Container>,
}

/// What has to hold, all of it. An empty list demands nothing; of the entries of a list, any will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// The executed file.
    pub binary: Vec<Glob>,
    /// The script that an interpreter runs.
    pub script: Vec<Glob>,
    /// The parent's executable.
    pub parent: Vec<Glob>,
    /// The executable of any process above.
    pub ancestor: Vec<Glob>,
    /// The executable of any process that carries the streams.
    pub relay: Vec<Glob>,
    /// Networks of the peer, of every socket's.
    pub peer: Vec<IpNet>,
    /// Ports, of every socket: the peer's if this host connected, this host's if it accepted.
    pub port: Vec<RangeInclusive<u16>>,
    /// Users, the real and the effective one.
    pub user: Vec<User>,
    /// The container.
    pub container: Option<ContainerCondition>,
    /// The container's image.
    pub image: Vec<Glob>,
    /// Who opened the connection.
    pub direction: Vec<Direction>,
}

/// A user, as written and as the kernel knows him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// His number.
    pub uid: u32,
    /// His name, if that is what was written.
    pub name: Option<String>,
}

/// What an exception demands of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerCondition {
    /// That there is one, or that there is none.
    Is(bool),
    /// That it is one of these.
    Named(Vec<ContainerName>),
}

/// Which container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerName {
    /// The one whose id begins so.
    Id(String),
    /// Those with such a name.
    Name(Glob),
}

impl Conditions {
    /// Whether all of them hold.
    pub(super) fn hold(&self, subject: &Subject<'_>) -> bool {
        let exec = subject.exec;
        let ancestor = |globs: &[Glob], count: usize| {
            let mut paths = exec.ancestors.iter().take(count).map(|ancestor| ancestor.path.as_ref());
            globs.is_empty() || paths.any(|path| path_matches(globs, path))
        };
        (self.direction.is_empty() || self.direction.contains(&subject.direction))
            && self.user_holds(exec)
            && self.container_holds(subject.container)
            && (self.binary.is_empty() || path_matches(&self.binary, binary(exec)))
            && (self.script.is_empty() || path_matches(&self.script, exec.script.as_ref()))
            && ancestor(&self.parent, 1)
            && ancestor(&self.ancestor, usize::MAX)
            && (self.relay.is_empty() || subject.relays.iter().any(|path| path_matches(&self.relay, Some(path))))
            && self.sockets_hold(subject)
            && (!self.names_own_files() || self.paths_are_the_hosts(subject))
    }

    fn user_holds(&self, exec: &Exec) -> bool {
        let listed = |uid| self.user.iter().any(|user| user.uid == uid);
        self.user.is_empty() || (listed(exec.credentials.uid) && listed(exec.credentials.euid))
    }

    fn container_holds(&self, container: Option<&Container>) -> bool {
        let named = match &self.container {
            None => true,
            Some(ContainerCondition::Is(wanted)) => container.is_some() == *wanted,
            Some(ContainerCondition::Named(names)) => {
                container.is_some_and(|container| names.iter().any(|name| name.is(container)))
            }
        };
        let image = container.and_then(|container| container.image.as_ref());
        named && (self.image.is_empty() || image.is_some_and(|image| any(&self.image, image.as_bytes())))
    }

    /// One peer that is fine must not hide another one, so all of them have to be.
    fn sockets_hold(&self, subject: &Subject<'_>) -> bool {
        if self.peer.is_empty() && self.port.is_empty() {
            return true;
        }
        let peer = |socket: &Socket| match socket.remote {
            Endpoint::Ip(address) => self.peer.iter().any(|network| network.contains(&address.ip())),
            Endpoint::Vsock { .. } => false,
        };
        let port = |socket: &Socket| {
            let end = match subject.direction {
                Direction::Outbound => socket.remote,
                Direction::Inbound => socket.local,
                Direction::Unknown => return false,
            };
            let port = match end {
                Endpoint::Ip(address) => Some(address.port()),
                Endpoint::Vsock { port, .. } => u16::try_from(port).ok(),
            };
            port.is_some_and(|port| self.port.iter().any(|range| range.contains(&port)))
        };
        !subject.sockets.is_empty()
            && subject
                .sockets
                .iter()
                .all(|socket| (self.peer.is_empty() || peer(socket)) && (self.port.is_empty() || port(socket)))
    }

    fn names_own_files(&self) -> bool {
        [&self.binary, &self.script, &self.parent, &self.ancestor]
            .iter()
            .any(|globs| !globs.is_empty())
    }

    /// In a user namespace of its own anybody can mount any file at any path. Who names the container knows what can be
    /// there; otherwise paths tell nothing.
    fn paths_are_the_hosts(&self, subject: &Subject<'_>) -> bool {
        let names_container = matches!(self.container, Some(ContainerCondition::Named(_))) || !self.image.is_empty();
        names_container || matches!(subject.exec.namespaces.user, INITIAL_USER_NAMESPACE | 0)
    }

    /// Whether anything is demanded that does not hold for just about everything.
    #[must_use]
    pub fn narrow(&self) -> bool {
        let paths = [
            &self.binary,
            &self.script,
            &self.parent,
            &self.ancestor,
            &self.relay,
            &self.image,
        ];
        paths.iter().any(|globs| !globs.is_empty())
            || !self.user.is_empty()
            || matches!(self.container, Some(ContainerCondition::Named(_)))
            || (!self.peer.is_empty() && !covers_a_whole_family(&self.peer))
            || (!self.port.is_empty() && !covers_every_port(&self.port))
    }

    /// Each condition: the field's name, and its values as text.
    #[must_use]
    pub fn describe(&self) -> Vec<(&'static str, Vec<String>)> {
        let container = match &self.container {
            None => vec![],
            Some(ContainerCondition::Is(wanted)) => vec![wanted.to_string()],
            Some(ContainerCondition::Named(names)) => texts(names),
        };
        let port = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let direction = |direction: &Direction| match direction {
            Direction::Outbound => "outbound".to_owned(),
            Direction::Inbound => "inbound".to_owned(),
            Direction::Unknown => "unknown".to_owned(),
        };
        let mut all = vec![
            ("binary", texts(&self.binary)),
            ("script", texts(&self.script)),
            ("parent", texts(&self.parent)),
            ("ancestor", texts(&self.ancestor)),
            ("relay", texts(&self.relay)),
            ("peer", texts(&self.peer)),
            ("port", self.port.iter().map(port).collect()),
            ("user", texts(&self.user)),
            ("container", container),
            ("image", texts(&self.image)),
            ("direction", self.direction.iter().map(direction).collect()),
        ];
        all.retain(|(_, values)| !values.is_empty());
        all
    }
}

impl ContainerName {
    fn is(&self, container: &Container) -> bool {
        match self {
            Self::Id(prefix) => container.id.starts_with(prefix.as_str()),
            Self::Name(glob) => container
                .name
                .as_ref()
                .is_some_and(|name| glob.matches(name.as_bytes())),
        }
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(prefix) => f.write_str(prefix),
            Self::Name(glob) => glob.fmt(f),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.uid),
            None => self.uid.fmt(f),
        }
    }
}

fn texts<T: fmt::Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// The executed file's path, if it is one: a memfd's name is whatever its maker likes, and a path that begins in the middle
/// may begin anywhere.
fn binary(exec: &Exec) -> Option<&Text> {
    let file = &exec.executable;
    file.path.as_ref().filter(|_| !file.memfd && !file.path_truncated)
}

/// Whether it is an absolute path that is where it says (`/opt/good/../../tmp/evil` is not), and one of these.
fn path_matches(globs: &[Glob], path: Option<&Text>) -> bool {
    let Some(path) = path.map(Text::as_bytes) else {
        return false;
    };
    let plain = path.starts_with(b"/") && path.split(|&byte| byte == b'/').all(|component| component != b"..");
    plain && any(globs, path)
}

fn any(globs: &[Glob], value: &[u8]) -> bool {
    globs.iter().any(|glob| glob.matches(value))
}

/// All of IPv4, or all of IPv6, is everything that most hosts ever talk to.
fn covers_a_whole_family(networks: &[IpNet]) -> bool {
    let networks = IpNet::aggregate(&networks.to_vec());
    networks.iter().any(|network| network.prefix_len() == 0)
}

fn covers_every_port(ranges: &[RangeInclusive<u16>]) -> bool {
    let mut ranges: Vec<_> = ranges.iter().map(|range| (*range.start(), *range.end())).collect();
    ranges.sort_unstable();
    let mut covered = 0;
    for (first, last) in ranges {
        if first > covered + 1 {
            return false;
        }
        if last == u16::MAX {
            return true;
        }
        covered = covered.max(last);
    }
    false
}
