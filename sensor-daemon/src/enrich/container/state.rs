//! What the runtimes' state files tell of a container: name, image, pod. Best effort: a file that is not there or makes no sense
//! tells nothing.

use std::{collections::HashMap, fs, fs::File, io::Read as _, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

use super::{cgroup::is_uid, podman};
use crate::model::{ContainerRuntime, Pod};

/// Largest state file that is read. Podman has one for all containers.
pub(in crate::enrich) const STATE_MAX: u64 = 16 << 20;
/// Most entries of kubelet's log directory that are looked at.
const LOGS_MAX: usize = 16_384;

/// Names of annotations and labels: Kubernetes' own, those of containerd, of CRI-O, of nerdctl.
const CONTAINER_NAMES: &[&str] = &[
    "io.kubernetes.cri.container-name",
    "io.kubernetes.container.name",
    "nerdctl/name",
];
const IMAGES: &[&str] = &[
    "io.kubernetes.cri.image-name",
    "io.kubernetes.cri-o.ImageName",
    "nerdctl/image",
];
const POD_NAMES: &[&str] = &["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"];
const POD_NAMESPACES: &[&str] = &["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"];
const POD_UIDS: &[&str] = &["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"];

/// What a state file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::enrich) struct Known {
    pub(in crate::enrich) name: Option<String>,
    pub(in crate::enrich) image: Option<String>,
    pub(super) pod: Pod,
}

/// What the files below `root` say.
pub(super) fn look_up(root: &Path, runtime: ContainerRuntime, id: &str) -> Known {
    match runtime {
        ContainerRuntime::Docker => docker(root, id),
        ContainerRuntime::Podman | ContainerRuntime::Crio => podman(root, id),
        ContainerRuntime::Containerd => containerd(root, id),
        ContainerRuntime::Ecs => None,
        ContainerRuntime::Nspawn => Some(Known {
            name: Some(id.to_owned()),
            ..Known::default()
        }),
        ContainerRuntime::Unknown => docker(root, id)
            .or_else(|| containerd(root, id))
            .or_else(|| podman(root, id)),
    }
    .unwrap_or_default()
}

fn docker(root: &Path, id: &str) -> Option<Known> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct State {
        name: Option<String>,
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        image: Option<String>,
        labels: Option<HashMap<String, String>>,
    }
    let state: State = json(&root.join("var/lib/docker/containers").join(id).join("config.v2.json"))?;
    let name = state.name.map(|name| name.trim_start_matches('/').to_owned());
    let (image, labels) = state
        .config
        .map(|config| (config.image, config.labels))
        .unwrap_or_default();
    Some(Known {
        name,
        image,
        pod: pod(&mut labels.unwrap_or_default()),
    })
}

fn podman(root: &Path, id: &str) -> Option<Known> {
    podman::by_default(&|path| bytes(&root.join(path)), id)
}

/// The annotations that Kubernetes' part of containerd gives to the runtime.
fn containerd(root: &Path, id: &str) -> Option<Known> {
    let tasks = root.join("run/containerd/io.containerd.runtime.v2.task");
    ["k8s.io", "default", "moby"].iter().find_map(|namespace| {
        let mut annotations = annotations(&bytes(&tasks.join(namespace).join(id).join("config.json"))?)?;
        Some(known(&mut annotations))
    })
}

/// Of a container's configuration in the shape of the Open Container Initiative.
pub(super) fn annotations(text: &[u8]) -> Option<HashMap<String, String>> {
    #[derive(Deserialize)]
    struct State {
        #[serde(default)]
        annotations: HashMap<String, String>,
    }
    let state: State = serde_json::from_slice(text).ok()?;
    Some(state.annotations)
}

pub(super) fn known(annotations: &mut HashMap<String, String>) -> Known {
    Known {
        name: take(annotations, CONTAINER_NAMES),
        image: take(annotations, IMAGES),
        pod: pod(annotations),
    }
}

fn pod(annotations: &mut HashMap<String, String>) -> Pod {
    Pod {
        uid: take(annotations, POD_UIDS),
        name: take(annotations, POD_NAMES),
        namespace: take(annotations, POD_NAMESPACES),
    }
}

fn take(annotations: &mut HashMap<String, String>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| annotations.remove(*name))
}

/// Name and namespace of a pod by kubelet's directories of logs, `/var/log/pods/NAMESPACE_NAME_UID`. Neither namespaces nor names
/// of pods can hold a `_`.
pub(super) fn pod_by_logs(root: &Path, uid: &str) -> Option<Pod> {
    let entries = fs::read_dir(root.join("var/log/pods")).ok()?;
    entries.flatten().take(LOGS_MAX).find_map(|entry| {
        let name = entry.file_name();
        let (rest, of) = name.to_str()?.rsplit_once('_')?;
        let (namespace, name) = rest.split_once('_')?;
        (of == uid).then(|| Pod {
            uid: Some(uid.to_owned()),
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
        })
    })
}

/// Container and pod by kubelet's links to logs, `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`, which lead into the pod's
/// directory.
pub(super) fn by_log_link(root: &Path, id: &str) -> Option<Known> {
    let entries = fs::read_dir(root.join("var/log/containers")).ok()?;
    let suffix = format!("-{id}.log");
    entries.flatten().take(LOGS_MAX).find_map(|entry| {
        let file = entry.file_name();
        let mut parts = file.to_str()?.strip_suffix(&suffix)?.splitn(3, '_');
        let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
        let uid = fs::read_link(entry.path()).ok().and_then(|target| {
            let directory = target.components().rev().nth(2)?.as_os_str().to_str()?;
            let (_, uid) = directory.rsplit_once('_')?;
            is_uid(uid).then(|| uid.to_owned())
        });
        Some(Known {
            name: Some(container.to_owned()),
            image: None,
            pod: Pod {
                uid,
                name: Some(pod.to_owned()),
                namespace: Some(namespace.to_owned()),
            },
        })
    })
}

/// Reads a file, if it is there and makes sense.
fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&bytes(path)?).ok()
}

fn bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    File::open(path).ok()?.take(STATE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
