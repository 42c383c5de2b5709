//! What root's store of Podman and CRI-O says of a container (containers/storage). A store elsewhere, a user's own for example, is
//! not looked for: what a user's files say could be anything.

use std::path::Path;

use serde::Deserialize;

use super::known::{Known, annotations, json};

/// Drivers of the store, by which its directories are named.
const DRIVERS: &[&str] = &["overlay", "vfs", "btrfs", "zfs"];
/// The store's lists of containers: those of `podman run --rm` are listed apart.
const LISTS: &[&str] = &["containers.json", "volatile-containers.json"];

/// What the store below `root` says.
pub(super) fn look_up(root: &Path, id: &str) -> Option<Known> {
    DRIVERS.iter().find_map(|driver| {
        let directory = format!("containers/storage/{driver}-containers");
        store(
            &root.join("run").join(&directory),
            &root.join("var/lib").join(&directory),
            id,
        )
    })
}

/// What the directories of one driver say: of what runs, and of what is kept.
fn store(running: &Path, stored: &Path, id: &str) -> Option<Known> {
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
    let bundle = [running, stored]
        .iter()
        .find_map(|place| annotations(&place.join(id).join("userdata/config.json")));
    let state = LISTS.iter().find_map(|file| {
        let states: Vec<State> = json(&stored.join(file))?;
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
