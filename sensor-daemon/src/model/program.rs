//! What a program is, as far as the rule cares.

use serde::{Deserialize, Serialize};

/// What a program does with its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProgramKind {
    /// A command shell: bash, dash, a busybox applet, a copy of one, a program in a memfd.
    Shell,
    /// A language interpreter that executes what it reads: python, perl, ruby, …
    Interpreter,
    /// A program made to carry bytes between its input and output and a network: nc, socat, telnet, …
    Relay,
    /// Any other.
    #[default]
    Other,
}

/// The identity of an executed file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What it does with its input.
    pub kind: ProgramKind,
    /// Its canonical name where the kind is known (`bash` for a renamed bash), else the file's own name.
    pub name: String,
}

impl Program {
    /// Whether it executes text.
    #[must_use]
    pub fn executes_text(&self) -> bool {
        matches!(self.kind, ProgramKind::Shell | ProgramKind::Interpreter)
    }
}
