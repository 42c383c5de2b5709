//! A web server for one request.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use sensor_tests::{deadline::deadline, peer::V4};

/// Serves `body` to the first client. Gives the port, and the request line once that is done.
pub fn serve(body: &'static str) -> Result<(u16, JoinHandle<Result<String>>)> {
    let listener = TcpListener::bind((V4, 0))?;
    set_socket_timeout(&listener, Timeout::Recv, Some(deadline()))?;
    let port = listener.local_addr()?.port();
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().context("no client came")?;
        client.set_read_timeout(Some(deadline()))?;
        let mut lines = BufReader::new(client.try_clone()?).lines();
        let request = lines.next().context("no request")??;
        for line in lines {
            if line?.is_empty() {
                break;
            }
        }
        write!(
            client,
            "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        Ok(request)
    });
    Ok((port, server))
}
