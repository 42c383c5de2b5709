//! All that can be found out about the process at the centre of a finding, while it lives, and about its place: one [`Context`]. Reads
//! `/proc` and files, may take long, and runs on the enricher's thread only.

use super::{
    account::{self, Names},
    container::Containers,
    environment, host, posture,
};
use crate::{
    model::{Container, Context, Exec},
    procfs::{Mounts, Root, UidMap, is_alive, namespace, text},
    programs::Digests,
};

/// Looks around; remembers what files hold.
pub(super) struct Surroundings {
    digests: Digests,
    containers: Containers,
    /// Process ids mean the same here as in the kernel's records.
    host_processes: bool,
    environment: bool,
    /// The mount namespace of the sensor.
    own_mounts: Option<u64>,
}

impl Surroundings {
    pub(super) fn new(host_processes: bool, environment: bool) -> Self {
        Self {
            digests: Digests::default(),
            containers: Containers::default(),
            host_processes,
            environment,
            own_mounts: namespace(std::process::id(), "mnt"),
        }
    }

    /// What is known of the process of this exec, and its container if the kernel's record does not tell it.
    pub(super) fn of(&mut self, exec: &Exec) -> (Context, Option<Container>) {
        let lives = self.host_processes && is_alive(exec.process);
        if lives {
            let found = self.through(exec, Some(exec.process.pid), Some(exec.process.pid));
            // Asked last: what was read before belongs to it if it is alive now.
            if is_alive(exec.process) {
                return found;
            }
        }
        // One above it in the same namespaces tells of most of what a process can't change for itself.
        let above = exec.ancestors.iter().map(|ancestor| ancestor.process);
        let witness = above
            .filter(|_| self.host_processes)
            .find(|process| shares_namespaces(process.pid, exec) && is_alive(*process));
        let found = self.through(exec, None, witness.map(|process| process.pid));
        if witness.is_none_or(is_alive) {
            return found;
        }
        self.through(exec, None, None)
    }

    /// `itself`: the process, if it lives. `witness`: it, or one that shares its namespaces.
    fn through(&mut self, exec: &Exec, itself: Option<u32>, witness: Option<u32>) -> (Context, Option<Container>) {
        // What ends first is read first.
        let environment = itself
            .filter(|_| self.environment)
            .map(environment::of)
            .unwrap_or_default();
        let ours = self.own_mounts == Some(u64::from(exec.namespaces.mnt));
        let place = witness.or_else(|| ours.then(std::process::id));
        let mounts = place.and_then(Mounts::of);
        let root = place.and_then(|pid| Root::of(pid, mounts.clone()).ok());
        let posture = posture::of(
            exec.credentials.capabilities,
            &exec.namespaces,
            witness,
            mounts.as_ref(),
            self.host_processes,
        );
        let names = match &root {
            _ if ours => Names::Host,
            Some(root) => Names::Container {
                root,
                map: witness
                    .and_then(|pid| text(&format!("/proc/{pid}/uid_map")))
                    .map(|text| UidMap::parse(&text)),
            },
            None => Names::Unknown,
        };
        let mut account = account::of(exec.credentials.uid, witness, &names);
        if let (None, Some(account)) = (itself, &mut account) {
            // The terminal is the witness's own.
            account.tty = None;
        }
        let paths = witness.and_then(|pid| text(&format!("/proc/{pid}/cgroup")));
        let (container, pod) = self.containers.place(&exec.cgroup, paths.as_deref());
        let file = self
            .digests
            .of(&exec.executable, itself, root.as_ref(), mounts.as_ref());
        let context = Context {
            account,
            file,
            posture: Some(posture),
            pod,
            cloud: None,
            addresses: host::addresses(),
            environment,
        };
        (context, container)
    }
}

fn shares_namespaces(pid: u32, exec: &Exec) -> bool {
    let namespaces = &exec.namespaces;
    [
        ("mnt", namespaces.mnt),
        ("pid", namespaces.pid),
        ("user", namespaces.user),
    ]
    .into_iter()
    .all(|(name, number)| namespace(pid, name) == Some(u64::from(number)))
}
