//! What the state files of Docker and containerd and kubelet's logs tell of a container, and which files are asked for which
//! runtime.

use std::{collections::HashMap, fs, path::Path};

use serde::Deserialize;

use super::{
    cgroup::is_uid,
    known::{Known, annotations, json, pod},
    podman,
};
use crate::model::{ContainerRuntime, Pod};

/// Most entries of kubelet's log directory that are looked at.
const LOGS_MAX: usize = 16_384;

/// What the files below `root` say.
pub(super) fn look_up(root: &Path, runtime: ContainerRuntime, id: &str) -> Known {
    match runtime {
        ContainerRuntime::Docker => docker(root, id),
        ContainerRuntime::Podman | ContainerRuntime::Crio => podman::look_up(root, id),
        ContainerRuntime::Containerd => containerd(root, id),
        ContainerRuntime::Ecs => None,
        ContainerRuntime::Nspawn => Some(Known {
            name: Some(id.to_owned()),
            ..Known::default()
        }),
        ContainerRuntime::Unknown => docker(root, id)
            .or_else(|| containerd(root, id))
            .or_else(|| podman::look_up(root, id)),
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

/// The annotations that Kubernetes' part of containerd gives to the runtime.
fn containerd(root: &Path, id: &str) -> Option<Known> {
    let tasks = root.join("run/containerd/io.containerd.runtime.v2.task");
    ["k8s.io", "default", "moby"]
        .iter()
        .find_map(|namespace| annotations(&tasks.join(namespace).join(id).join("config.json")))
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
