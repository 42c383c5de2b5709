//! Processes that connect. Such a process is marked, so that what it executes is looked at. It is reported if it may relay
//! for a piped shell, or if the connection is one of its own standard streams. A process that makes a connection one of its
//! standard streams later is reported as well.

use sensor_common::record::{KIND_CONNECT, KIND_MOVED, StreamRecord, process_mark, stream_kind};

use crate::{
    kernel::{Current, File, Sock},
    maps, recent, streams,
};

/// The current process sends the first packet of a connection.
#[inline(always)]
pub fn began(sock: Sock) {
    recent::invalidate();
    let current = Current::get();
    let (tgid, start_ns) = (current.tgid(), current.start_ns());
    let mut relays = maps::marks(tgid, start_ns) & process_mark::NEIGHBOUR != 0;
    let mut moved = false;
    if let Ok([stdin, stdout, stderr]) = current.standard_streams() {
        relays = relays || is_suspect(stdin) || (stdout != stdin && is_suspect(stdout));
        moved = is_socket(stdin, sock) || is_socket(stdout, sock) || is_socket(stderr, sock);
    }
    maps::mark(tgid, start_ns, process_mark::CONNECTED);
    if relays {
        maps::send_process(KIND_CONNECT, tgid, start_ns);
    }
    if moved {
        maps::send_process(KIND_MOVED, tgid, start_ns);
    }
}

/// The current process makes `file` its descriptor number `fd`.
#[inline(always)]
pub fn duplicated(file: File, fd: u32) {
    if fd <= 2 && streams::is_connected(file) {
        let current = Current::get();
        maps::send_process(KIND_MOVED, current.tgid(), current.start_ns());
    }
}

#[inline(always)]
fn is_socket(file: File, sock: Sock) -> bool {
    file.0 != 0
        && streams::is_piped(file.file_type())
        && matches!(file.socket(), Ok(Some(own)) if own.address() == sock.address())
}

/// Whether this file, or its other end, is a stream of a piped shell as well.
#[inline(always)]
fn is_suspect(file: File) -> bool {
    if file.0 == 0 || !streams::is_piped(file.file_type()) {
        return false;
    }
    let mut stream = StreamRecord::EMPTY;
    streams::describe(file, &mut stream).is_ok()
        && matches!(stream.kind, stream_kind::PIPE | stream_kind::FIFO | stream_kind::UNIX)
        && maps::is_suspect(stream.inode)
}
