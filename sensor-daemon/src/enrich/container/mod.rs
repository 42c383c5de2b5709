//! The container of a process: its id and runtime from the names of its control group, its name, image and pod from the state
//! that the runtimes and kubelet keep in files. No runtime is asked: a sensor needs no right to start containers.

mod cgroup;
mod known;
mod podman;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
};

use self::known::Known;
use crate::{
    model::{Cgroup, Container, ContainerRuntime, Exec, Pod, ProcessId},
    procfs::{is_alive, namespace, text},
};

/// Most containers remembered.
const CONTAINERS_MAX: usize = 1024;

/// Tells which container a process is in; remembers those it has looked up.
#[derive(Debug)]
pub struct Containers {
    root: PathBuf,
    known: HashMap<String, Container>,
    /// In the order in which they came.
    order: VecDeque<String>,
    /// The host's mount namespace, if processes of others are looked at.
    host_mounts: Option<u64>,
}

impl Default for Containers {
    fn default() -> Self {
        Self::under(PathBuf::from("/"))
    }
}

impl Containers {
    /// Looks for the runtimes' state below `root`.
    #[must_use]
    pub fn under(root: PathBuf) -> Self {
        Self {
            root,
            known: HashMap::new(),
            order: VecDeque::new(),
            host_mounts: None,
        }
    }

    /// Looks at processes too, where their record does not tell of a container.
    #[must_use]
    pub fn live() -> Self {
        let host_mounts = namespace(1, "mnt").or_else(|| namespace(std::process::id(), "mnt"));
        Self {
            host_mounts,
            ..Self::default()
        }
    }

    /// The container that the process of this exec is in.
    pub fn of_exec(&mut self, exec: &Exec) -> Option<Container> {
        self.of(&exec.cgroup).or_else(|| {
            // The record has two names of one hierarchy. A container may be known by others only: by another hierarchy, or
            // further up, where systemd runs inside. It has its own mounts, so that the files of most processes are not read.
            let mounts = u64::from(exec.namespaces.mnt);
            self.host_mounts.filter(|host| *host != mounts && mounts != 0)?;
            let (runtime, id) = by_processes(exec, |process| {
                // Of one that is gone, those above it in the same place tell.
                let same = process == exec.process || namespace(process.pid, "mnt") == Some(mounts);
                let paths = same.then(|| text(&format!("/proc/{}/cgroup", process.pid)))??;
                is_alive(process).then_some(paths)
            })?;
            Some(self.remembered(runtime, id))
        })
    }

    /// The container that this control group belongs to, if it is one's.
    pub fn of(&mut self, cgroup: &Cgroup) -> Option<Container> {
        let (runtime, id) = cgroup::of_record(cgroup)?;
        Some(self.remembered(runtime, id))
    }

    fn remembered(&mut self, runtime: ContainerRuntime, id: String) -> Container {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let Known { name, image, .. } = state::look_up(&self.root, runtime, &id);
        let container = Container {
            runtime,
            id: id.clone(),
            name,
            image,
        };
        if self.order.len() >= CONTAINERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.known.insert(id, container.clone());
        container
    }

    /// The container and the pod of a process, all that can be found out: from the kernel's record of its control group, from
    /// the text of its `/proc/PID/cgroup` where it still lives, from all state files. Takes its time.
    #[must_use]
    pub fn place(&self, cgroup: &Cgroup, paths: Option<&str>) -> (Option<Container>, Option<Pod>) {
        let (by_path, pod_by_path) = paths.map(cgroup::of_paths).unwrap_or_default();
        let uid = cgroup::pod_of_record(cgroup).or(pod_by_path);
        let mut known = Known::default();
        let container = cgroup::of_record(cgroup).or(by_path).map(|(runtime, id)| {
            known = state::look_up(&self.root, runtime, &id);
            if known.name.is_none() || known.pod.name.is_none() {
                let logged = state::by_log_link(&self.root, &id).unwrap_or_default();
                known.name = known.name.take().or(logged.name);
                known.pod.fill(logged.pod);
            }
            Container {
                runtime,
                id,
                name: known.name.take(),
                image: known.image.take(),
            }
        });
        let mut pod = Pod { uid, ..Pod::default() };
        pod.fill(known.pod);
        if let (Some(uid), None) = (&pod.uid, &pod.name) {
            let logged = state::pod_by_logs(&self.root, uid).unwrap_or_default();
            pod.fill(logged);
        }
        (container, Some(pod).filter(|pod| *pod != Pod::default()))
    }

    /// Whether this control group is a pod's.
    #[must_use]
    pub fn is_pod(cgroup: &Cgroup) -> bool {
        cgroup::pod_of_record(cgroup).is_some()
    }
}

/// What the paths of control groups tell of the first process that has some: the exec's own, or one above it.
fn by_processes(exec: &Exec, paths: impl Fn(ProcessId) -> Option<String>) -> Option<(ContainerRuntime, String)> {
    let above = exec.ancestors.iter().map(|ancestor| ancestor.process);
    let paths = std::iter::once(exec.process).chain(above).find_map(paths)?;
    cgroup::of_paths(&paths).0
}
