//! The container of a process: its id and runtime from the names of its control group, its name and image from the state
//! that the runtimes keep in files. No runtime is asked: a sensor needs no right to start containers.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::model::{Cgroup, Container, ContainerRuntime};

/// Most containers remembered.
const CONTAINERS_MAX: usize = 1024;
/// Largest state file that is read. Podman has one for all containers.
const STATE_MAX: u64 = 16 << 20;
/// Digits of a container's id.
const ID_LEN: usize = 64;
/// Digits of an ECS task's id.
const TASK_LEN: usize = 32;

/// Prefixes of control groups that a runtime makes through systemd: `PREFIX-ID.scope`.
const SCOPES: &[(&str, ContainerRuntime)] = &[
    ("docker-", ContainerRuntime::Docker),
    ("cri-containerd-", ContainerRuntime::Containerd),
    ("nerdctl-", ContainerRuntime::Containerd),
    ("crio-", ContainerRuntime::Crio),
    ("libpod-", ContainerRuntime::Podman),
];

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
        let (runtime, id) = identify(cgroup)?;
        if let Some(known) = self.known.get(id) {
            return Some(known.clone());
        }
        let (name, image) = self.look_up(runtime, id);
        let container = Container {
            runtime,
            id: id.to_owned(),
            name,
            image,
        };
        if self.order.len() >= CONTAINERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(id.to_owned());
        self.known.insert(id.to_owned(), container.clone());
        Some(container)
    }

    /// Name and image.
    fn look_up(&self, runtime: ContainerRuntime, id: &str) -> (Option<String>, Option<String>) {
        let found = match runtime {
            ContainerRuntime::Docker => docker(&self.root, id),
            ContainerRuntime::Podman | ContainerRuntime::Crio => podman(&self.root, id),
            ContainerRuntime::Containerd => containerd(&self.root, id),
            ContainerRuntime::Ecs | ContainerRuntime::Nspawn => None,
            ContainerRuntime::Unknown => docker(&self.root, id).or_else(|| containerd(&self.root, id)),
        };
        found.unwrap_or_default()
    }
}

/// Runtime and id by the names of the last two components of a control group's path: the container's own, or one that it has
/// made inside.
fn identify(cgroup: &Cgroup) -> Option<(ContainerRuntime, &str)> {
    let leaf = std::str::from_utf8(cgroup.leaf.as_bytes()).ok()?;
    let parent = std::str::from_utf8(cgroup.parent.as_bytes()).unwrap_or_default();
    let bare = || {
        let runtime = if parent == "docker" {
            ContainerRuntime::Docker
        } else {
            ContainerRuntime::Unknown
        };
        is_id(leaf).then_some((runtime, leaf))
    };
    named(leaf)
        .or_else(bare)
        .or_else(|| task(leaf))
        .or_else(|| named(parent))
}

/// `docker-ID.scope`, `libpod-ID` (without systemd), `kubepods….slice:cri-containerd:ID`.
fn named(component: &str) -> Option<(ContainerRuntime, &str)> {
    if let Some((rest, id)) = component.rsplit_once(':') {
        let runtime = match rest.rsplit(':').next()? {
            "cri-containerd" | "nerdctl" => ContainerRuntime::Containerd,
            "crio" => ContainerRuntime::Crio,
            "docker" => ContainerRuntime::Docker,
            "libpod" => ContainerRuntime::Podman,
            _ => return None,
        };
        return is_id(id).then_some((runtime, id));
    }
    let component = component.strip_suffix(".scope").unwrap_or(component);
    SCOPES.iter().find_map(|(prefix, runtime)| {
        let id = component.strip_prefix(prefix)?;
        is_id(id).then_some((*runtime, id))
    })
}

/// `TASK-NUMBER`, as ECS names containers on Fargate.
fn task(component: &str) -> Option<(ContainerRuntime, &str)> {
    let (task, number) = component.split_once('-')?;
    let is_task = task.len() == TASK_LEN && hexadecimal(task);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_task && is_number).then_some((ContainerRuntime::Ecs, component))
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && hexadecimal(text)
}

fn hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

type NameAndImage = (Option<String>, Option<String>);

fn docker(root: &Path, id: &str) -> Option<NameAndImage> {
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
    }
    let state: State = json(&root.join("var/lib/docker/containers").join(id).join("config.v2.json"))?;
    let name = state.name.map(|name| name.trim_start_matches('/').to_owned());
    Some((name, state.config.and_then(|config| config.image)))
}

/// Podman's and CRI-O's common store.
fn podman(root: &Path, id: &str) -> Option<NameAndImage> {
    #[derive(Deserialize)]
    struct State {
        id: String,
        #[serde(default)]
        names: Vec<String>,
        /// JSON of its own.
        #[serde(default)]
        metadata: String,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(rename = "image-name")]
        image: Option<String>,
    }
    // Those of `podman run --rm` are listed apart.
    ["containers.json", "volatile-containers.json"].iter().find_map(|file| {
        let states: Vec<State> = json(&root.join("var/lib/containers/storage/overlay-containers").join(file))?;
        let state = states.into_iter().find(|state| state.id == id)?;
        let image = serde_json::from_str(&state.metadata)
            .ok()
            .and_then(|metadata: Metadata| metadata.image);
        Some((state.names.into_iter().next(), image))
    })
}

/// The annotations that Kubernetes' part of containerd gives to the runtime.
fn containerd(root: &Path, id: &str) -> Option<NameAndImage> {
    #[derive(Deserialize)]
    struct State {
        #[serde(default)]
        annotations: HashMap<String, String>,
    }
    let tasks = root.join("run/containerd/io.containerd.runtime.v2.task");
    ["k8s.io", "default"].iter().find_map(|namespace| {
        let mut state: State = json(&tasks.join(namespace).join(id).join("config.json"))?;
        let mut annotation = |names: [&str; 2]| names.iter().find_map(|name| state.annotations.remove(*name));
        Some((
            annotation(["io.kubernetes.cri.container-name", "nerdctl/name"]),
            annotation(["io.kubernetes.cri.image-name", "nerdctl/image"]),
        ))
    })
}

/// Reads a file, if it is there and makes sense.
fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut bytes = vec![];
    File::open(path).ok()?.take(STATE_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const TASK: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9-1234567890";

    fn cgroup(parent: &str, leaf: &str) -> Cgroup {
        Cgroup {
            id: 1,
            leaf: leaf.into(),
            parent: parent.into(),
        }
    }

    #[test]
    fn control_groups_tell_runtime_and_id() {
        let scope = |prefix: &str| format!("{prefix}-{ID}.scope");
        for (parent, leaf, expected) in [
            ("system.slice", scope("docker"), Some((ContainerRuntime::Docker, ID))),
            (
                &scope("docker"),
                "init.scope".into(),
                Some((ContainerRuntime::Docker, ID)),
            ),
            ("docker", ID.into(), Some((ContainerRuntime::Docker, ID))),
            ("pod1234", ID.into(), Some((ContainerRuntime::Unknown, ID))),
            (
                "kubepods.slice",
                scope("cri-containerd"),
                Some((ContainerRuntime::Containerd, ID)),
            ),
            (
                "",
                format!("kubepods-pod1.slice:cri-containerd:{ID}"),
                Some((ContainerRuntime::Containerd, ID)),
            ),
            (
                "",
                format!("cri-containerd:{ID}"),
                Some((ContainerRuntime::Containerd, ID)),
            ),
            ("kubepods.slice", scope("crio"), Some((ContainerRuntime::Crio, ID))),
            (&scope("crio"), "container".into(), Some((ContainerRuntime::Crio, ID))),
            ("machine.slice", scope("libpod"), Some((ContainerRuntime::Podman, ID))),
            (
                &scope("libpod"),
                "container".into(),
                Some((ContainerRuntime::Podman, ID)),
            ),
            (
                "libpod_parent",
                format!("libpod-{ID}"),
                Some((ContainerRuntime::Podman, ID)),
            ),
            (
                "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
                TASK.into(),
                Some((ContainerRuntime::Ecs, TASK)),
            ),
            // The runtime's own helpers are not inside.
            ("machine.slice", scope("libpod-conmon"), None),
            ("machine.slice", scope("crio-conmon"), None),
            ("system.slice", "ssh.service".into(), None),
            ("system.slice", "docker.service".into(), None),
            ("docker", ID[1..].into(), None),
            ("docker", ID.to_uppercase(), None),
            ("docker", "../../../etc".into(), None),
            ("", String::new(), None),
        ] {
            assert_eq!(identify(&cgroup(parent, &leaf)), expected, "{parent}/{leaf}");
        }
    }

    #[test]
    fn state_files_tell_name_and_image() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: String| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let id = |digit: &str| digit.repeat(ID_LEN);
        write(
            &format!("var/lib/docker/containers/{}/config.v2.json", id("a")),
            r#"{"ID":"a","Name":"/web","Config":{"Image":"nginx:1.27","Env":[]},"State":{}}"#.into(),
        );
        write(
            "var/lib/containers/storage/overlay-containers/containers.json",
            format!(
                r#"[{{"id":"other","names":["x"]}},{{"id":"{}","names":["db"],"metadata":"{{\"image-name\":\"docker.io/library/postgres:16\"}}"}}]"#,
                id("b")
            ),
        );
        write(
            &format!(
                "run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/config.json",
                id("c")
            ),
            r#"{"annotations":{"io.kubernetes.cri.container-name":"api","io.kubernetes.cri.image-name":"api:2"}}"#
                .into(),
        );
        write(
            &format!("var/lib/docker/containers/{}/config.v2.json", id("d")),
            "{ broken".into(),
        );
        let mut containers = Containers::under(root.path().to_owned());
        let mut told = |leaf: String| {
            let container = containers.of(&cgroup("kubepods.slice", &leaf)).unwrap();
            (container.name.unwrap_or_default(), container.image.unwrap_or_default())
        };
        let pair = |name: &str, image: &str| (name.to_owned(), image.to_owned());
        assert_eq!(told(format!("docker-{}.scope", id("a"))), pair("web", "nginx:1.27"));
        assert_eq!(
            told(format!("libpod-{}.scope", id("b"))),
            pair("db", "docker.io/library/postgres:16")
        );
        assert_eq!(told(format!("cri-containerd-{}.scope", id("c"))), pair("api", "api:2"));
        assert_eq!(told(format!("docker-{}.scope", id("d"))), pair("", ""));
        assert_eq!(told(format!("docker-{}.scope", id("e"))), pair("", ""));
        let bare = Containers::under(root.path().to_owned())
            .of(&cgroup("pod1", &id("c")))
            .unwrap();
        assert_eq!(bare.image.as_deref(), Some("api:2"), "whatever runs it");
    }

    #[test]
    fn remembers_a_bounded_number() {
        let root = tempfile::tempdir().unwrap();
        let mut containers = Containers::under(root.path().to_owned());
        for number in 0..CONTAINERS_MAX + 10 {
            assert!(containers.of(&cgroup("docker", &format!("{number:064x}"))).is_some());
        }
        assert_eq!(
            (containers.known.len(), containers.order.len()),
            (CONTAINERS_MAX, CONTAINERS_MAX)
        );
        assert!(
            !containers.known.contains_key(&format!("{:064x}", 9)),
            "the oldest go first"
        );
    }
}
