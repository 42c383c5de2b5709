//! Who connects: remembered, so that what it executes is looked at; and reported if it may relay for a piped shell.

use sensor_common::record::{process_mark, stream_kind};

use crate::{
    exec::EMPTY_STREAM,
    kernel::{Current, File},
    maps, streams,
};

/// The current process sent its first packet to somebody.
#[inline(always)]
pub fn began() {
    let current = Current::get();
    let (tgid, start_ns) = (current.tgid(), current.start_ns());
    let relays = maps::marks(tgid, start_ns) & process_mark::NEIGHBOUR != 0
        || current
            .standard_streams()
            .is_ok_and(|[stdin, stdout, _]| is_suspect(stdin) || (stdout != stdin && is_suspect(stdout)));
    maps::mark(tgid, start_ns, process_mark::CONNECTED);
    if relays {
        maps::send_connect(tgid, start_ns);
    }
}

/// Whether it is a stream of a piped shell too, or its other end.
#[inline(always)]
fn is_suspect(file: File) -> bool {
    if file.0 == 0 || !streams::is_piped(file.file_type()) {
        return false;
    }
    let mut stream = EMPTY_STREAM;
    streams::describe(file, &mut stream).is_ok()
        && matches!(stream.kind, stream_kind::PIPE | stream_kind::FIFO | stream_kind::UNIX)
        && maps::is_suspect(stream.inode)
}
