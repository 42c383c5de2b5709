//! The self-test at start: executes a child with a socket for its streams and demands to see it, with every field as
//! user space knows it to be. Offsets that were resolved but are wrong, a hook that does not fire, a ring buffer that
//! does not arrive: better no sensor than one that is silent. Makes no finding.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _, process::CommandExt as _},
    },
    process::{Child, Command, Stdio},
};

use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket};

use crate::model::{Direction, Endpoint, Exec, Observation, SocketState, Stream, Transport};
use crate::procfs;

/// The name that the child goes by, and its argument.
const ARGV: [&str; 2] = ["sensor-self-test", "--version"];

/// Why the self-test failed.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// It could not be run at all.
    #[error("the self-test could not {0}: {1}")]
    Setup(&'static str, #[source] io::Error),
    /// The exec was not seen in time.
    #[error("the self-test's exec was not seen within {0} seconds: the kernel side is loaded but does not report")]
    Unseen(u64),
    /// It was seen, but not as it was.
    #[error("the self-test's exec was seen wrongly, so the kernel side misreads this kernel: {}", .0.join("; "))]
    Wrong(Vec<String>),
}

/// A running self-test.
pub struct SelfTest {
    socket: OwnedFd,
    inode: u64,
    address: SocketAddr,
    child: Child,
}

impl SelfTest {
    /// Executes the child.
    ///
    /// The socket is a TCP connection to itself (connecting to one's own port is a simultaneous open), so that nothing
    /// listens, not even for a moment.
    ///
    /// # Errors
    /// No loopback connection, or no child.
    pub fn start() -> Result<Self, SelfTestError> {
        let setup = |what| move |error: rustix::io::Errno| SelfTestError::Setup(what, error.into());
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).map_err(setup("open a socket"))?;
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(setup("bind to 127.0.0.1"))?;
        let address: SocketAddr = getsockname(&socket)
            .and_then(|address| address.try_into())
            .map_err(setup("learn its socket's address"))?;
        connect(&socket, &address).map_err(setup("connect over loopback (is the interface lo up?)"))?;

        let io = |what| move |error: io::Error| SelfTestError::Setup(what, error);
        let descriptor = |socket: &OwnedFd| socket.as_fd().try_clone_to_owned();
        let inode = fs::File::from(descriptor(&socket).map_err(io("copy its socket"))?)
            .metadata()
            .map_err(io("look at its socket"))?
            .ino();
        let child = Command::new("/proc/self/exe")
            .arg0(ARGV[0])
            .arg(ARGV[1])
            .stdin(descriptor(&socket).map_err(io("copy its socket"))?)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io("execute its child (is /proc mounted?)"))?;
        Ok(Self {
            socket,
            inode,
            address,
            child,
        })
    }

    /// Whether an observation is of this test, and then whether it is right. Observations of anything else are `None`.
    pub fn judge(&self, observation: &Observation) -> Option<Result<(), SelfTestError>> {
        let Observation::Exec(exec) = observation else {
            return None;
        };
        let ours = exec
            .streams
            .iter()
            .any(|stream| stream.socket().is_some_and(|socket| socket.inode == self.inode));
        ours.then(|| {
            let wrong = self.differences(exec);
            if wrong.is_empty() {
                Ok(())
            } else {
                Err(SelfTestError::Wrong(wrong))
            }
        })
    }

    fn differences(&self, exec: &Exec) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |what: &str, right: bool, seen: &dyn std::fmt::Debug| {
            if !right {
                wrong.push(format!("{what} was read as {seen:?}"));
            }
        };
        let path = fs::read_link("/proc/self/exe").ok();
        let path = path.as_ref().map(|path| path.as_os_str().as_bytes());
        let path = path.map(|path| path.strip_suffix(b" (deleted)").unwrap_or(path));
        let seen = exec.executable.path.as_ref().map(|text| text.as_bytes());
        expect("the executable's path", seen == path, &exec.executable.path);
        let argv: Vec<_> = exec.argv.iter().map(|arg| arg.as_bytes()).collect();
        expect("the argument list", argv == ARGV.map(str::as_bytes), &exec.argv);
        let cwd = std::env::current_dir().ok();
        let seen = exec.cwd.as_ref().map(|text| text.as_bytes());
        expect(
            "the working directory",
            seen == cwd.as_ref().map(|path| path.as_os_str().as_bytes()),
            &exec.cwd,
        );
        let ids = exec.credentials;
        let real = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        expect("the user and group", (ids.uid, ids.gid) == real, &ids);
        let namespace = |name: &str| fs::metadata(format!("/proc/self/ns/{name}")).map_or(0, |metadata| metadata.ino());
        let seen = exec.namespaces;
        let right = [("mnt", seen.mnt), ("net", seen.net), ("user", seen.user)];
        expect(
            "the namespaces",
            right.iter().all(|(name, seen)| namespace(name) == u64::from(*seen)),
            &seen,
        );
        // In a PID namespace of its own the sensor does not know the numbers that the kernel goes by.
        if procfs::sees_host_process_ids().unwrap_or(false) {
            expect("the process id", exec.process.pid == self.child.id(), &exec.process);
            let parent = exec.parent().map(|parent| parent.process.pid);
            expect("the parent", parent == Some(std::process::id()), &parent);
        }
        expect("the output stream", exec.streams[1] == Stream::Other, &exec.streams[1]);
        let here = Endpoint::Ip(self.address);
        let right = exec.streams[0].socket().is_some_and(|socket| {
            (socket.local, socket.remote, socket.transport) == (here, here, Transport::Tcp)
                && (socket.state, socket.direction) == (SocketState::Connected, Direction::Outbound)
                && u64::from(socket.netns) == namespace("net")
                && socket.parent_fd.is_some()
        });
        expect("the socket", right, &exec.streams[0]);
        wrong
    }

    /// Ends it.
    pub fn finish(mut self) {
        drop(self.socket);
        // It prints a line to /dev/null and ends by itself; a child that can't be waited for was reaped by somebody else.
        let _ = self.child.wait();
    }
}
