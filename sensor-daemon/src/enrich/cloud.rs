//! Which resource of Google Cloud this machine or container is, named as Security Command Center (and Cloud Asset Inventory) names
//! it: Cloud Run by the environment of the sensor, Compute Engine and GKE by the metadata server.
//!
//! The metadata server is asked only where something says that there is one, with short time-outs, and never by the thread that
//! detects.

use std::{env, fs, time::Duration};

use ureq::Agent;

use crate::model::{Cloud, Host};

/// Where the metadata server is, on every machine of Google Cloud.
const SERVER: &str = "169.254.169.254";
/// The variable by which Google's own libraries let it be somewhere else (`HOST` or `HOST:PORT`).
const SERVER_VARIABLE: &str = "GCE_METADATA_HOST";
/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Longest answer that is taken. All that is asked for is names.
const ANSWER_MAX: u64 = 1024;

/// What this machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// The machine, or the service that the sensor is a container of.
    pub machine: Option<Cloud>,
    /// The cluster that its pods belong to.
    pub cluster: Option<Cloud>,
}

/// What the user says of the resource. It replaces what is found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Full resource name.
    pub name: Option<String>,
    /// As people know it.
    pub display_name: Option<String>,
    /// `google.compute.Instance` and the like.
    pub kind: Option<String>,
}

impl Overrides {
    /// Puts the user's words over what was found out. A machine in no cloud is named after its machine id. If the
    /// name is not one of Google's, the place that the metadata server told is dropped: it is another resource's place.
    #[must_use]
    pub fn over(&self, found: Option<Cloud>, host: &Host) -> Option<Cloud> {
        if *self == Self::default() {
            return found;
        }
        let id = if host.machine_id.is_empty() {
            &host.hostname
        } else {
            &host.machine_id
        };
        let mut cloud = found.unwrap_or_else(|| Cloud {
            name: format!("//hosts/{id}"),
            display_name: host.hostname.clone(),
            kind: "host".into(),
            ..Cloud::default()
        });
        for (place, said) in [
            (&mut cloud.name, &self.name),
            (&mut cloud.display_name, &self.display_name),
            (&mut cloud.kind, &self.kind),
        ] {
            if let Some(said) = said {
                place.clone_from(said);
            }
        }
        if !cloud.is_google() {
            let Cloud {
                name,
                display_name,
                kind,
                ..
            } = cloud;
            cloud = Cloud {
                name,
                display_name,
                kind,
                ..Cloud::default()
            };
        }
        Some(cloud)
    }
}

/// Whether something says that this is Google Cloud.
#[must_use]
pub fn is_likely() -> bool {
    let product = fs::read_to_string("/sys/class/dmi/id/product_name").unwrap_or_default();
    product.contains("Google")
        || ["K_SERVICE", "CLOUD_RUN_JOB", SERVER_VARIABLE]
            .iter()
            .any(|name| variable(name).is_some())
}

/// What the environment alone tells: the service or job of Cloud Run. Where it lies is not known.
#[must_use]
pub fn by_environment() -> Resources {
    Resources {
        machine: run(variable, None, None),
        cluster: None,
    }
}

/// What environment and metadata server tell. Takes a few seconds at most. `None` if the server does not answer.
#[must_use]
pub fn by_metadata() -> Option<Resources> {
    Server::new(variable(SERVER_VARIABLE).as_deref().unwrap_or(SERVER)).resources(variable)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The service or job of Cloud Run. What is not known of its place is a hyphen.
fn run(variable: impl Fn(&str) -> Option<String>, project: Option<&str>, region: Option<&str>) -> Option<Cloud> {
    let project = project.map(str::to_owned).or_else(|| variable("GOOGLE_CLOUD_PROJECT"));
    let place = format!(
        "//run.googleapis.com/projects/{}/locations/{}",
        project.as_deref().unwrap_or("-"),
        region.unwrap_or("-")
    );
    let (kind, what, name, part) = match (variable("K_SERVICE"), variable("CLOUD_RUN_JOB")) {
        (Some(service), _) => ("google.run.Service", "services", service, variable("K_REVISION")),
        (None, Some(job)) => ("google.run.Job", "jobs", job, variable("CLOUD_RUN_EXECUTION")),
        (None, None) => return None,
    };
    Some(Cloud {
        name: format!("{place}/{what}/{name}"),
        display_name: name,
        kind: kind.into(),
        project,
        location: region.map(str::to_owned),
        region: region.map(str::to_owned),
        part,
        ..Cloud::default()
    })
}

/// A metadata server.
struct Server {
    agent: Agent,
    address: String,
}

impl Server {
    fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            // A proxy would tell of itself, and a redirection lead anywhere.
            .proxy(None)
            .max_redirects(0)
            .build();
        Self {
            agent: Agent::new_with_config(config),
            address: address.to_owned(),
        }
    }

    /// One value; `None` if there is none or it is not what such a value can be.
    fn value(&self, path: &str) -> Option<String> {
        let url = format!("http://{}/computeMetadata/v1/{path}", self.address);
        let mut response = self.agent.get(url).header("Metadata-Flavor", "Google").call().ok()?;
        // Another server that happens to be there does not say this.
        if response.status() != 200 || response.headers().get("Metadata-Flavor")?.as_bytes() != b"Google" {
            return None;
        }
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_MAX)
            .read_to_string()
            .ok()?;
        let text = text.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
        (!text.is_empty() && text.chars().all(is_name)).then(|| text.to_owned())
    }

    fn resources(&self, variable: impl Fn(&str) -> Option<String>) -> Option<Resources> {
        let project = self.value("project/project-id")?;
        let last = |text: String| text.rsplit('/').next().map(str::to_owned);
        if variable("K_SERVICE").or_else(|| variable("CLOUD_RUN_JOB")).is_some() {
            let region = self.value("instance/region").and_then(last);
            return Some(Resources {
                machine: run(variable, Some(&project), region.as_deref()),
                cluster: None,
            });
        }
        let zone = self.value("instance/zone").and_then(last)?;
        let id = self.value("instance/id")?;
        let place = Cloud {
            project: Some(project.clone()),
            // `europe-west4-a` lies in `europe-west4`.
            region: zone.rsplit_once('-').map(|(region, _)| region.to_owned()),
            zone: Some(zone.clone()),
            instance_id: Some(id.clone()),
            ..Cloud::default()
        };
        // Only a node of GKE has these attributes.
        let cluster = self.value("instance/attributes/cluster-name").map(|cluster| {
            let location = self
                .value("instance/attributes/cluster-location")
                .unwrap_or_else(|| zone.clone());
            Cloud {
                name: format!("//container.googleapis.com/projects/{project}/locations/{location}/clusters/{cluster}"),
                display_name: cluster,
                kind: "google.container.Cluster".into(),
                location: Some(location),
                ..place.clone()
            }
        });
        let machine = Cloud {
            name: format!("//compute.googleapis.com/projects/{project}/zones/{zone}/instances/{id}"),
            display_name: self.value("instance/name").unwrap_or(id),
            kind: "google.compute.Instance".into(),
            location: Some(zone),
            ..place
        };
        Some(Resources {
            machine: Some(machine),
            cluster,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        time::Instant,
    };

    use super::*;

    /// A real server on this host that answers as the metadata server does.
    fn server(values: &'static [(&'static str, &'static str)], flavor: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let values: HashMap<_, _> = values.iter().copied().collect();
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                        break;
                    }
                    lines.push(line.trim().to_ascii_lowercase());
                }
                let asked = lines
                    .first()
                    .and_then(|line| line.split(' ').nth(1))
                    .unwrap_or_default();
                let polite = lines.iter().any(|line| line == "metadata-flavor: google");
                let value = asked
                    .strip_prefix("/computemetadata/v1/")
                    .and_then(|path| values.get(path));
                let (status, body) = match value {
                    Some(value) if polite => ("200 OK", *value),
                    Some(_) => ("403 Forbidden", ""),
                    None => ("404 Not Found", "<html>"),
                };
                let mut connection = connection;
                let _ = write!(
                    connection,
                    "HTTP/1.1 {status}\r\nMetadata-Flavor: {flavor}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        address
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    const INSTANCE: &[(&str, &str)] = &[
        ("project/project-id", "shop-prod"),
        ("instance/zone", "projects/123/zones/europe-west4-a"),
        ("instance/region", "projects/123/regions/europe-west4"),
        ("instance/id", "4711"),
        ("instance/name", "web-1"),
    ];
    const NODE: &[(&str, &str)] = &[
        ("project/project-id", "shop-prod"),
        ("instance/zone", "projects/123/zones/europe-west4-a"),
        ("instance/id", "4711"),
        ("instance/name", "gke-node-1"),
        ("instance/attributes/cluster-name", "shop"),
        ("instance/attributes/cluster-location", "europe-west4"),
    ];

    #[test]
    fn an_instance_and_a_node_have_their_names() {
        let instance = Server::new(&server(INSTANCE, "Google")).resources(nothing).unwrap();
        assert_eq!(instance.cluster, None);
        let machine = instance.machine.unwrap();
        assert_eq!(
            machine.name,
            "//compute.googleapis.com/projects/shop-prod/zones/europe-west4-a/instances/4711"
        );
        assert_eq!(
            (machine.display_name.as_str(), machine.kind.as_str()),
            ("web-1", "google.compute.Instance")
        );
        let cluster = Server::new(&server(NODE, "Google"))
            .resources(nothing)
            .unwrap()
            .cluster
            .unwrap();
        assert_eq!(
            cluster.name,
            "//container.googleapis.com/projects/shop-prod/locations/europe-west4/clusters/shop"
        );
        for (cloud, location) in [(machine, "europe-west4-a"), (cluster, "europe-west4")] {
            let place = [cloud.location, cloud.region, cloud.zone, cloud.instance_id];
            let expected = [location, "europe-west4", "europe-west4-a", "4711"];
            assert_eq!(place, expected.map(|text| Some(text.to_owned())), "{}", cloud.kind);
        }
    }

    #[test]
    fn cloud_run_has_services_and_jobs() {
        for (variables, name, kind, part) in [
            (
                &[("K_SERVICE", "shop"), ("K_REVISION", "shop-00007-abc")][..],
                "services/shop",
                "google.run.Service",
                Some("shop-00007-abc"),
            ),
            (
                &[("CLOUD_RUN_JOB", "nightly"), ("CLOUD_RUN_EXECUTION", "nightly-x")],
                "jobs/nightly",
                "google.run.Job",
                Some("nightly-x"),
            ),
        ] {
            let variable = |name: &str| {
                variables
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            let found = Server::new(&server(INSTANCE, "Google"))
                .resources(variable)
                .unwrap()
                .machine
                .unwrap();
            assert_eq!(
                found.name,
                format!("//run.googleapis.com/projects/shop-prod/locations/europe-west4/{name}")
            );
            assert_eq!((found.kind.as_str(), found.part.as_deref()), (kind, part));
            let place = (found.region.as_deref(), found.zone, found.instance_id);
            assert_eq!(place, (Some("europe-west4"), None, None));
            let alone = run(variable, None, None).unwrap();
            assert_eq!(
                alone.name,
                format!("//run.googleapis.com/projects/-/locations/-/{name}")
            );
        }
        assert_eq!(run(nothing, None, None), None);
    }

    #[test]
    fn other_servers_and_silent_ones_tell_nothing() {
        for (values, flavor) in [
            (INSTANCE, "Other"),
            (&[("project/project-id", "a\u{1b}[2Jb")], "Google"),
            (&[("project/project-id", "")], "Google"),
            (&[], "Google"),
        ] {
            assert_eq!(
                Server::new(&server(values, flavor)).resources(nothing),
                None,
                "{values:?}"
            );
        }
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        assert_eq!(
            Server::new(&silent.local_addr().unwrap().to_string()).resources(nothing),
            None
        );
        assert!(
            began.elapsed() < TIMEOUT * 10,
            "it waits for a server that says nothing"
        );
    }

    #[test]
    fn what_the_user_says_counts() {
        let host = Host {
            hostname: "vm1".into(),
            machine_id: "abc".into(),
            ..Host::default()
        };
        assert_eq!(Overrides::default().over(None, &host), None);
        let named = Overrides {
            name: Some("//x/y".into()),
            ..Overrides::default()
        };
        let cloud = named.over(None, &host).unwrap();
        assert_eq!(
            (cloud.name.as_str(), cloud.display_name.as_str(), cloud.kind.as_str()),
            ("//x/y", "vm1", "host")
        );
        let typed = Overrides {
            kind: Some("k".into()),
            ..Overrides::default()
        };
        assert_eq!(typed.over(None, &host).unwrap().name, "//hosts/abc");
        assert_eq!(typed.over(Some(cloud), &host).unwrap().display_name, "vm1");
        // Google's instance stays Google's under another type, and is something else under a name that is not Google's.
        let instance = Cloud {
            name: "//compute.googleapis.com/projects/p/zones/z/instances/1".into(),
            project: Some("p".into()),
            location: Some("z".into()),
            ..Cloud::default()
        };
        for (overrides, google) in [(&typed, true), (&named, false)] {
            let cloud = overrides.over(Some(instance.clone()), &host).unwrap();
            assert_eq!(
                (cloud.is_google(), cloud.project.is_some(), cloud.location.is_some()),
                (google, google, google)
            );
        }
        for (name, google) in [
            ("//run.googleapis.com/projects/-/locations/-/services/shop", true),
            ("//ec2.amazonaws.com/i-1", false),
            ("//googleapis.com.example/x", false),
            ("run.googleapis.com/x", false),
            ("", false),
        ] {
            let name = name.to_owned();
            assert_eq!(
                Cloud {
                    name,
                    ..Cloud::default()
                }
                .is_google(),
                google
            );
        }
    }
}
