//! What a finding says of the place of its shell: container, pod, account, posture, addresses. Whoever reads the finding is
//! told to review these; formats without fields of their own for them show this.

use std::net::IpAddr;

use serde::Serialize;

use crate::model::{Account, Container, Context, FileDigest, Pod, Posture};

use super::clip;

const NAME_MAX: usize = 256;
const IMAGE_MAX: usize = 512;
const LABEL_MAX: usize = 512;
/// The kernel knows 41 capabilities, and the longest name of one has 22 letters.
const CAPABILITIES_MAX: usize = 48;
const NAMESPACES_MAX: usize = 16;
/// A machine can have thousands.
const ADDRESSES_MAX: usize = 16;

/// Keys begin with a letter and hold letters, digits and underscores only, as those of `sourceProperties` have to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Surroundings {
    /// Under the name of Google's own reverse-shell finding.
    #[serde(rename = "Container_Image_Uri", skip_serializing_if = "Option::is_none")]
    image_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<ContainerProperties>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Pod>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<FileDigest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) posture: Option<Posture>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) addresses: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerProperties {
    pub(super) runtime: String,
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
}

impl Surroundings {
    /// Everything bounded: a container names its users, its image, and its security label.
    pub(super) fn of(container: Option<&Container>, context: &Context) -> Self {
        let name = |name: &Option<String>| name.as_deref().map(|name| clip::string(name, NAME_MAX));
        let container = container.map(|container| ContainerProperties {
            runtime: container.runtime.to_string(),
            id: clip::string(&container.id, NAME_MAX),
            name: name(&container.name),
            image: container.image.as_deref().map(|image| clip::string(image, IMAGE_MAX)),
        });
        Self {
            image_uri: container.as_ref().and_then(|container| container.image.clone()),
            container,
            pod: context.pod.as_ref().map(|pod| Pod {
                uid: name(&pod.uid),
                name: name(&pod.name),
                namespace: name(&pod.namespace),
            }),
            account: context.account.as_ref().map(|account| Account {
                name: name(&account.name),
                login_uid: account.login_uid,
                login_name: name(&account.login_name),
                session: account.session,
                tty: name(&account.tty),
            }),
            file: context.file.as_ref().map(|file| FileDigest {
                sha256: clip::string(&file.sha256, 64),
                size: file.size,
            }),
            posture: context.posture.as_ref().map(|posture| Posture {
                capabilities: names(&posture.capabilities, CAPABILITIES_MAX),
                privileged: posture.privileged,
                seccomp: name(&posture.seccomp),
                no_new_privs: posture.no_new_privs,
                mapped_root: posture.mapped_root,
                host_namespaces: names(&posture.host_namespaces, NAMESPACES_MAX),
                writable_root: posture.writable_root,
                security_label: posture
                    .security_label
                    .as_deref()
                    .map(|label| clip::string(label, LABEL_MAX)),
            }),
            addresses: context.addresses.iter().take(ADDRESSES_MAX).copied().collect(),
        }
    }
}

fn names(names: &[String], most: usize) -> Vec<String> {
    names.iter().take(most).map(|name| clip::string(name, 24)).collect()
}
