//! What the processes of a pod were told of it: the variables that Kubernetes sets and that pods by convention have set (its downward
//! API), and the file with the namespace. Pure. A process can give those it starts any environment, so this only fills in what
//! nobody else knows, and only with what can be such a name.

use super::cgroup::is_uid;
use crate::model::Pod;

/// Names of variables, those that are preferred first.
const UIDS: &[&str] = &["POD_UID", "K8S_POD_UID", "KUBERNETES_POD_UID", "MY_POD_UID"];
const NAMES: &[&str] = &["POD_NAME", "K8S_POD_NAME", "KUBERNETES_POD_NAME", "MY_POD_NAME"];
const NAMESPACES: &[&str] = &[
    "POD_NAMESPACE",
    "K8S_POD_NAMESPACE",
    "KUBERNETES_POD_NAMESPACE",
    "MY_POD_NAMESPACE",
    "K8S_NAMESPACE",
    "KUBERNETES_NAMESPACE",
];
/// Set in every container of a pod, to the pod's name unless it has the host's network or a `hostname` of its own.
const HOSTNAME: &str = "HOSTNAME";
/// Set in every container of a pod.
const SERVER: &str = "KUBERNETES_SERVICE_HOST";

/// The namespace of a pod that may ask Kubernetes something, as it sees it.
pub(in crate::enrich) const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Longest name of a namespace (RFC 1123's label), and of a pod.
pub(in crate::enrich) const NAMESPACE_MAX: usize = 63;
const NAME_MAX: usize = 253;

/// The environment of a process, as `/proc/PID/environ` has it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::enrich) struct Told<'a>(pub(in crate::enrich) &'a [u8]);

impl Told<'_> {
    /// Whether Kubernetes started it.
    pub(in crate::enrich) fn by_kubernetes(self) -> bool {
        self.value(SERVER).is_some()
    }

    /// What it says of the pod. On the host's network, `HOSTNAME` is the host's.
    pub(in crate::enrich) fn pod(self, on_host_network: bool) -> Pod {
        let first = |names: &[&str], is: fn(&str) -> bool| {
            names.iter().find_map(|name| self.value(name).filter(|value| is(value)))
        };
        let hostname = || self.value(HOSTNAME).filter(|name| is_name(name) && !on_host_network);
        Pod {
            uid: first(UIDS, is_uid).map(str::to_owned),
            name: first(NAMES, is_name).or_else(hostname).map(str::to_owned),
            namespace: first(NAMESPACES, is_namespace).map(str::to_owned),
        }
    }

    /// As `getenv` would give it: the first counts. What has no end may be cut.
    fn value(&self, name: &str) -> Option<&str> {
        let value = self.0.split_inclusive(|&byte| byte == 0).find_map(|variable| {
            variable
                .strip_suffix(b"\0")?
                .strip_prefix(name.as_bytes())?
                .strip_prefix(b"=")
        })?;
        std::str::from_utf8(value).ok().filter(|value| !value.is_empty())
    }
}

/// What the file of the namespace says.
pub(in crate::enrich) fn namespace_told(text: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(text).ok()?.trim_end_matches('\n');
    is_namespace(name).then(|| name.to_owned())
}

fn is_namespace(name: &str) -> bool {
    name.len() <= NAMESPACE_MAX && is_label(name)
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX && name.split('.').all(is_label)
}

/// RFC 1123, in lower case, as Kubernetes demands.
fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "1f2e3d4c-5b6a-4978-8899-aabbccddeeff";

    #[test]
    fn the_environment_tells_the_pod() {
        for (variables, expected) in [
            // What Kubernetes sets by itself.
            (&["HOSTNAME=web-6d4cf56db6-abcde"][..], ["", "web-6d4cf56db6-abcde", ""]),
            // What pods have set.
            (
                &["HOSTNAME=x", "POD_NAME=web-0", "POD_NAMESPACE=shop"],
                ["", "web-0", "shop"],
            ),
            (&["K8S_POD_NAME=web-0", "K8S_POD_NAMESPACE=shop"], ["", "web-0", "shop"]),
            (&["MY_POD_NAME=web-0", "MY_POD_NAMESPACE=shop"], ["", "web-0", "shop"]),
            (&["KUBERNETES_NAMESPACE=shop"], ["", "", "shop"]),
            (&["POD_UID=1f2e3d4c-5b6a-4978-8899-aabbccddeeff"], [UID, "", ""]),
            // The first of two counts, and a name that can be none is passed over.
            (&["POD_NAME=a", "POD_NAME=b"], ["", "a", ""]),
            (&["POD_NAME=A b", "MY_POD_NAME=web.v2"], ["", "web.v2", ""]),
            (&["POD_NAME=\u{1b}[2J", "HOSTNAME=-x"], ["", "", ""]),
            (&["POD_NAME=a..b", "POD_NAMESPACE=a.b", "POD_UID=7"], ["", "", ""]),
            (&["POD_NAME=", "POD_NAMESPACE"], ["", "", ""]),
            (&["XPOD_NAME=a", "POD_NAMES=b"], ["", "", ""]),
            (&[], ["", "", ""]),
        ] {
            let text: Vec<u8> = variables
                .iter()
                .flat_map(|variable| variable.bytes().chain([0]))
                .collect();
            let [uid, name, namespace] = expected.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()));
            let expected = Pod { uid, name, namespace };
            assert_eq!(Told(&text).pod(false), expected, "{variables:?}");
            for end in 0..text.len() {
                let part = Told(&text[..end]).pod(false);
                let all = [&part.uid, &part.name, &part.namespace];
                // Whatever is said was a whole variable.
                for value in all.into_iter().flatten() {
                    assert!(
                        variables
                            .iter()
                            .any(|variable| variable.ends_with(&format!("={value}")))
                    );
                }
            }
        }
        let long = format!("POD_NAME={}\0POD_NAMESPACE={}\0", "a".repeat(254), "a".repeat(64));
        assert_eq!(Told(long.as_bytes()).pod(false), Pod::default());
        assert_eq!(Told(b"POD_NAME=\xff\0").pod(false), Pod::default());
        assert_eq!(Told(b"HOSTNAME=node-1\0").pod(true), Pod::default());
    }

    #[test]
    fn kubernetes_is_known_by_its_address() {
        for (text, expected) in [
            (&b"A=b\0KUBERNETES_SERVICE_HOST=10.0.0.1\0"[..], true),
            (b"KUBERNETES_SERVICE_HOST=\0", false),
            (b"A=b\0", false),
            (b"", false),
        ] {
            assert_eq!(Told(text).by_kubernetes(), expected);
        }
    }

    #[test]
    fn the_file_tells_the_namespace() {
        for (text, expected) in [
            (&b"shop"[..], Some("shop")),
            (b"shop\n", Some("shop")),
            (b"kube-system", Some("kube-system")),
            (b"two\nlines", None),
            (b"Shop", None),
            (b"\xff", None),
            (b"", None),
            (&[b'a'; 64], None),
        ] {
            assert_eq!(namespace_told(text).as_deref(), expected);
        }
    }
}
