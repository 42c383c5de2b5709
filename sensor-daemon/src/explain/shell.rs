//! Commands to copy. A value gets into one only through [`word`], which knows two kinds: harmless as it is, or harmless in
//! single quotes. Any other has no place in something that a tired person pastes into a root shell.

use serde::{Serialize, Serializer};

use crate::{finding::typed, model::Exec};

/// Most characters of a value. A longer one would not fit a line beside a label.
const VALUE_MAX: usize = 66;
/// Characters of a container's id that every runtime's tools take for the whole.
const SHORT_ID: usize = 12;

/// The first word of a line that a shell leaves out.
pub(super) const COMMENT: &str = "#";

/// One command line, as words that a shell takes as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(pub(super) Vec<String>);

impl Line {
    /// The line, to be pasted.
    #[must_use]
    pub fn joined(&self) -> String {
        self.0.join(" ")
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.joined())
    }
}

/// A line of our own words, cut at spaces: nothing foreign may be in it but by [`word`], and no quoted space.
pub(super) fn line(text: &str) -> Line {
    Line(text.split(' ').map(str::to_owned).collect())
}

/// A value as one word. `None` if it is empty, could be taken for an option, is too long, or holds anything but printable
/// ASCII.
pub(super) fn word(value: &str) -> Option<String> {
    let printable = value.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    if value.is_empty() || value.starts_with('-') || value.len() > VALUE_MAX || !printable {
        return None;
    }
    let word = typed::quoted(value);
    (word.len() <= VALUE_MAX).then(|| word.into_owned())
}

/// A container's or finding's id: letters, digits and hyphens only.
pub(super) fn id(value: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let fits = !value.is_empty() && !value.starts_with('-') && value.len() <= VALUE_MAX;
    (fits && value.bytes().all(plain)).then_some(value)
}

/// A container's id as it is typed.
pub(super) fn container(value: &str) -> Option<&str> {
    id(value).map(short)
}

/// As far as it is shown: of the usual 64 hexadecimal digits only the first ones.
pub(super) fn short(id: &str) -> &str {
    let usual = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if usual { &id[..SHORT_ID] } else { id }
}

/// Whether it is nerdctl's. containerd keeps what Kubernetes and what nerdctl runs apart.
pub(super) fn is_nerdctl(exec: &Exec) -> bool {
    exec.cgroup.leaf.as_bytes().starts_with(b"nerdctl-")
}
