//! Where the logs of the place are that a finding happened in, as commands.

use crate::{
    finding::{Report, time},
    model::{Container, ContainerRuntime},
};

use super::{
    shell::{self, id, line, word},
    story::Step,
};

/// Most characters of a pod's uid, which is a UUID or the hash of a file.
const UID_MAX: usize = 40;
/// Seconds before and after a finding that its logs are of interest.
const AROUND_S: i64 = 600;

/// What to look at, the nearest first.
pub(super) fn logs(report: &Report) -> Vec<Step> {
    let from = time::calendar(report.incident.opened, &report.host).as_second() - AROUND_S;
    let to = time::calendar(report.incident.updated, &report.host).as_second() + AROUND_S;
    let mut steps = match &report.incident.shell.container {
        Some(container) => of_container(report, container, from),
        None => Vec::new(),
    };
    let leaf = report.incident.shell.cgroup.leaf.to_text();
    let unit = leaf.ends_with(".service") || leaf.ends_with(".scope");
    if report.incident.shell.container.is_none()
        && unit
        && let Some(unit) = word(&leaf)
    {
        steps.push(Step::new(
            "the unit's journal",
            vec![line(&format!("journalctl -u {unit} --since @{from} --until @{to}"))],
        ));
    }
    steps.push(Step::new(
        "the host's journal at that time",
        vec![line(&format!("journalctl --since @{from} --until @{to}"))],
    ));
    steps
}

fn of_container(report: &Report, container: &Container, from: i64) -> Vec<Step> {
    let Some(id) = shell::container(&container.id) else {
        return Vec::new();
    };
    let since = jiff::Timestamp::from_second(from).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let mut steps = Vec::new();
    let own = |command: String| Step::new("the container's output", vec![line(&command)]);
    match container.runtime {
        ContainerRuntime::Docker => steps.push(own(format!("docker logs --timestamps --since {since} {id}"))),
        ContainerRuntime::Podman => steps.push(own(format!("podman logs --timestamps --since {since} {id}"))),
        ContainerRuntime::Containerd if shell::is_nerdctl(&report.incident.shell) => {
            steps.push(own(format!("nerdctl logs --timestamps --since {since} {id}")));
        }
        ContainerRuntime::Containerd | ContainerRuntime::Crio => {
            steps.push(own(format!("crictl logs --timestamps --since={since} {id}")));
        }
        ContainerRuntime::Ecs => steps.push(Step::new(
            "the task's output is where its log driver (awslogs: CloudWatch) sends it",
            Vec::new(),
        )),
        ContainerRuntime::Nspawn => steps.push(own(format!("journalctl -M {id} --since @{from}"))),
        ContainerRuntime::Unknown => steps.push(Step::new(
            "the container's runtime is not known; its output may be in one of these",
            vec![line(&format!("docker logs {id}")), line(&format!("crictl logs {id}"))],
        )),
    }
    if let Some(uid) = report
        .context
        .pod
        .as_ref()
        .and_then(|pod| pod.uid.as_deref())
        .and_then(self::id)
        .filter(|uid| uid.len() <= UID_MAX)
    {
        steps.push(Step::new(
            "the pod's files on its node, earlier containers of it included",
            vec![line(&format!("ls -l /var/log/pods/*_{uid}/*/"))],
        ));
    }
    steps
}
