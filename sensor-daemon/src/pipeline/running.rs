//! Takeovers that no exec tells of: those that were under way before the sensor, and programs that put a connection on
//! their own streams. Yields the execs that the kernel side would have reported, as far as `/proc` still knows.

use crate::{
    model::{Ancestor, BootTime, Exec, OpenFiles, Owner, Socket, Stream},
    procfs::{arguments, describe, executable},
    programs::Identities,
};

/// Which running processes are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// Those with a connection among their standard streams.
    Sockets,
    /// Those with standard input from a pipe or terminal as well.
    SocketsAndPipes,
}

/// Describes the processes of interest among those that have something open, as if they had just been executed. Best effort:
/// a process that goes away meanwhile is left out.
pub(super) fn find(files: &OpenFiles, interest: Interest, now: BootTime, identities: &mut Identities) -> Vec<Exec> {
    let mut found: Vec<_> = files
        .owners()
        .filter(|owner| owner.process.pid != std::process::id() && is_of_interest(owner, interest, identities))
        .collect::<Vec<_>>()
        .iter()
        .filter_map(|owner| {
            let mut exec = describe(owner, files.of_pid(owner.parent).as_ref(), now)?;
            for ancestor in &mut exec.ancestors {
                let Ancestor {
                    process,
                    path,
                    comm,
                    argv,
                    ..
                } = ancestor;
                ancestor.program = identities.of_process(process.pid, path.as_ref(), comm, argv);
            }
            (exec.program, _) = identities.of_exec(&exec);
            Some(exec)
        })
        .collect();
    // Shells before their commands, as they came.
    found.sort_by_key(|exec| (exec.process.start, exec.process.pid));
    found
}

fn is_of_interest(owner: &Owner, interest: Interest, identities: &mut Identities) -> bool {
    let mut streams = owner.descriptors.iter().filter(|descriptor| descriptor.fd <= 2);
    let is_connection = |stream: &Stream| stream.socket().is_some_and(Socket::has_peer);
    if streams.clone().any(|descriptor| is_connection(&descriptor.stream)) {
        return true;
    }
    let piped = streams.any(|descriptor| descriptor.fd == 0 && descriptor.stream.has_other_end());
    if interest == Interest::Sockets || !piped {
        return false;
    }
    // Most of a machine's processes have a pipe or a terminal; few of them read commands from it.
    let pid = owner.process.pid;
    let path = executable(pid);
    let program = identities.of_process(pid, path.as_ref(), &owner.comm, &arguments(pid));
    program.executes_text()
}
