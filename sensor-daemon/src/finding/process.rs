//! A process as formats show it: what a shell, a command, a relay and an ancestor have in common, each part within its bound.

use crate::{
    detect::Command,
    model::{Ancestor, Context, Exec, Hop, Host, ProcessId, Text},
};

use super::{bounds, clip, json};

pub(super) struct Process<'a> {
    pub(super) id: ProcessId,
    comm: &'a Text,
    path: Option<&'a Text>,
    script: Option<&'a Text>,
    argv: &'a [Text],
    argv_truncated: bool,
    pub(super) uid: Option<u32>,
    pub(super) parent: Option<u32>,
    /// Bytes of JSON that the path may take.
    pub(super) path_max: usize,
    /// Bytes of JSON that the arguments may take.
    pub(super) arguments_max: usize,
}

impl Process<'_> {
    pub(super) fn name(&self) -> String {
        clip::shown(self.comm, bounds::NAME)
    }

    pub(super) fn path(&self) -> Option<String> {
        self.path.map(|path| clip::shown(path, self.path_max))
    }

    pub(super) fn file_name(&self) -> Option<String> {
        self.path
            .map(|path| clip::shown(&Text::from(path.file_name()), bounds::NAME))
    }

    pub(super) fn script(&self) -> Option<String> {
        self.script.map(|path| clip::shown(path, bounds::PATH))
    }

    /// The arguments that fit, and whether some are missing.
    pub(super) fn arguments(&self) -> (Vec<String>, bool) {
        let (arguments, cut) = clip::arguments(self.argv, self.arguments_max);
        (arguments, cut || self.argv_truncated)
    }

    /// The arguments as they could have been typed, if any are known.
    pub(super) fn command_line(&self) -> Option<String> {
        let known = self.argv_truncated || !self.argv.is_empty();
        known.then(|| clip::command_line(self.argv, self.argv_truncated, self.arguments_max))
    }

    /// A name that no other process has, on this machine or another: boot, number and start.
    pub(super) fn entity(&self, host: &Host) -> String {
        format!("{}:{}:{}", host.boot_id, self.id.pid, self.id.start_ticks())
    }
}

impl<'a> From<&'a Exec> for Process<'a> {
    fn from(exec: &'a Exec) -> Self {
        Self {
            id: exec.process,
            comm: &exec.comm,
            path: exec.executable.path.as_ref(),
            script: exec.script.as_ref(),
            argv: &exec.argv,
            argv_truncated: exec.argv_truncated,
            uid: Some(exec.credentials.uid),
            parent: exec.parent().map(|parent| parent.process.pid),
            path_max: bounds::SHELL_PATH,
            arguments_max: bounds::SHELL_ARGUMENTS,
        }
    }
}

impl<'a> From<&'a Command> for Process<'a> {
    fn from(command: &'a Command) -> Self {
        Self {
            id: command.process,
            comm: &command.comm,
            path: command.executable.path.as_ref(),
            script: command.script.as_ref(),
            argv: &command.argv,
            argv_truncated: command.argv_truncated,
            uid: Some(command.credentials.uid),
            parent: command.parent,
            path_max: bounds::PATH,
            arguments_max: bounds::ARGUMENTS,
        }
    }
}

/// Nothing is known of a relay's arguments and user.
impl<'a> From<&'a Hop> for Process<'a> {
    fn from(hop: &'a Hop) -> Self {
        Self {
            id: hop.process,
            comm: &hop.comm,
            path: hop.path.as_ref(),
            script: None,
            argv: &[],
            argv_truncated: false,
            uid: None,
            parent: Some(hop.parent).filter(|&parent| parent != 0),
            path_max: bounds::RELAY_PATH,
            arguments_max: 0,
        }
    }
}

/// The parent of an ancestor is the next one in the list of ancestors.
impl<'a> From<&'a Ancestor> for Process<'a> {
    fn from(ancestor: &'a Ancestor) -> Self {
        Self {
            id: ancestor.process,
            comm: &ancestor.comm,
            path: ancestor.path.as_ref(),
            script: None,
            argv: &ancestor.argv,
            argv_truncated: false,
            uid: Some(ancestor.uid),
            parent: None,
            path_max: bounds::PATH,
            arguments_max: bounds::ARGUMENTS,
        }
    }
}

/// Names and values of the shell's environment variables that fit, and whether something is missing.
pub(super) fn environment(context: &Context) -> (Vec<(String, String)>, bool) {
    let mut variables = Vec::new();
    let mut left = bounds::ENVIRONMENT;
    let mut cut = false;
    for variable in &context.environment {
        let bytes = variable.as_bytes();
        let at = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
        let (name, value) = (
            Text::from(&bytes[..at]),
            Text::from(bytes.get(at + 1..).unwrap_or_default()),
        );
        let [(name, name_cut), (value, value_cut)] = [&name, &value].map(|text| clip::text(text, bounds::VARIABLE));
        let takes = json::len(&name) + json::len(&value) + r#"{"name":"","value":""},"#.len();
        let Some(rest) = left.checked_sub(takes) else {
            return (variables, true);
        };
        left = rest;
        cut |= name_cut || value_cut;
        variables.push((name.into_owned(), value.into_owned()));
    }
    (variables, cut)
}
