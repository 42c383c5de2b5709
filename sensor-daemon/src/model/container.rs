//! The container that a process runs in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A container, as far as this host's files tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Who runs it.
    pub runtime: ContainerRuntime,
    /// Its id: 64 hexadecimal digits, for ECS on Fargate the task's id, a hyphen and a number, for systemd-nspawn the machine's
    /// name.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// The image it was made from, as whoever started it wrote it.
    pub image: Option<String>,
}

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainerRuntime {
    /// Docker.
    Docker,
    /// containerd, by way of Kubernetes or nerdctl.
    Containerd,
    /// CRI-O.
    Crio,
    /// Podman.
    Podman,
    /// Amazon ECS on Fargate.
    Ecs,
    /// systemd-nspawn.
    Nspawn,
    /// The control group's name does not tell.
    Unknown,
}

impl fmt::Display for ContainerRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Crio => "cri-o",
            Self::Podman => "podman",
            Self::Ecs => "ecs",
            Self::Nspawn => "systemd-nspawn",
            Self::Unknown => "unknown",
        })
    }
}
