//! What a state file tells of a container, and how it is read. Best effort: a file that is not there or makes no sense tells
//! nothing.

use std::{collections::HashMap, fs::File, io::Read as _, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

use crate::model::Pod;

/// Largest state file that is read. Podman has one for all containers.
const STATE_MAX: u64 = 16 << 20;

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
pub(super) struct Known {
    pub(super) name: Option<String>,
    pub(super) image: Option<String>,
    pub(super) pod: Pod,
}

/// What the annotations in a container's configuration say, which has the form of the Open Container Initiative.
pub(super) fn annotations(path: &Path) -> Option<Known> {
    #[derive(Deserialize)]
    struct State {
        #[serde(default)]
        annotations: HashMap<String, String>,
    }
    let mut annotations = json::<State>(path)?.annotations;
    Some(Known {
        name: take(&mut annotations, CONTAINER_NAMES),
        image: take(&mut annotations, IMAGES),
        pod: pod(&mut annotations),
    })
}

/// The pod by annotations or labels.
pub(super) fn pod(annotations: &mut HashMap<String, String>) -> Pod {
    Pod {
        uid: take(annotations, POD_UIDS),
        name: take(annotations, POD_NAMES),
        namespace: take(annotations, POD_NAMESPACES),
    }
}

fn take(annotations: &mut HashMap<String, String>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| annotations.remove(*name))
}

/// Reads a file, if it is there and makes sense.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut bytes = vec![];
    File::open(path).ok()?.take(STATE_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
