//! The programs of the kernel side: what each is attached to, and what is lost without it.

use sensor_common::stage::Stage;

/// A program that the sensor can't do without. All of them are for BTF tracepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramSpec {
    /// Its function's name.
    pub name: &'static str,
    /// The tracepoint that it is for.
    pub tracepoint: &'static str,
    /// What it is good for, as the end of "without it …".
    pub without: &'static str,
    /// Its place among the stages of an exec, which are called as tails. A program without one is attached.
    pub(super) stage: Option<Stage>,
}

/// All of them, in the order of loading. Ends are followed before beginnings are seen, so that no end is missed.
pub const PROGRAMS: [ProgramSpec; 7] = [
    ProgramSpec {
        name: "socket_state",
        tracepoint: "inet_sock_set_state",
        without: "nothing tells which connections this host opened and which it accepted",
        stage: None,
    },
    ProgramSpec {
        name: "process_exit",
        tracepoint: "sched_process_exit",
        without: "the end of a takeover is not seen",
        stage: None,
    },
    ProgramSpec {
        name: "exec_piped",
        tracepoint: "sched_process_exec",
        without: "relays are not seen through",
        stage: Some(Stage::ConsiderPiped),
    },
    ProgramSpec {
        name: "exec_process",
        tracepoint: "sched_process_exec",
        without: "no exec can be described",
        stage: Some(Stage::DescribeProcess),
    },
    ProgramSpec {
        name: "exec_held",
        tracepoint: "sched_process_exec",
        without: "no exec can be described",
        stage: Some(Stage::DescribeHeld),
    },
    ProgramSpec {
        name: "exec_program",
        tracepoint: "sched_process_exec",
        without: "no exec can be described",
        stage: Some(Stage::DescribeProgram),
    },
    ProgramSpec {
        name: "exec_streams",
        tracepoint: "sched_process_exec",
        without: "nothing is seen at all",
        stage: None,
    },
];

/// A program that the sensor can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalSpec {
    /// Its function's name.
    pub name: &'static str,
    /// What it is good for, as the end of "without it …".
    pub without: &'static str,
}

/// The iterator over open files.
pub(super) const OPEN_FILES: OptionalSpec = OptionalSpec {
    name: "open_files",
    without: "who holds the other end of a shell's pipe is looked up in /proc, which takes longer",
};

/// Samples what watched connections deliver.
pub const WIRE: OptionalSpec = OptionalSpec {
    name: "wire",
    without: "commands that a program receives and runs by itself count as LOW, since nothing shows that they were received",
};

/// Reports that a process makes an open file one of its standard streams.
pub const STREAM_MOVED: OptionalSpec = OptionalSpec {
    name: "stream_moved",
    without: "a running program that puts a connection on its own streams is seen when it runs a command, else by a look at \
              all processes every five seconds, up to a minute where that takes long",
};

/// All of them.
pub const OPTIONAL: [OptionalSpec; 3] = [OPEN_FILES, WIRE, STREAM_MOVED];

/// What the iterator goes over.
pub(super) const ITERATOR: &str = "task_file";
/// The kernel's function that [`STREAM_MOVED`] is attached to.
pub(super) const DUPLICATE: &str = "do_dup2";
