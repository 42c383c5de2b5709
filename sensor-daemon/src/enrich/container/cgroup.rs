//! What the names of control groups tell: the container, its runtime, the pod. Pure.
//!
//! Two sources of names: the last two components, which the kernel's record of a process has, whatever became of it since; and
//! `/proc/PID/cgroup`, which has whole paths, and on machines with the first version of control groups (or both) a path for
//! each hierarchy. Seen from a control group namespace, such a path begins with `/..`; only the names count, so that does not matter.

use crate::model::{Cgroup, ContainerRuntime};

/// Digits of a container's id.
pub(super) const ID_LEN: usize = 64;
/// Digits of an ECS task's id.
const TASK_LEN: usize = 32;
/// Lines of `/proc/PID/cgroup` that are looked at: the first version of control groups has fewer than twenty hierarchies.
const LINES_MAX: usize = 64;

/// Prefixes of control groups that a runtime makes through systemd: `PREFIX-ID.scope`.
const SCOPES: &[(&str, ContainerRuntime)] = &[
    ("docker-", ContainerRuntime::Docker),
    ("cri-containerd-", ContainerRuntime::Containerd),
    ("nerdctl-", ContainerRuntime::Containerd),
    ("crio-", ContainerRuntime::Crio),
    ("libpod-", ContainerRuntime::Podman),
    // `--cgroups=split`, as in units that Quadlet makes.
    ("libpod-payload-", ContainerRuntime::Podman),
];

/// Runtime and id by the names of the last two components of a control group's path: the container's own, or one that it has
/// made inside.
pub(super) fn of_record(cgroup: &Cgroup) -> Option<(ContainerRuntime, String)> {
    let leaf = std::str::from_utf8(cgroup.leaf.as_bytes()).ok()?;
    let parent = std::str::from_utf8(cgroup.parent.as_bytes()).unwrap_or_default();
    identify([leaf, parent])
}

/// The pod by the same names.
pub(super) fn pod_of_record(cgroup: &Cgroup) -> Option<String> {
    [&cgroup.leaf, &cgroup.parent]
        .into_iter()
        .find_map(|component| pod_uid(std::str::from_utf8(component.as_bytes()).ok()?))
}

/// Runtime, id and pod that the text of `/proc/PID/cgroup` tells.
pub(super) fn of_paths(text: &str) -> (Option<(ContainerRuntime, String)>, Option<String>) {
    // `HIERARCHY:CONTROLLERS:PATH`; the path may hold colons.
    let paths = || {
        text.lines()
            .take(LINES_MAX)
            .filter_map(|line| line.splitn(3, ':').nth(2))
    };
    let container = paths().find_map(|path| identify(path.rsplit('/')));
    let pod = paths().find_map(|path| path.rsplit('/').find_map(pod_uid));
    (container, pod)
}

/// By the components of a path, the last one first.
fn identify<'a>(components: impl IntoIterator<Item = &'a str>) -> Option<(ContainerRuntime, String)> {
    let mut components = components.into_iter().peekable();
    let mut first = true;
    while let Some(component) = components.next() {
        let above = components.peek().copied().unwrap_or_default();
        // What is inside a container can call its groups as it likes, so a bare number counts at the end only, where no
        // container could have made it up without hiding its own name.
        let bare = || {
            let runtime = if above == "docker" {
                ContainerRuntime::Docker
            } else {
                ContainerRuntime::Unknown
            };
            (is_id(component) && (first || above == "docker" || pod_uid(above).is_some()))
                .then_some((runtime, component))
        };
        let found = named(component).or_else(bare).or_else(|| task(component));
        if let Some((runtime, id)) = found {
            return Some((runtime, id.to_owned()));
        }
        if let Some(machine) = nspawn(component) {
            return Some((ContainerRuntime::Nspawn, machine));
        }
        first = false;
    }
    None
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

/// `machine-NAME.scope` or `systemd-nspawn@NAME.service`: the machine's name.
fn nspawn(component: &str) -> Option<String> {
    let name = component
        .strip_prefix("machine-")
        .and_then(|rest| rest.strip_suffix(".scope"))
        .or_else(|| component.strip_prefix("systemd-nspawn@")?.strip_suffix(".service"))?;
    // Virtual machines of libvirt: `machine-qemu\x2d1\x2dNAME.scope`. What runs in there is the emulator.
    if name.is_empty() || name.starts_with("qemu\\x2d") {
        return None;
    }
    Some(unescape(name))
}

/// systemd's escapes in names of units (`systemd-escape(1)`): `\xNN`.
fn unescape(name: &str) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail
            .strip_prefix(b"x")
            .and_then(|digits| std::str::from_utf8(digits.get(..2)?).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, escaped) {
            (b'\\', Some(escaped)) => {
                plain.push(escaped);
                rest = &tail[3..];
            }
            _ => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// A pod's uid: `podUID`, or `kubepods-burstable-podUID.slice` with `_` for `-`, also with `:cri-containerd:ID` behind it. Static
/// pods have 32 digits without hyphens.
fn pod_uid(component: &str) -> Option<String> {
    let name = component.split(':').next()?;
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let uid = if let Some(uid) = name.strip_prefix("pod") {
        uid.to_owned()
    } else if name.starts_with("kubepods") {
        name.rsplit_once("-pod")?.1.replace('_', "-")
    } else {
        return None;
    };
    is_uid(&uid).then_some(uid)
}

/// A UUID with its hyphens, or the hash that static pods have.
pub(super) fn is_uid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        && match groups.as_slice() {
            [hash] => hash.len() == 32,
            groups => groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]),
        }
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && hexadecimal(text)
}

fn hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const TASK: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9-1234567890";
    const POD: &str = "1f2e3d4c-5b6a-4978-8899-aabbccddeeff";
    const POD_IN_SLICE: &str = "1f2e3d4c_5b6a_4978_8899_aabbccddeeff";
    const STATIC_POD: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";

    #[test]
    fn the_last_two_names_tell_runtime_and_id() {
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
                "web.service",
                format!("libpod-payload-{ID}"),
                Some((ContainerRuntime::Podman, ID)),
            ),
            (STATIC_POD, TASK.into(), Some((ContainerRuntime::Ecs, TASK))),
            (
                "machine.slice",
                "machine-web\\x2d1.scope".into(),
                Some((ContainerRuntime::Nspawn, "web-1")),
            ),
            (
                "machine-web.scope",
                "payload".into(),
                Some((ContainerRuntime::Nspawn, "web")),
            ),
            (
                "systemd-nspawn@db.service",
                "payload".into(),
                Some((ContainerRuntime::Nspawn, "db")),
            ),
            // A virtual machine's emulator is no container.
            ("machine.slice", "machine-qemu\\x2d1\\x2dvm.scope".into(), None),
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
            let cgroup = Cgroup {
                id: 1,
                leaf: leaf.as_str().into(),
                parent: parent.into(),
            };
            let expected = expected.map(|(runtime, id)| (runtime, id.to_owned()));
            assert_eq!(of_record(&cgroup), expected, "{parent}/{leaf}");
        }
    }

    #[test]
    fn whole_paths_tell_of_all_versions_and_namespaces() {
        let burstable = "kubepods-burstable";
        for (text, container, pod) in [
            // The second version.
            (
                format!(
                    "0::/kubepods.slice/{burstable}.slice/{burstable}-pod{POD_IN_SLICE}.slice/cri-containerd-{ID}.scope\n"
                ),
                Some((ContainerRuntime::Containerd, ID)),
                Some(POD),
            ),
            (
                format!("0::/kubepods/burstable/pod{POD}/{ID}\n"),
                Some((ContainerRuntime::Unknown, ID)),
                Some(POD),
            ),
            (
                format!("0::/kubepods/besteffort/pod{STATIC_POD}/{ID}\n"),
                Some((ContainerRuntime::Unknown, ID)),
                Some(STATIC_POD),
            ),
            (
                format!("0::/system.slice/{burstable}-pod{POD_IN_SLICE}.slice:cri-containerd:{ID}\n"),
                Some((ContainerRuntime::Containerd, ID)),
                Some(POD),
            ),
            // systemd inside a container: its groups are below the container's.
            (
                format!("0::/machine.slice/libpod-{ID}.scope/container/system.slice/sshd.service\n"),
                Some((ContainerRuntime::Podman, ID)),
                None,
            ),
            (
                "0::/machine.slice/machine-web.scope/payload/system.slice/nginx.service\n".into(),
                Some((ContainerRuntime::Nspawn, "web")),
                None,
            ),
            // The first version: a path for each hierarchy.
            (
                format!("12:pids:/docker/{ID}\n11:cpu,cpuacct:/docker/{ID}\n1:name=systemd:/docker/{ID}\n"),
                Some((ContainerRuntime::Docker, ID)),
                None,
            ),
            (
                format!("11:memory:/kubepods/burstable/pod{POD}/{ID}\n10:cpuset:/\n"),
                Some((ContainerRuntime::Unknown, ID)),
                Some(POD),
            ),
            // Both: the container is in the old hierarchies only.
            (
                format!("4:memory:/docker/{ID}/inner\n1:name=systemd:/docker/{ID}\n0::/system.slice/docker.service\n"),
                Some((ContainerRuntime::Docker, ID)),
                None,
            ),
            // ECS on EC2 and on Fargate.
            (
                format!("9:perf_event:/ecs/{STATIC_POD}/{TASK}\n"),
                Some((ContainerRuntime::Ecs, TASK)),
                None,
            ),
            (
                format!("9:perf_event:/ecs/{STATIC_POD}/{ID}\n"),
                Some((ContainerRuntime::Unknown, ID)),
                None,
            ),
            // Seen from a namespace of control groups: from beside, and from inside.
            (
                format!("0::/../cri-containerd-{ID}.scope\n"),
                Some((ContainerRuntime::Containerd, ID)),
                None,
            ),
            (
                format!("0::/../../pod{POD}/{ID}\n"),
                Some((ContainerRuntime::Unknown, ID)),
                Some(POD),
            ),
            ("0::/\n".into(), None, None),
            // A user's own names, and rubbish.
            (format!("0::/user.slice/{ID}/x\n"), None, None),
            ("0::/system.slice/pod-manager.service\n".into(), None, None),
            ("0::/kubepods.slice/kubepods-podx.slice\n".into(), None, None),
            ("no colons\n::\n:\n0::".into(), None, None),
            (String::new(), None, None),
        ] {
            let container = container.map(|(runtime, id)| (runtime, id.to_owned()));
            let (found, uid) = of_paths(&text);
            assert_eq!((found, uid.as_deref()), (container, pod), "{text}");
            for end in 0..text.len() {
                let _ = text.get(..end).map(of_paths);
            }
        }
    }

    #[test]
    fn escapes_of_unit_names_are_undone() {
        for (name, plain) in [
            ("web", "web"),
            ("a\\x2db", "a-b"),
            ("a\\x2", "a\\x2"),
            ("\\", "\\"),
            ("\\xzz", "\\xzz"),
            ("\\x\u{e9}", "\\x\u{e9}"),
        ] {
            assert_eq!(unescape(name), plain);
        }
    }
}
