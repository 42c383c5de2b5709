//! Records as the kernel side writes them, whole, cut and damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use sensor_common::record::FileKey;
use zerocopy::{FromZeros, IntoBytes};

use super::*;

fn sample() -> Vec<u8> {
    let mut record = ExecRecord::new_zeroed();
    record.header = RecordHeader {
        kind: KIND_EXEC,
        cpu: 1,
        time_ns: 7_000,
    };
    record.tgid = 42;
    record.start_ns = 35_000_000;
    record.comm[..2].copy_from_slice(b"sh");
    record.flags = exec_flag::SCRIPT;
    record.streams[0] = StreamRecord {
        kind: stream_kind::INET6,
        inode: 99,
        protocol: 6,
        local_port: 1000,
        remote_port: 4444,
        state: 1,
        direction: direction::OUTBOUND,
        bytes_received: 3,
        remote_addr: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7],
        parent_fds: [0, 0, 0, 1 << 4],
        ..StreamRecord::new_zeroed()
    };
    record.exe_key = FileKey {
        inode: 5,
        size: 4096,
        changed: 1_700_000_000,
        device: 8,
        reserved: 0,
    };
    (record.exe_inode, record.exe_dev, record.exe_uid) = (5, 8, 33);
    let connection = StreamRecord {
        kind: stream_kind::INET,
        inode: 100,
        protocol: 17,
        state: 1,
        remote_addr: [203, 0, 113, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        remote_port: 53,
        parent_fds: [1 << 7, 0, 0, 0],
        ..StreamRecord::new_zeroed()
    };
    let pipe = StreamRecord {
        kind: stream_kind::PIPE,
        ..StreamRecord::new_zeroed()
    };
    let held = [connection.as_bytes(), pipe.as_bytes()].concat();
    record.ancestors[0].tgid = 41;
    let parts: [(&mut u32, &[u8]); 7] = [
        (&mut record.path_len, b"dash\0bin\0usr\0"),
        (&mut record.cwd_len, b"a b\0tmp\0"),
        (&mut record.argv_len, b"/bin/sh\0./x.sh\0\0last\xff\0"),
        (&mut record.script_len, b"./x.sh\0"),
        (&mut record.cgroup_len, b"docker-0.scope\0"),
        (&mut record.cgroup_parent_len, b"system.slice\0"),
        (&mut record.held_len, &held),
    ];
    let mut tail = Vec::new();
    for (length, part) in parts {
        *length = part.len() as u32;
        tail.extend_from_slice(part);
    }
    [record.as_bytes(), &tail].concat()
}

#[test]
fn an_exec_record_is_read_field_by_field() {
    let Observation::Exec(exec) = decode(&sample()).unwrap() else {
        panic!("not an exec")
    };
    assert_eq!(
        exec.process,
        ProcessId {
            pid: 42,
            start: BootTime(30_000_000)
        }
    );
    assert_eq!(exec.executable.path, Some("/usr/bin/dash".into()));
    assert_eq!(exec.cwd, Some("/tmp/a b".into()));
    assert_eq!(exec.script, Some("/tmp/a b/x.sh".into()));
    assert_eq!(
        exec.argv,
        [
            "/bin/sh".into(),
            "./x.sh".into(),
            "".into(),
            Text::from(&b"last\xff"[..])
        ]
    );
    assert_eq!(
        (exec.cgroup.leaf, exec.cgroup.parent),
        ("docker-0.scope".into(), "system.slice".into())
    );
    assert_eq!(exec.ancestors.len(), 1);
    let socket = exec.streams[0].socket().unwrap();
    assert_eq!(
        socket.remote,
        Endpoint::Ip("203.0.113.7:4444".parse().unwrap()),
        "IPv4-mapped becomes IPv4"
    );
    assert_eq!(
        (socket.direction, socket.state),
        (Direction::Outbound, SocketState::Connected)
    );
    assert_eq!((socket.parent_fd, socket.bytes_received), (Some(196), Some(3)));
    assert_eq!(exec.streams[1], Stream::Closed);
    let file = &exec.executable;
    assert_eq!((file.inode, file.device, file.owner), (5, 8, 33));
    assert_eq!((file.size, file.changed), (4096, 1_700_000_000));
    let [held] = exec.held.as_slice() else {
        panic!("one connection is held: {:?}", exec.held);
    };
    assert_eq!(
        (held.inode, held.transport, held.parent_fd),
        (100, Transport::Udp, Some(7))
    );
    assert_eq!(held.remote, Endpoint::Ip("203.0.113.7:53".parse().unwrap()));
}

#[test]
fn truncation_at_every_byte_is_an_error_not_a_panic() {
    let record = sample();
    for length in 0..record.len() {
        assert!(
            matches!(decode(&record[..length]), Err(DecodeError::Short(_))),
            "{length} bytes"
        );
    }
}

#[test]
fn damage_at_every_byte_is_survived() {
    let record = sample();
    for position in 0..record.len() {
        for value in [0, 0x7f, 0xff] {
            let mut damaged = record.clone();
            damaged[position] = value;
            let _ = decode(&damaged);
        }
    }
    assert_eq!(
        decode(&u32::MAX.to_ne_bytes().repeat(8)),
        Err(DecodeError::Kind(u32::MAX))
    );
}

#[test]
fn the_root_directory_and_a_root_working_directory_are_paths() {
    assert_eq!(join(b""), "/".into());
    assert_eq!(absolute(b"x", Some(&"/".into())), "/x".into());
    assert_eq!(absolute(b"/x", Some(&"/tmp".into())), "/x".into());
    assert_eq!(absolute(b"x", None), "x".into());
}

fn header(kind: u32) -> RecordHeader {
    RecordHeader {
        kind,
        cpu: 1,
        time_ns: 7_000,
    }
}

/// One record of every kind but an exec, and what it is.
fn short_records() -> Vec<(Vec<u8>, Observation)> {
    let time = BootTime(7_000);
    let process = ProcessId {
        pid: 42,
        start: BootTime(30_000_000),
    };
    let exit = ExitRecord {
        header: header(KIND_EXIT),
        start_ns: 35_000_000,
        tgid: 42,
        status: 9,
    };
    let close = SocketCloseRecord {
        header: header(KIND_SOCKET_CLOSE),
        inode: 99,
    };
    let connect = ProcessRecord {
        header: header(KIND_CONNECT),
        start_ns: 35_000_000,
        tgid: 42,
        reserved: 0,
    };
    vec![
        (
            exit.as_bytes().to_vec(),
            Observation::Exit(Exit {
                time,
                process,
                status: 9,
            }),
        ),
        (
            close.as_bytes().to_vec(),
            Observation::SocketClosed(SocketClosed { time, inode: 99 }),
        ),
        (connect.as_bytes().to_vec(), Observation::Connect(Act { time, process })),
    ]
}

#[test]
fn short_records_are_read_whole_cut_and_damaged() {
    for (record, expected) in short_records() {
        assert_eq!(decode(&record).unwrap(), expected);
        for length in 0..record.len() {
            assert_eq!(
                decode(&record[..length]),
                Err(DecodeError::Short(length)),
                "{length} bytes of {expected:?}"
            );
        }
        for position in 0..record.len() {
            let mut damaged = record.clone();
            damaged[position] ^= 0xff;
            // Only its kind can make it unreadable.
            assert!(decode(&damaged).is_ok() || position < size_of::<u32>(), "{position}");
        }
        // The ring buffer rounds up.
        assert_eq!(decode(&[&record[..], &[0xff; 7]].concat()).unwrap(), expected);
    }
}

#[test]
fn every_kind_of_stream() {
    let record = |kind| StreamRecord {
        kind,
        inode: 5,
        peer_inode: 6,
        fs_dev: 25,
        rdev: 136 << 20,
        ..StreamRecord::new_zeroed()
    };
    for (kind, expected) in [
        (stream_kind::CLOSED, Stream::Closed),
        (
            stream_kind::UNIX,
            Stream::Unix {
                inode: 5,
                peer: Some(6),
            },
        ),
        (stream_kind::OTHER_SOCKET, Stream::OtherSocket { inode: 5 }),
        (stream_kind::PIPE, Stream::Pipe { inode: 5 }),
        (stream_kind::FIFO, Stream::Fifo { inode: 5, fs: 25 }),
        (
            stream_kind::TERMINAL,
            Stream::Terminal {
                device: 136 << 20,
                inode: 5,
                fs: 25,
            },
        ),
        (
            stream_kind::TERMINAL_MASTER,
            Stream::TerminalMaster { slave: 6, fs: 25 },
        ),
        (stream_kind::FILE, Stream::File { inode: 5 }),
        (stream_kind::OTHER, Stream::Other),
        (u32::MAX, Stream::Other),
    ] {
        assert_eq!(stream(&record(kind)), expected, "{kind}");
    }
    let alone = StreamRecord {
        peer_inode: 0,
        ..record(stream_kind::UNIX)
    };
    assert_eq!(stream(&alone), Stream::Unix { inode: 5, peer: None });
}

#[test]
fn who_opened_a_conversation_over_udp() {
    for (port_bound, direction, expected) in [
        (1, direction::UNKNOWN, Direction::Inbound),
        (0, direction::UNKNOWN, Direction::Outbound),
        (0, direction::INBOUND, Direction::Outbound),
    ] {
        let record = StreamRecord {
            kind: stream_kind::INET,
            protocol: 17,
            port_bound,
            direction,
            ..StreamRecord::new_zeroed()
        };
        assert_eq!(socket(&record).direction, expected);
    }
}
