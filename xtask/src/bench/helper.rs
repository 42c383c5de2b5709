//! What measurements start as processes of their own: `cargo xtask bench-helper`. Each ends when its connection or its
//! standard input does, so that nothing is left whatever becomes of the measurement.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    time::{ClockId, clock_gettime},
};

/// A part to play.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Part {
    /// Carry a shell's pipes to the connection that standard input and output are
    RelayPipes,
    /// Carry a shell's terminal there
    RelayTerminal,
    /// Connect to a port and run what comes from there, line by line
    Loop {
        /// On loopback
        port: u16,
    },
    /// Have many children that do nothing
    Crowd {
        /// How many
        size: usize,
    },
}

/// Plays it.
pub(crate) fn play(part: Part) -> Result<()> {
    match part {
        Part::RelayPipes => relay_pipes(),
        Part::RelayTerminal => relay_terminal(),
        Part::Loop { port } => command_loop(port),
        Part::Crowd { size } => crowd(size),
    }
}

/// A moment that other processes understand.
pub(super) fn nanoseconds() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    (time.tv_sec * 1_000_000_000 + time.tv_nsec).cast_unsigned()
}

/// Starts a shell, and tells on standard error when.
fn shell(input: Stdio, output: Stdio) -> Result<Child> {
    let start = nanoseconds();
    let shell = Command::new("/bin/sh")
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .context("/bin/sh can't be started")?;
    eprintln!("{start}");
    Ok(shell)
}

fn relay_pipes() -> Result<()> {
    let mut shell = shell(Stdio::piped(), Stdio::piped())?;
    let (input, output) = (shell.stdin.take(), shell.stdout.take());
    let (Some(input), Some(output)) = (input, output) else {
        bail!("a shell without pipes");
    };
    pump(OwnedFd::from(input).into(), OwnedFd::from(output).into());
    shell.wait().context("waiting for /bin/sh")?;
    Ok(())
}

fn relay_terminal() -> Result<()> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("a pseudo-terminal")?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?.into_string()?;
    let slave = File::options().read(true).write(true).open(&name).context(name)?;
    let mut shell = shell(slave.try_clone()?.into(), slave.into())?;
    let mut answers = File::from(master.try_clone()?);
    // Ends with the terminal, which ends with the shell.
    thread::spawn(move || io::copy(&mut answers, &mut io::stdout()));
    let mut master = File::from(master);
    // A terminal stays open as long as anybody here reads from it; its end-of-file character does as well.
    io::copy(&mut io::stdin(), &mut master).ok();
    master.write_all(&[4])?;
    shell.wait().context("waiting for /bin/sh")?;
    Ok(())
}

/// Both ways between the standard streams and a shell, until the input ends.
fn pump(mut to_shell: File, mut from_shell: File) {
    thread::spawn(move || io::copy(&mut from_shell, &mut io::stdout()));
    // Whoever ends first ends the shell by the drop.
    io::copy(&mut io::stdin(), &mut to_shell).ok();
}

fn command_loop(port: u16) -> Result<()> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting on loopback")?;
    for line in BufReader::new(connection.try_clone()?).lines() {
        let answer = Command::new("/bin/sh")
            .args(["-c", &line?])
            .stdin(Stdio::null())
            .output()
            .context("/bin/sh can't be started")?;
        connection.write_all(&answer.stdout)?;
    }
    Ok(())
}

/// Each child has a pipe and a pair of UNIX sockets to itself, as a small service may.
fn crowd(size: usize) -> Result<()> {
    let mut children = Vec::with_capacity(size);
    let mut made = Ok(());
    for _ in 0..size {
        // SAFETY: this process has one thread, so that its child may do anything.
        match unsafe { libc::fork() } {
            0 => idle(),
            child if child > 0 => children.push(child),
            _ => {
                made = Err(io::Error::last_os_error());
                break;
            }
        }
    }
    if made.is_ok() {
        println!("{}", children.len());
        // Until whoever wanted the crowd closes it, or is gone.
        io::stdin().read_to_end(&mut Vec::new()).ok();
    }
    for &child in &children {
        // SAFETY: a child of ours that was not waited for yet, so the number is still its own.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }
    for child in children {
        // SAFETY: a null pointer asks for no status.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
    made.context("the crowd can't be made")
}

/// Does nothing until the parent ends it or is gone.
fn idle() -> ! {
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let _pipe = io::pipe();
    let _pair = UnixStream::pair();
    loop {
        thread::park();
    }
}
