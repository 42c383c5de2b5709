//! Where it happened, in Security Command Center's shape: the resource, the container and its pod, and the environment that
//! the shell was given.

use serde::Serialize;

use crate::model::{self, Cloud, Host, Pod, Text};

use super::clip;

const NAME_MAX: usize = 256;
const RESOURCE_NAME_MAX: usize = 512;
const IMAGE_MAX: usize = 512;
/// Of all variables together, and of one.
const ENVIRONMENT_MAX: usize = 2048;
const VARIABLE_MAX: usize = 512;

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
            name: clip::string(&cloud.name, RESOURCE_NAME_MAX),
            display_name: clip::string(&cloud.display_name, NAME_MAX),
            kind: clip::string(&cloud.kind, NAME_MAX),
            cloud_provider: cloud.is_google().then_some("GOOGLE_CLOUD_PLATFORM"),
            location: cloud
                .location
                .as_deref()
                .map(|location| clip::string(location, NAME_MAX)),
            gcp_metadata: cloud.project.as_deref().map(|project| {
                let project = clip::string(project, NAME_MAX);
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
            name: container.name.as_deref().map(|name| clip::string(name, NAME_MAX)),
            uri: container.image.as_deref().map(|image| clip::string(image, IMAGE_MAX)),
            labels: vec![
                Label {
                    name: "id",
                    value: clip::string(&container.id, NAME_MAX),
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
        let name = |name: &Option<String>| name.as_deref().map(|name| clip::string(name, NAME_MAX));
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

/// One variable of a process's environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct EnvironmentVariable {
    pub(super) name: String,
    #[serde(rename = "val")]
    pub(super) value: String,
}

impl EnvironmentVariable {
    /// As many as fit, and whether something is missing.
    pub(super) fn all(environment: &[Text]) -> (Vec<Self>, bool) {
        let mut variables = Vec::new();
        let mut left = ENVIRONMENT_MAX;
        let mut cut = false;
        for variable in environment {
            let bytes = variable.as_bytes();
            let at = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
            let name = Text::from(&bytes[..at]);
            let value = Text::from(bytes.get(at + 1..).unwrap_or_default());
            let (name, name_cut) = clip::text(&name, VARIABLE_MAX);
            let (value, value_cut) = clip::text(&value, VARIABLE_MAX);
            let made = Self {
                name: name.into_owned(),
                value: value.into_owned(),
            };
            let Some(rest) = left.checked_sub(clip::json_size(&made) + 1) else {
                return (variables, true);
            };
            left = rest;
            cut |= name_cut || value_cut;
            variables.push(made);
        }
        (variables, cut)
    }
}
