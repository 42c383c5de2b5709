//! What state files tell, and how much is remembered.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::symlink, path::Path};

use super::{cgroup::ID_LEN, *};
use crate::model::ContainerRuntime;

const POD: &str = "1f2e3d4c-5b6a-4978-8899-aabbccddeeff";

fn cgroup(parent: &str, leaf: &str) -> Cgroup {
    Cgroup {
        id: 1,
        leaf: leaf.into(),
        parent: parent.into(),
    }
}

fn id(digit: &str) -> String {
    digit.repeat(ID_LEN)
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A host with one container of each runtime.
fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| write(root.path(), path, text);
    write(
        &format!("var/lib/docker/containers/{}/config.v2.json", id("a")),
        r#"{"ID":"a","Name":"/web","Config":{"Image":"nginx:1.27","Env":[],"Labels":{"io.kubernetes.pod.name":"web-1","io.kubernetes.pod.namespace":"shop"}},"State":{}}"#,
    );
    write(
        "var/lib/containers/storage/overlay-containers/containers.json",
        &format!(
            r#"[{{"id":"other","names":["x"]}},{{"id":"{}","names":["db"],"metadata":"{{\"image-name\":\"docker.io/library/postgres:16\"}}"}},{{"id":"{}","names":["k8s_api_api-0_prod_{POD}_0"],"metadata":"{{\"image-name\":\"api:3\",\"pod-name\":\"k8s_api-0_prod\"}}"}}]"#,
            id("b"),
            id("f")
        ),
    );
    write(
        &format!(
            "run/containers/storage/overlay-containers/{}/userdata/config.json",
            id("f")
        ),
        &format!(
            r#"{{"annotations":{{"io.kubernetes.container.name":"api","io.kubernetes.pod.name":"api-0","io.kubernetes.pod.namespace":"prod","io.kubernetes.pod.uid":"{POD}","io.kubernetes.cri-o.ImageName":"api@sha256:1"}}}}"#
        ),
    );
    write(
        &format!(
            "run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/config.json",
            id("c")
        ),
        r#"{"annotations":{"io.kubernetes.cri.container-name":"api","io.kubernetes.cri.image-name":"api:2","io.kubernetes.cri.sandbox-name":"api-7d","io.kubernetes.cri.sandbox-namespace":"prod"}}"#,
    );
    write(
        "var/lib/containers/storage/vfs-containers/volatile-containers.json",
        &format!(
            r#"[{{"id":"{}","names":["job"],"metadata":"{{\"image-name\":\"localhost/job:1\",\"name\":\"job\"}}"}}]"#,
            id("7")
        ),
    );
    write(
        &format!("var/lib/docker/containers/{}/config.v2.json", id("d")),
        "{ broken",
    );
    fs::create_dir_all(root.path().join(format!("var/log/pods/jobs_nightly-x_{POD}/run"))).unwrap();
    fs::create_dir_all(root.path().join("var/log/containers")).unwrap();
    symlink(
        format!("/var/log/pods/jobs_nightly-x_{POD}/run/0.log"),
        root.path()
            .join(format!("var/log/containers/nightly-x_jobs_run-{}.log", id("9"))),
    )
    .unwrap();
    root
}

#[test]
fn state_files_tell_name_and_image() {
    let root = host();
    let mut containers = Containers::under(root.path().to_owned());
    for (parent, leaf, name, image) in [
        ("x.slice", format!("docker-{}.scope", id("a")), "web", "nginx:1.27"),
        (
            "x.slice",
            format!("libpod-{}.scope", id("b")),
            "db",
            "docker.io/library/postgres:16",
        ),
        // Of another driver, run with `--rm`, in a unit's control group.
        (
            "job.service",
            format!("libpod-payload-{}", id("7")),
            "job",
            "localhost/job:1",
        ),
        ("x.slice", format!("crio-{}.scope", id("f")), "api", "api:3"),
        ("x.slice", format!("cri-containerd-{}.scope", id("c")), "api", "api:2"),
        ("x.slice", format!("docker-{}.scope", id("d")), "", ""),
        ("x.slice", format!("docker-{}.scope", id("e")), "", ""),
        // Whatever runs it.
        ("pod1", id("c"), "api", "api:2"),
        ("machine.slice", "machine-lab.scope".into(), "lab", ""),
    ] {
        let container = containers.of(&cgroup(parent, &leaf)).unwrap();
        let told = (container.name.unwrap_or_default(), container.image.unwrap_or_default());
        assert_eq!(told, (name.to_owned(), image.to_owned()), "{leaf}");
    }
}

#[test]
fn pods_are_told_by_annotations_labels_and_logs() {
    let root = host();
    let containers = Containers::under(root.path().to_owned());
    let pod_group = format!("pod{POD}");
    for (parent, leaf, name, pod) in [
        (
            "x.slice",
            format!("docker-{}.scope", id("a")),
            Some("web"),
            Some((None, "web-1", "shop")),
        ),
        (
            "x.slice",
            format!("crio-{}.scope", id("f")),
            Some("api"),
            Some((Some(POD), "api-0", "prod")),
        ),
        (
            "x.slice",
            format!("cri-containerd-{}.scope", id("c")),
            Some("api"),
            Some((None, "api-7d", "prod")),
        ),
        // kubelet alone knows it: by its container's link to the log, by its uid.
        (
            "x.slice",
            format!("cri-containerd-{}.scope", id("9")),
            Some("run"),
            Some((Some(POD), "nightly-x", "jobs")),
        ),
        (
            pod_group.as_str(),
            id("8"),
            None,
            Some((Some(POD), "nightly-x", "jobs")),
        ),
        ("x.slice", format!("libpod-{}.scope", id("b")), Some("db"), None),
    ] {
        let (container, found) = containers.place(&cgroup(parent, &leaf), None);
        assert_eq!(container.unwrap().name.as_deref(), name, "{leaf}");
        let expected = pod.map(|(uid, name, namespace)| Pod {
            uid: uid.map(str::to_owned),
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
        });
        assert_eq!(found, expected, "{leaf}");
    }
    // Its record tells nothing, its paths do.
    let paths = format!("4:memory:/docker/{}\n0::/system.slice/docker.service\n", id("a"));
    let (container, _) = containers.place(&cgroup("system.slice", "docker.service"), Some(&paths));
    let container = container.unwrap();
    assert_eq!(
        (container.runtime, container.name.as_deref()),
        (ContainerRuntime::Docker, Some("web"))
    );
    assert_eq!(
        containers.place(&cgroup("system.slice", "ssh.service"), Some("0::/x\n")),
        (None, None)
    );
}

/// What `/proc` says of those who are asked in turn, and what that makes of the container.
#[test]
fn paths_of_the_process_or_of_one_above_tell_what_the_record_does_not() {
    let mut exec = crate::finding::tests::reverse_shell().shell;
    let above = exec.ancestors[0].process;
    let inside = format!(
        "0::/machine.slice/libpod-{}.scope/container/system.slice/ssh.service\n",
        id("a")
    );
    let outside = "0::/system.slice/ssh.service\n".to_owned();
    let found = Some((ContainerRuntime::Podman, id("a")));
    for (own, its, expected) in [
        (Some(&inside), None, found.clone()),
        // It is gone.
        (None, Some(&inside), found),
        (None, None, None),
        // It lives, and is in none, whatever is above it.
        (Some(&outside), Some(&inside), None),
    ] {
        let paths = |process| match process {
            process if process == exec.process => own.cloned(),
            process if process == above => its.cloned(),
            _ => None,
        };
        assert_eq!(by_processes(&exec, paths), expected);
    }
    // Whoever shares the mounts of the host is not looked at, and those who are not known are not either.
    exec.cgroup = cgroup("system.slice", "ssh.service");
    exec.process = crate::procfs::identify(std::process::id()).unwrap();
    let own = namespace(std::process::id(), "mnt").unwrap();
    for (mounts, host) in [(own, Some(own)), (0, Some(own)), (own, None)] {
        exec.namespaces.mnt = mounts.try_into().unwrap();
        let mut containers = Containers {
            host_mounts: host,
            ..Containers::default()
        };
        assert_eq!(containers.of_exec(&exec), None);
    }
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
