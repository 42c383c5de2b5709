//! What a finding says of the place of its shell: container, pod, account, posture, addresses. Whoever reads the finding is
//! told to review these; formats without fields of their own for them show this.

use std::net::IpAddr;

use serde::Serialize;

use crate::model::{Account, Container, Context, FileDigest, Pod, Posture};

use super::{bounds, clip};

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
        let name = |name: &Option<String>| name.as_deref().map(clip::name);
        let container = container.map(|container| ContainerProperties {
            runtime: container.runtime.to_string(),
            id: clip::name(&container.id),
            name: name(&container.name),
            image: container.image.as_deref().map(clip::image),
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
                sha256: clip::digest(file),
                size: file.size,
            }),
            posture: context.posture.as_ref().map(|posture| Posture {
                capabilities: capabilities(posture),
                privileged: posture.privileged,
                seccomp: name(&posture.seccomp),
                no_new_privs: posture.no_new_privs,
                mapped_root: posture.mapped_root,
                host_namespaces: names(&posture.host_namespaces, bounds::NAMESPACES),
                writable_root: posture.writable_root,
                security_label: posture
                    .security_label
                    .as_deref()
                    .map(|label| clip::string(label, bounds::SECURITY_LABEL)),
            }),
            addresses: addresses(context),
        }
    }
}

pub(super) fn addresses(context: &Context) -> Vec<IpAddr> {
    context.addresses.iter().take(bounds::ADDRESSES).copied().collect()
}

pub(super) fn capabilities(posture: &Posture) -> Vec<String> {
    names(&posture.capabilities, bounds::CAPABILITIES)
}

fn names(names: &[String], most: usize) -> Vec<String> {
    let names = names.iter().take(most);
    names.map(|name| clip::string(name, bounds::CAPABILITY)).collect()
}
