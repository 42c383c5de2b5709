//! The outside world as the engine sees it on a live machine: answers the engine's questions by way of the source's [`Probe`], and
//! hands the engine's requests to its [`Control`].
//!
//! All open files are listed at most once for each observation, however many questions follow from it: a list takes milliseconds.

use std::{
    cell::{Cell, RefCell},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use tracing::{debug, warn};

use crate::{
    detect::{Delivery, Inspector, Request, wire},
    model::{BootTime, Flow, Holder, OpenFiles, Owner, ProcessId, Stream, Text},
    procfs::{arguments, executable, is_alive},
    programs::Identities,
    sources::{Control, Mark, Probe},
};

/// Most processes that one question is answered with: nobody has more at the other end of a pipe, unless to be in the way.
const HOLDERS_MAX: usize = 64;
/// Most descriptors of a process that an answer has.
const DESCRIPTORS_MAX: usize = 512;

/// Answers the engine.
pub(super) struct LiveInspector<S> {
    /// The source's numbers of processes are those of `/proc`.
    process_numbers: bool,
    pub(super) source: RefCell<S>,
    /// Remembers files.
    pub(super) identities: RefCell<Identities>,
    /// What was open when the observation came that is being judged.
    open_files: RefCell<Option<OpenFiles>>,
    /// A denied request was already warned of.
    warned: Cell<bool>,
}

impl<S: Probe + Control> LiveInspector<S> {
    pub(super) fn new(source: S, process_numbers: bool) -> Self {
        Self {
            process_numbers,
            source: RefCell::new(source),
            identities: RefCell::default(),
            open_files: RefCell::default(),
            warned: Cell::new(false),
        }
    }

    /// Forgets which files were open: to be called before each observation.
    pub(super) fn turn(&self) {
        self.open_files.take();
    }

    /// Hands the engine's requests to the source. Returns those that the source denied.
    pub(super) fn request(&self, requests: Vec<Request>) -> Vec<Request> {
        let mut source = self.source.borrow_mut();
        let mut denied = Vec::new();
        for request in requests {
            let granted = match request {
                Request::Follow(process) => source.mark(process, Mark::Session, true),
                Request::Unfollow(process) => source.mark(process, Mark::Session, false),
                Request::ReportConnects(process) => source.mark(process, Mark::Neighbour, true),
                Request::Watch(flow) => source.watch(flow),
                Request::Unwatch(flow) => {
                    source.unwatch(flow);
                    Ok(())
                }
            };
            if let Err(error) = granted {
                denied.push(request);
                if self.warned.replace(true) {
                    debug!("{request:?} was denied: {error}");
                } else {
                    warn!("{error}; further denied requests are shown with -v only");
                }
            }
        }
        denied
    }

    fn holder(&self, owner: &Owner) -> Holder {
        let process = owner.process;
        // Under other numbers the path would be another process's.
        let path = self.process_numbers.then(|| executable(process.pid)).flatten();
        let argv = if self.process_numbers {
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

impl<S: Probe + Control> Inspector for LiveInspector<S> {
    fn holds_socket(&self, process: ProcessId, inode: u64) -> bool {
        self.source.borrow().holds_socket(process, inode)
    }

    fn is_alive(&self, process: ProcessId) -> bool {
        self.source.borrow().is_alive(process)
    }

    fn opposite(&self, stream: &Stream) -> Vec<Holder> {
        let mut known = self.open_files.borrow_mut();
        let files = known.get_or_insert_with(|| self.source.borrow_mut().open_files());
        files
            .opposite(stream)
            .take(HOLDERS_MAX)
            .map(|owner| self.holder(&owner))
            .collect()
    }

    fn delivered(&self, flow: Flow, since: BootTime, texts: &[Text]) -> Delivery {
        let Some(delivered) = self.source.borrow().delivered(flow) else {
            return Delivery::Unwatched;
        };
        let packets = delivered.iter().filter(|(time, _)| *time > since);
        wire::examine(packets.map(|(_, bytes)| bytes.as_slice()), texts)
    }
}
