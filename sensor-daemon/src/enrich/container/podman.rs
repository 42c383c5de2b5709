//! Podman and CRI-O: the store that they have in common (containers/storage), and conmon, the monitor that either keeps above each
//! container. Its command line names the container and where the store is, also for a user's own containers and for a root of the
//! store that somebody chose.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::{
    cgroup::is_id,
    state::{Known, annotations, known},
};

/// Drivers of the store, by which its directories are named.
const DRIVERS: &[&str] = &["overlay", "vfs", "btrfs", "zfs"];
/// The store's lists of containers: those of `podman run --rm` are listed apart.
const LISTS: &[&str] = &["containers.json", "volatile-containers.json"];

/// Gives a file's content, if it can be had.
type Read<'a> = &'a dyn Fn(&Path) -> Option<Vec<u8>>;

/// What root's store says, where it is by default. Paths are without the leading slash.
pub(super) fn by_default(read: Read<'_>, id: &str) -> Option<Known> {
    DRIVERS.iter().find_map(|driver| {
        let stored = format!("var/lib/containers/storage/{driver}-containers");
        let running = format!("run/containers/storage/{driver}-containers");
        store(read, [Path::new(&running), Path::new(&stored)], id)
    })
}

/// What one store says: the directories of what runs, and of what is kept.
fn store(read: Read<'_>, [running, stored]: [&Path; 2], id: &str) -> Option<Known> {
    #[derive(Deserialize)]
    struct State {
        id: String,
        #[serde(default)]
        names: Vec<String>,
        /// JSON of its own.
        #[serde(default)]
        metadata: String,
    }
    #[derive(Default, Deserialize)]
    struct Metadata {
        #[serde(rename = "image-name")]
        image: Option<String>,
    }
    // What CRI-O gave to the OCI runtime.
    let bundle = [running, stored].iter().find_map(|place| {
        let mut annotations = annotations(&read(&place.join(id).join("userdata/config.json"))?)?;
        Some(known(&mut annotations))
    });
    let state = LISTS.iter().find_map(|file| {
        let states: Vec<State> = serde_json::from_slice(&read(&stored.join(file))?).ok()?;
        states.into_iter().find(|state| state.id == id)
    });
    let Some(state) = state else {
        return bundle;
    };
    let metadata: Metadata = serde_json::from_str(&state.metadata).unwrap_or_default();
    let bundle = bundle.unwrap_or_default();
    Some(Known {
        // CRI-O's own name of a container has five parts, one of them the name that people gave it.
        name: bundle.name.or(state.names.into_iter().next()),
        image: metadata.image.filter(|image| !image.is_empty()).or(bundle.image),
        pod: bundle.pod,
    })
}

/// A conmon, by its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::enrich) struct Monitor {
    /// The container's id.
    pub(in crate::enrich) id: String,
    name: Option<String>,
    /// Directory of the container's files, absolute.
    bundle: Option<PathBuf>,
}

impl Monitor {
    /// Reads the text of `/proc/PID/cmdline`. `None` if it is no conmon's.
    pub(in crate::enrich) fn parse(text: &[u8]) -> Option<Self> {
        // What has no end may be cut.
        let mut words = text
            .split_inclusive(|&byte| byte == 0)
            .filter_map(|word| std::str::from_utf8(word.strip_suffix(b"\0")?).ok());
        if Path::new(words.next()?).file_name()? != "conmon" {
            return None;
        }
        let (mut id, mut name, mut bundle) = (None, None, None);
        while let Some(word) = words.next() {
            let place = match word {
                "-c" | "--cid" => &mut id,
                "-n" | "--name" => &mut name,
                "-b" | "--bundle" => &mut bundle,
                _ => continue,
            };
            *place = place.or(words.next());
        }
        Some(Self {
            id: id.filter(|id| is_id(id))?.to_owned(),
            name: name.filter(|name| !name.is_empty()).map(str::to_owned),
            bundle: bundle.map(PathBuf::from).filter(|bundle| bundle.is_absolute()),
        })
    }

    /// What it says, and the store that it says: `STORE/DRIVER-containers/ID/userdata`.
    pub(in crate::enrich) fn known(&self, read: Read<'_>) -> Known {
        let stored = self.bundle.as_deref().and_then(|bundle| {
            let is_own = |part: &Component<'_>| part.as_os_str() == self.id.as_str();
            let above: PathBuf = bundle.components().take_while(|part| !is_own(part)).collect();
            (above.as_path() != bundle).then_some(above)
        });
        let mut known = stored
            .and_then(|stored| store(read, [&stored, &stored], &self.id))
            .unwrap_or_default();
        known.name = known.name.take().or_else(|| self.name.clone());
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

    fn line(words: &[&str]) -> Vec<u8> {
        words.iter().flat_map(|word| word.bytes().chain([0])).collect()
    }

    #[test]
    fn a_monitor_is_read_as_it_was_started() {
        let home = format!("/home/ann/.local/share/containers/storage/overlay-containers/{ID}/userdata");
        for (words, expected) in [
            (
                &[
                    "/usr/bin/conmon",
                    "--api-version",
                    "1",
                    "-c",
                    ID,
                    "-u",
                    ID,
                    "-r",
                    "/usr/bin/crun",
                    "-b",
                    &home,
                    "-n",
                    "web",
                    "--full-attach",
                ][..],
                Some((Some("web"), Some(home.as_str()))),
            ),
            (&["conmon", "--cid", ID], Some((None, None))),
            (&["conmon", "-c", ID, "-b", "relative", "-n", ""], Some((None, None))),
            // The first counts: what is behind may be of the program that conmon runs in the end.
            (&["conmon", "-c", ID, "-n", "a", "-n", "b"], Some((Some("a"), None))),
            (&["conmon", "-c", "short"], None),
            (&["conmon", "-c"], None),
            (&["conmon"], None),
            (&["conmonitor", "-c", ID], None),
            (&["bash", "conmon", "-c", ID], None),
            (&[""], None),
            (&[], None),
        ] {
            let expected = expected.map(|(name, bundle)| Monitor {
                id: ID.into(),
                name: name.map(str::to_owned),
                bundle: bundle.map(PathBuf::from),
            });
            let text = line(words);
            assert_eq!(Monitor::parse(&text), expected, "{words:?}");
            // Cut anywhere, it says the same or less.
            for end in 0..text.len() {
                if let Some(part) = Monitor::parse(&text[..end]) {
                    let whole = expected.as_ref().unwrap();
                    assert!(part.name.is_none() || part.name == whole.name);
                    assert!(part.bundle.is_none() || part.bundle == whole.bundle);
                }
            }
        }
        assert_eq!(Monitor::parse(b"\xff\0\xfe"), None);
    }

    #[test]
    fn the_store_is_where_the_monitor_says() {
        let store = "/srv/pods/vfs-containers";
        let listed = format!(
            r#"[{{"id":"{ID}","names":["web"],"metadata":"{{\"image-name\":\"localhost/shop:1\",\"name\":\"web\"}}"}}]"#
        );
        let read =
            |path: &Path| (path == Path::new(&format!("{store}/containers.json"))).then(|| listed.clone().into_bytes());
        for (bundle, name, image) in [
            (format!("{store}/{ID}/userdata"), "web", Some("localhost/shop:1")),
            // Of a session of `podman exec`.
            (
                format!("{store}/{ID}/userdata/{}", ID.replace('0', "1")),
                "web",
                Some("localhost/shop:1"),
            ),
            (format!("/elsewhere/{ID}/userdata"), "typed", None),
            (store.to_owned(), "typed", None),
            ("/".to_owned(), "typed", None),
        ] {
            let monitor = Monitor::parse(&line(&["conmon", "-c", ID, "-b", &bundle, "-n", "typed"])).unwrap();
            let known = monitor.known(&read);
            assert_eq!(
                (known.name.as_deref(), known.image.as_deref()),
                (Some(name), image),
                "{bundle}"
            );
        }
    }
}
