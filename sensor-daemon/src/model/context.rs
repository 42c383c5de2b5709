//! What user space could find out about the process at the centre of a finding and about its place: the answer to
//! "happened to what, and how bad is it". Best effort; what is not known is absent.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Text;

/// Everything that is not part of the evidence, but that its reader would have to log in for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Context {
    /// The account that the shell runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The executed file's content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileDigest>,
    /// What the process may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posture: Option<Posture>,
    /// The pod, if its container belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// The cloud resource that the machine or container is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// The machine's own addresses, loopback and link-local ones left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Environment variables, secrets masked; only if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<Text>,
}

/// Who a process runs for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Name of the real user id, in the host's or the container's user database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Login user id (`/proc/PID/loginuid`): who logged in, whatever became of it since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_name: Option<String>,
    /// Audit session (`/proc/PID/sessionid`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<u32>,
    /// Controlling terminal, as `pts/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<String>,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileDigest {
    /// Lowercase hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// What a process may do to the machine that it runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Posture {
    /// Effective capabilities by name (`CAP_NET_ADMIN`).
    pub capabilities: Vec<String>,
    /// It has every capability that this kernel knows, in the first user namespace.
    pub privileged: bool,
    /// `disabled`, `strict` or `filter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<String>,
    /// set-uid programs give it nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_new_privs: Option<bool>,
    /// The user id outside that its user id 0 is, unless that is 0 as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapped_root: Option<u32>,
    /// Namespaces (`net`, `pid`, `mnt`, `ipc`, `uts`, `user`, `cgroup`) that it shares with the host's first process.
    pub host_namespaces: Vec<String>,
    /// Its root file system can be written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writable_root: Option<bool>,
    /// Label of the Linux security module (AppArmor's profile, SELinux's context).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_label: Option<String>,
}

/// A Kubernetes pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its uid, with hyphens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Pod {
    /// Takes what is missing from `other`.
    pub fn fill(&mut self, other: Self) {
        self.uid = self.uid.take().or(other.uid);
        self.name = self.name.take().or(other.name);
        self.namespace = self.namespace.take().or(other.namespace);
    }
}

/// A resource as Security Command Center names it: of Google Cloud, or what the user says that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cloud {
    /// Full resource name: `//compute.googleapis.com/projects/p/zones/z/instances/1`.
    pub name: String,
    /// As people know it.
    pub display_name: String,
    /// `google.compute.Instance`, `google.run.Service`, `google.container.Cluster` and the like.
    pub kind: String,
    /// Project id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The region or zone that is part of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Region, as `europe-west4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Availability zone, as `europe-west4-a`. Of a cluster, the zone of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Id of the virtual machine. Of a cluster, the id of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// What of it: the revision of a service of Cloud Run, the execution of a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

impl Cloud {
    /// Whether its name is one of Google's.
    #[must_use]
    pub fn is_google(&self) -> bool {
        let service = self.name.strip_prefix("//").and_then(|name| name.split('/').next());
        service.is_some_and(|service| service.ends_with(".googleapis.com"))
    }
}
