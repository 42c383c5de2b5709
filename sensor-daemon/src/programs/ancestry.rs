//! The programs of a process's ancestors: path, arguments and identity of each, which the kernel side does not record.

use std::collections::HashMap;

use super::Identities;
use crate::{
    model::{Ancestor, BootTime, ProcessId, Program, Text},
    procfs::{arguments, executable, is_alive},
};

/// Most ancestors remembered; beyond it the cache is emptied.
const CACHE_MAX: usize = 512;
/// How long a remembered ancestor is believed: it may have executed another program meanwhile.
const CACHE_NS: u64 = 1_000_000_000;

/// Fills in what the kernel's record of an ancestor lacks, and remembers it for a second: an interactive shell executes a
/// hundred programs from its start-up files, all with the same ancestors.
#[derive(Default)]
pub struct Ancestry {
    known: HashMap<ProcessId, Known>,
}

struct Known {
    by_content: bool,
    comm: Text,
    until: BootTime,
    path: Option<Text>,
    argv: Vec<Text>,
    program: Program,
}

impl Ancestry {
    /// Fills in path, arguments and identity of those that are still alive.
    pub fn complete(&mut self, ancestors: &mut [Ancestor], now: BootTime, identities: &mut Identities) {
        if self.known.len() > CACHE_MAX {
            self.known.clear();
        }
        for (at, ancestor) in ancestors.iter_mut().enumerate() {
            let process = ancestor.process;
            let known = match self.known.get(&process) {
                // Executing another program changes the name, unless both are called the same.
                Some(known) if known.until > now && known.comm == ancestor.comm && (known.by_content || at > 0) => {
                    known
                }
                _ => {
                    // What it is matters of the parent alone, and a file that has to be searched takes its time.
                    let known = look_up(ancestor, now, identities, at == 0);
                    self.known.insert(process, known);
                    &self.known[&process]
                }
            };
            ancestor.path.clone_from(&known.path);
            ancestor.argv.clone_from(&known.argv);
            ancestor.program.clone_from(&known.program);
        }
    }
}

fn look_up(ancestor: &Ancestor, now: BootTime, identities: &mut Identities, by_content: bool) -> Known {
    let pid = ancestor.process.pid;
    let (path, argv) = (executable(pid), arguments(pid));
    // Asked last: what was read before belongs to it if it is alive now.
    let (path, argv) = if is_alive(ancestor.process) {
        (path, argv)
    } else {
        (None, Vec::new())
    };
    let program = if by_content {
        identities.of_process(pid, path.as_ref(), &ancestor.comm, &argv)
    } else {
        Identities::by_name(path.as_ref(), &ancestor.comm, &argv)
    };
    Known {
        by_content,
        comm: ancestor.comm.clone(),
        until: BootTime(now.0 + CACHE_NS),
        path,
        argv,
        program,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;
    use crate::procfs::identify;

    #[test]
    fn ancestors_that_live_get_their_details_and_gone_ones_get_none() {
        let this = identify(std::process::id()).unwrap();
        let ancestor = |process| Ancestor {
            process,
            uid: 0,
            comm: "x".into(),
            path: None,
            argv: Vec::new(),
            program: Program::default(),
        };
        let gone = ProcessId::from_start_ns(this.pid, this.start.0 + 10_000_000);
        let mut ancestors = [ancestor(this), ancestor(gone)];
        Ancestry::default().complete(&mut ancestors, BootTime(1), &mut Identities::default());
        let own = std::env::current_exe().unwrap();
        assert_eq!(ancestors[0].path, Some(own.as_os_str().as_bytes().into()));
        assert!(!ancestors[0].argv.is_empty());
        assert_eq!((&ancestors[1].path, &ancestors[1].argv), (&None, &Vec::new()));
    }
}
