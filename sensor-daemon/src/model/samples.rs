//! Plain examples of what is observed, which tests change where it matters to them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{
    Ancestor, BootTime, Cgroup, Credentials, Direction, Endpoint, Exec, Executable, Namespaces, ProcessId, Program,
    ProgramKind, Socket, SocketState, Stream, Text, Transport,
};

/// A process that started when its number says.
pub(crate) fn process(pid: u32) -> ProcessId {
    ProcessId {
        pid,
        start: BootTime(u64::from(pid)),
    }
}

/// What a program of this name is.
pub(crate) fn program(name: &str) -> Program {
    let kind = match name {
        "sh" | "bash" | "dash" | "zsh" | "ksh" | "mksh" | "fish" | "tcsh" | "busybox" => ProgramKind::Shell,
        _ if [
            "python", "perl", "ruby", "php", "lua", "node", "tclsh", "expect", "deno", "awk", "gawk", "pwsh", "erl",
            "irb", "iex", "ipython", "julia",
        ]
        .iter()
        .any(|language| name.starts_with(language)) =>
        {
            ProgramKind::Interpreter
        }
        "nc" | "ncat" | "socat" | "telnet" => ProgramKind::Relay,
        _ => ProgramKind::Other,
    };
    Program {
        kind,
        name: name.into(),
    }
}

/// A connected TCP socket, outbound, on which something was sent and received.
pub(crate) fn socket() -> Socket {
    Socket {
        inode: 777,
        cookie: None,
        netns: 4_026_531_840,
        transport: Transport::Tcp,
        state: SocketState::Connected,
        direction: Direction::Outbound,
        local: Endpoint::Ip("10.0.0.5:51234".parse().unwrap()),
        remote: Endpoint::Ip("203.0.113.7:4444".parse().unwrap()),
        bytes_received: Some(3),
        bytes_sent: Some(5),
        parent_fd: None,
    }
}

/// Root's process, of a program in `/usr/bin`.
pub(crate) fn ancestor(pid: u32, name: &str, argv: &[&str]) -> Ancestor {
    Ancestor {
        process: process(pid),
        uid: 0,
        comm: name.into(),
        path: Some(path(name)),
        argv: texts(argv),
        program: program(name),
    }
}

/// Root executes a program in `/usr/bin` by its name, with streams that lead nowhere and nobody above.
pub(crate) fn exec(pid: u32, argv: &[&str]) -> Exec {
    let name = argv[0];
    Exec {
        time: BootTime(u64::from(pid)),
        process: process(pid),
        comm: name.into(),
        credentials: Credentials::default(),
        executable: Executable {
            path: Some(path(name)),
            ..Executable::default()
        },
        program: program(name),
        script: None,
        cwd: Some("/".into()),
        argv: texts(argv),
        argv_truncated: false,
        cgroup: Cgroup::default(),
        namespaces: Namespaces::default(),
        streams: [const { Stream::Other }; 3],
        held: Vec::new(),
        container: None,
        running: false,
        ancestors: Vec::new(),
    }
}

fn path(name: &str) -> Text {
    Text::from(format!("/usr/bin/{name}").as_str())
}

fn texts(words: &[&str]) -> Vec<Text> {
    words.iter().map(|&word| word.into()).collect()
}
