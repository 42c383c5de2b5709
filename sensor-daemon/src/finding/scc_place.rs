//! Where it happened, in Security Command Center's shape: the resource, the container and its pod.

use serde::Serialize;

use crate::model::{self, Cloud, Host, Pod};

use super::{bounds, clip};

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    pub(super) name: String,
    display_name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_provider: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gcp_metadata: Option<GcpMetadata>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct GcpMetadata {
    project: String,
    project_display_name: String,
}

impl Resource {
    pub(super) fn of(host: &Host, cloud: Option<&Cloud>) -> Self {
        let Some(cloud) = cloud else {
            // A host that is in no known cloud has no resource name that others know: its machine id is the best there is.
            let id = if host.machine_id.is_empty() {
                &host.hostname
            } else {
                &host.machine_id
            };
            return Self {
                name: format!("//hosts/{id}"),
                display_name: host.hostname.clone(),
                kind: String::from("host"),
                cloud_provider: None,
                location: None,
                gcp_metadata: None,
            };
        };
        Self {
            name: clip::string(&cloud.name, bounds::RESOURCE_NAME),
            display_name: clip::name(&cloud.display_name),
            kind: clip::name(&cloud.kind),
            cloud_provider: cloud.is_google().then_some("GOOGLE_CLOUD_PLATFORM"),
            location: cloud.location.as_deref().map(clip::name),
            gcp_metadata: cloud.project.as_deref().map(|project| {
                let project = clip::name(project);
                GcpMetadata {
                    project: format!("//cloudresourcemanager.googleapis.com/projects/{project}"),
                    project_display_name: project,
                }
            }),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Container {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    /// The format has no field for the id.
    labels: Vec<Label>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Label {
    name: &'static str,
    value: String,
}

impl Container {
    pub(super) fn of(container: &model::Container) -> Self {
        Self {
            name: container.name.as_deref().map(clip::name),
            uri: container.image.as_deref().map(clip::image),
            labels: vec![
                Label {
                    name: "id",
                    value: clip::name(&container.id),
                },
                Label {
                    name: "runtime",
                    value: container.runtime.to_string(),
                },
            ],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Kubernetes {
    pods: [PodDescription; 1],
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct PodDescription {
    #[serde(skip_serializing_if = "Option::is_none")]
    ns: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Label>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<Container>,
}

impl Kubernetes {
    pub(super) fn of(pod: &Pod, containers: &[Container]) -> Self {
        let name = |name: &Option<String>| name.as_deref().map(clip::name);
        Self {
            pods: [PodDescription {
                ns: name(&pod.namespace),
                name: name(&pod.name),
                labels: name(&pod.uid)
                    .map(|value| Label { name: "uid", value })
                    .into_iter()
                    .collect(),
                containers: containers.to_vec(),
            }],
        }
    }
}
