//! A small language for who has what open. A stream: `p6` a pipe, `f6` a FIFO, `s3` a terminal, `m3` its master, `u5-6` a UNIX
//! socket and its peer (`u5-` has none), `g6` and `n3` a FIFO and a master of another file system, `c7` the connection
//! that a test is about, `l7` one to this host itself, `i7` one that was accepted, `d7` a socket without a peer, `x` anything
//! else. A process: `12 nc 0r=p6 1w=p7 3=c8`, open for reading, for writing, for both; processes are separated by `;`.

use super::build::{process, program, socket};
use crate::model::{Descriptor, Direction, Endpoint, Holder, Socket, SocketState, Stream, Text};

pub(super) fn stream(word: &str, connection: &Socket) -> Stream {
    let (kind, numbers) = word.split_at(1);
    let (inode, peer) = numbers.split_once('-').unwrap_or((numbers, ""));
    let inode = inode.parse().unwrap_or_default();
    let other = |change: fn(&mut Socket)| {
        let mut other = socket(inode);
        change(&mut other);
        Stream::Socket(other)
    };
    match kind {
        "p" => Stream::Pipe { inode },
        "f" => Stream::Fifo { inode, fs: 25 },
        "g" => Stream::Fifo { inode, fs: 26 },
        "s" => Stream::Terminal {
            device: 136 << 20,
            inode,
            fs: 25,
        },
        "m" => Stream::TerminalMaster { slave: inode, fs: 25 },
        "n" => Stream::TerminalMaster { slave: inode, fs: 26 },
        "u" => Stream::Unix {
            inode,
            peer: peer.parse().ok(),
        },
        "c" => Stream::Socket(Socket {
            inode,
            ..connection.clone()
        }),
        "l" => other(|socket| socket.remote = Endpoint::Ip("127.0.0.1:8080".parse().unwrap())),
        "i" => other(|socket| {
            socket.direction = Direction::Inbound;
            socket.remote = Endpoint::Ip("198.51.100.9:50000".parse().unwrap());
        }),
        "d" => other(|socket| socket.state = SocketState::Listening),
        "x" => Stream::Other,
        _ => panic!("unknown stream {word}"),
    }
}

/// stdin, stdout, stderr.
pub(super) fn streams(words: &str, connection: &Socket) -> [Stream; 3] {
    let mut words = words.split(' ').map(|word| stream(word, connection));
    [(); 3].map(|()| words.next().unwrap_or(Stream::Other))
}

pub(super) fn holders(spec: &str, connection: &Socket) -> Vec<Holder> {
    let processes = spec.split(';').map(str::trim).filter(|process| !process.is_empty());
    processes.map(|process| holder(process, connection)).collect()
}

fn holder(spec: &str, connection: &Socket) -> Holder {
    let mut words = spec.split(' ');
    let pid = words.next().unwrap().parse().unwrap();
    let name = words.next().unwrap();
    let descriptors = words.map(|word| {
        let (fd, word) = word.split_once('=').unwrap();
        let number = fd.trim_end_matches(['r', 'w']);
        Descriptor {
            fd: number.parse().unwrap(),
            stream: stream(word, connection),
            read: !fd.ends_with('w'),
            write: !fd.ends_with('r'),
        }
    });
    Holder {
        process: process(pid),
        parent: 1,
        comm: name.into(),
        path: Some(Text::from(format!("/usr/bin/{name}").as_str())),
        host_path: true,
        program: program(name),
        descriptors: descriptors.collect(),
    }
}
