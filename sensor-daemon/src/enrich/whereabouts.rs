//! Container and pod of a process, by all that tells of them. What the kernel, the runtimes and kubelet say comes first; then what
//! the container's monitor says on its command line; last what the processes inside were told, which they could have made up. Of
//! those the outermost is asked, which the runtime started. Runs on the enricher's thread only.

use std::{fs::File, io::Read as _, path::Path};

use super::{
    container::{Containers, Monitor, NAMESPACE_FILE, NAMESPACE_MAX, STATE_MAX, Told, namespace_told},
    environment,
};
use crate::{
    model::{Container, ContainerRuntime, Exec, Pod, ProcessId},
    procfs::{Mounts, Root, identify_with_parent, is_alive, namespace, text},
};

/// Most processes above one another that are looked at.
const DEPTH_MAX: usize = 128;
/// Most bytes of a monitor's command line that are read.
const LINE_MAX: u64 = 16 << 10;

/// A process of the container that lives, and what can be read through it.
pub(super) struct Witness<'a> {
    pub(super) pid: u32,
    pub(super) root: Option<&'a Root>,
    /// It shares the host's network.
    pub(super) on_host_network: bool,
}

/// Of the process of this exec.
pub(super) fn of(
    containers: &Containers,
    exec: &Exec,
    witness: Option<&Witness<'_>>,
    host_processes: bool,
) -> (Option<Container>, Option<Pod>) {
    let paths = witness.and_then(|witness| text(&format!("/proc/{}/cgroup", witness.pid)));
    let (mut container, mut pod) = containers.place(&exec.cgroup, paths.as_deref());
    let outermost = witness
        .filter(|_| container.is_some())
        .and_then(|witness| Outermost::of(witness.pid, paths.as_deref()?));
    let above = exec.ancestors.iter().map(|ancestor| ancestor.process);
    if host_processes {
        monitored(
            &mut container,
            exec,
            outermost.and_then(|found| found.above).into_iter().chain(above),
        );
    }
    if container.is_some()
        && let Some(witness) = witness
    {
        let asked = outermost.map_or(witness.pid, |found| found.process.pid);
        tell(&mut pod, asked, witness);
        // Its number may be another's by now.
        if outermost.is_some_and(|found| !is_alive(found.process)) {
            pod = containers.place(&exec.cgroup, paths.as_deref()).1;
        }
    }
    (container, pod)
}

/// The outermost process of a container on the way up from one inside.
#[derive(Clone, Copy)]
struct Outermost {
    process: ProcessId,
    /// Who is above it: the runtime's monitor, or another that entered the container.
    above: Option<ProcessId>,
}

impl Outermost {
    /// `paths`: what `/proc/PID/cgroup` says of it.
    fn of(pid: u32, paths: &str) -> Option<Self> {
        let place = Containers::by_paths(paths);
        // Else everybody would be in the same: in none.
        place.0.as_ref()?;
        let (mut process, mut parent) = identify_with_parent(pid)?;
        for _ in 0..DEPTH_MAX {
            let Some((above, next)) = identify_with_parent(parent) else {
                return Some(Self { process, above: None });
            };
            let same =
                text(&format!("/proc/{parent}/cgroup")).is_some_and(|paths| Containers::by_paths(&paths) == place);
            if !same {
                let above = Some(above);
                return Some(Self { process, above });
            }
            (process, parent) = (above, next);
        }
        None
    }
}

/// Takes what a monitor above says of the container; the container itself, if no control group tells of it, as of those of Podman
/// that have none of their own.
fn monitored(container: &mut Option<Container>, exec: &Exec, above: impl Iterator<Item = ProcessId>) {
    let wanted = container.as_ref().is_none_or(|container| {
        let by_conmon = matches!(
            container.runtime,
            ContainerRuntime::Podman | ContainerRuntime::Crio | ContainerRuntime::Unknown
        );
        by_conmon && (container.name.is_none() || container.image.is_none())
    });
    if !wanted {
        return;
    }
    for process in above {
        let Some(monitor) = monitor(process.pid, exec) else {
            continue;
        };
        if container.as_ref().is_some_and(|container| container.id != monitor.id) {
            continue;
        }
        let mounts = Mounts::of(process.pid);
        // A user's own Podman sees files as its own mount namespace has them.
        let root = Root::of(process.pid, mounts).ok();
        let known = monitor.known(&|path: &Path| root.as_ref()?.read(path, STATE_MAX).ok());
        if !is_alive(process) {
            continue;
        }
        let container = container.get_or_insert_with(|| Container {
            runtime: ContainerRuntime::Podman,
            id: monitor.id.clone(),
            name: None,
            image: None,
        });
        container.name = container.name.take().or(known.name);
        container.image = container.image.take().or(known.image);
        return;
    }
}

/// The monitor that this process is, if it is one and outside of the exec's container.
fn monitor(pid: u32, exec: &Exec) -> Option<Monitor> {
    let monitor = Monitor::parse(&line(pid)?)?;
    (namespace(pid, "mnt")? != u64::from(exec.namespaces.mnt)).then_some(monitor)
}

fn line(pid: u32) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(LINE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Fills in what the processes of a pod were told of it.
fn tell(pod: &mut Option<Pod>, pid: u32, witness: &Witness<'_>) {
    let complete = pod
        .as_ref()
        .is_some_and(|pod| pod.uid.is_some() && pod.name.is_some() && pod.namespace.is_some());
    if complete {
        return;
    }
    let environment = environment::read(pid);
    let told = Told(&environment);
    if pod.is_none() && !told.by_kubernetes() {
        return;
    }
    let mut said = told.pod(witness.on_host_network);
    // Mounted there by kubelet, and harder to make up.
    let file = witness
        .root
        .and_then(|root| root.read(Path::new(NAMESPACE_FILE), NAMESPACE_MAX as u64 + 2).ok());
    said.namespace = file.and_then(|text| namespace_told(&text)).or(said.namespace);
    pod.get_or_insert_default().fill(said);
    *pod = pod.take().filter(|pod| *pod != Pod::default());
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::procfs::identify;

    /// A process that has executed.
    fn sleeping(variables: &[(&str, &str)]) -> Child {
        let child = Command::new("sleep")
            .arg("600")
            .env_clear()
            .envs(variables.iter().copied())
            .spawn()
            .unwrap();
        while !std::fs::read_link(format!("/proc/{}/exe", child.id()))
            .is_ok_and(|path| path != std::env::current_exe().unwrap())
        {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn a_pod_is_completed_by_what_its_process_was_told() {
        let uid = "1f2e3d4c-5b6a-4978-8899-aabbccddeeff";
        let pod = |uid: &str, name: &str, namespace: &str| {
            let [uid, name, namespace] =
                [uid, name, namespace].map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()));
            Some(Pod { uid, name, namespace })
        };
        let server = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        for (variables, before, expected) in [
            (
                &[server, ("HOSTNAME", "web-0")][..],
                pod(uid, "", ""),
                pod(uid, "web-0", ""),
            ),
            (
                &[server, ("POD_NAME", "web-0"), ("POD_UID", uid)],
                None,
                pod(uid, "web-0", ""),
            ),
            // What others know stays.
            (
                &[("POD_NAME", "evil"), ("POD_NAMESPACE", "evil")],
                pod(uid, "web-0", "shop"),
                pod(uid, "web-0", "shop"),
            ),
            (
                &[("POD_NAME", "evil"), ("POD_NAMESPACE", "jobs")],
                pod(uid, "web-0", ""),
                pod(uid, "web-0", "jobs"),
            ),
            // It was not Kubernetes who started it.
            (&[("HOSTNAME", "web-0"), ("POD_NAME", "x")], None, None),
            (&[server], None, None),
        ] {
            let mut child = sleeping(variables);
            let witness = Witness {
                pid: child.id(),
                root: None,
                on_host_network: false,
            };
            let mut found = before.clone();
            tell(&mut found, child.id(), &witness);
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(found, expected, "{variables:?} {before:?}");
        }
    }

    #[test]
    fn who_is_above_in_another_place_is_not_inside() {
        let own = std::process::id();
        // Told that it is in a container that those above it are not in.
        let alone = Outermost::of(own, &format!("0::/docker/{}\n", "a".repeat(64))).unwrap();
        assert_eq!(Some(alone.process), identify(own));
        assert_eq!(
            alone.above,
            identify_with_parent(own).and_then(|(_, parent)| identify(parent))
        );
        // Whoever is in none has nobody above in the same.
        assert!(Outermost::of(own, "0::/system.slice/ssh.service\n").is_none());
        assert!(Outermost::of(u32::MAX, "").is_none());
    }
}
