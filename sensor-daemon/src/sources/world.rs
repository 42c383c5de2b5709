//! The outside world as the engine sees it on a live machine: answers its questions from the kernel side, else from `/proc`,
//! and carries out its wishes.

use std::{
    cell::{Cell, RefCell},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use tracing::{debug, warn};

use super::ebpf::{Programs, tables::Mark};
use crate::{
    detect::{Delivery, Inspector, Request, wire},
    model::{BootTime, Flow, Holder, OpenFiles, Owner, ProcessId, Stream, Text},
    procfs::{self, arguments, executable, holds_socket, is_alive},
    programs::Identities,
};

/// Most processes that one question is answered with: nobody has more at the other end of a pipe, unless to be in the way.
const HOLDERS_MAX: usize = 64;
/// Most descriptors of a process that an answer has.
const DESCRIPTORS_MAX: usize = 512;

/// Answers the engine.
pub struct LiveWorld {
    /// `/proc` shows processes under the numbers that the kernel side reports.
    pub same_process_ids: bool,
    /// The kernel side.
    pub programs: RefCell<Programs>,
    /// Remembers files.
    pub identities: RefCell<Identities>,
    /// What was open when the observation came that is being judged.
    open_files: RefCell<Option<OpenFiles>>,
    /// Failures to list or to sample were already warned of.
    warned: Cell<bool>,
}

impl LiveWorld {
    /// A world that looks through `programs`.
    #[must_use]
    pub fn new(programs: Programs, same_process_ids: bool) -> Self {
        Self {
            same_process_ids,
            programs: RefCell::new(programs),
            identities: RefCell::default(),
            open_files: RefCell::default(),
            warned: Cell::new(false),
        }
    }

    /// What was true a moment ago need not be any more: to be said before each observation.
    pub fn turn(&self) {
        self.open_files.take();
    }

    /// Does what the engine would like.
    pub fn grant(&self, requests: impl IntoIterator<Item = Request>) {
        let mut programs = self.programs.borrow_mut();
        for wish in requests {
            let granted = match wish {
                Request::Follow(process) => programs
                    .mark(process, Mark::Session, true)
                    .map_err(|error| error.to_string()),
                Request::Unfollow(process) => programs
                    .mark(process, Mark::Session, false)
                    .map_err(|error| error.to_string()),
                Request::ReportConnects(process) => programs
                    .mark(process, Mark::Neighbour, true)
                    .map_err(|error| error.to_string()),
                Request::Watch(flow) => programs.watch(flow).map_err(|error| error.to_string()),
                Request::Unwatch(flow) => {
                    programs.unwatch(flow);
                    Ok(())
                }
            };
            if let Err(error) = granted {
                if self.warned.replace(true) {
                    debug!("{wish:?} was not granted: {error}");
                } else {
                    warn!("{error}; further failures of this kind are shown with -v only");
                }
            }
        }
    }

    /// Everything that is open now.
    pub fn list(&self) -> OpenFiles {
        let mut programs = self.programs.borrow_mut();
        if programs.lists_files() {
            match programs.open_files() {
                Ok(files) => return files,
                Err(error) => debug!("{error}; /proc is asked instead"),
            }
        }
        procfs::open_files()
    }

    fn holder(&self, owner: &Owner) -> Holder {
        let process = owner.process;
        // Under another numbering the path would be somebody else's.
        let path = self.same_process_ids.then(|| executable(process.pid)).flatten();
        let argv = if self.same_process_ids {
            arguments(process.pid)
        } else {
            Vec::new()
        };
        let path = path.filter(|_| is_alive(process));
        let program = self
            .identities
            .borrow_mut()
            .of_process(process.pid, path.as_ref(), &owner.comm, &argv);
        Holder {
            process,
            parent: owner.parent,
            comm: owner.comm.clone(),
            host_path: path.as_ref().is_some_and(|path| is_host_file(process.pid, path)),
            path,
            program,
            descriptors: owner.descriptors.iter().take(DESCRIPTORS_MAX).cloned().collect(),
        }
    }
}

/// Whether the path leads to the executed file for the host's first process as well: inside a mount namespace of his own
/// anybody can put his file at any path.
fn is_host_file(pid: u32, path: &Text) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let path = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
    let relative = path.strip_prefix("/").unwrap_or(path);
    let executed = identity(Path::new(&format!("/proc/{pid}/exe")));
    let seen = identity(&Path::new("/proc/1/root").join(relative)).or_else(|| identity(path));
    executed.is_some() && executed == seen
}

impl Inspector for LiveWorld {
    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool {
        !self.same_process_ids || holds_socket(process, inode)
    }

    fn is_alive(&self, process: ProcessId) -> bool {
        !self.same_process_ids || is_alive(process)
    }

    fn opposite(&self, stream: &Stream) -> Vec<Holder> {
        let mut known = self.open_files.borrow_mut();
        let files = known.get_or_insert_with(|| self.list());
        files
            .opposite(stream)
            .take(HOLDERS_MAX)
            .map(|owner| self.holder(&owner))
            .collect()
    }

    fn delivered(&self, flow: Flow, since: BootTime, texts: &[Text]) -> Delivery {
        let Some(delivered) = self.programs.borrow().delivered(flow) else {
            return Delivery::Unwatched;
        };
        let packets = delivered.packets.iter().filter(|(time, _)| *time > since);
        wire::examine(packets.map(|(_, bytes)| bytes.as_slice()), texts)
    }
}
