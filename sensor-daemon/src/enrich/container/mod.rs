//! The container of a process: its id and runtime from the names of its control group, its name, image and pod from the state
//! that the runtimes and kubelet keep in files. No runtime is asked: a sensor needs no right to start containers.

mod cgroup;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
};

use self::state::Known;
use crate::model::{Cgroup, Container, Pod};

/// Most containers remembered.
const CONTAINERS_MAX: usize = 1024;

/// Tells which container a process is in; remembers those it has looked up.
#[derive(Debug)]
pub struct Containers {
    root: PathBuf,
    known: HashMap<String, Container>,
    /// In the order in which they came.
    order: VecDeque<String>,
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
        }
    }

    /// The container that this control group belongs to, if it is one's.
    pub fn of(&mut self, cgroup: &Cgroup) -> Option<Container> {
        let (runtime, id) = cgroup::of_record(cgroup)?;
        if let Some(known) = self.known.get(&id) {
            return Some(known.clone());
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
        Some(container)
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
                fill(&mut known.pod, logged.pod);
            }
            Container {
                runtime,
                id,
                name: known.name.take(),
                image: known.image.take(),
            }
        });
        let mut pod = Pod { uid, ..Pod::default() };
        fill(&mut pod, known.pod);
        if let (Some(uid), None) = (&pod.uid, &pod.name) {
            let logged = state::pod_by_logs(&self.root, uid).unwrap_or_default();
            fill(&mut pod, logged);
        }
        (container, Some(pod).filter(|pod| *pod != Pod::default()))
    }

    /// Whether this control group is a pod's.
    #[must_use]
    pub fn is_pod(cgroup: &Cgroup) -> bool {
        cgroup::pod_of_record(cgroup).is_some()
    }
}

/// Takes what is missing from `other`.
fn fill(pod: &mut Pod, other: Pod) {
    pod.uid = pod.uid.take().or(other.uid);
    pod.name = pod.name.take().or(other.name);
    pod.namespace = pod.namespace.take().or(other.namespace);
}
