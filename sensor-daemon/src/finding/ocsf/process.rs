//! Processes of an event: the shell, its commands, who carries its streams, who is above it.

use serde_json::{Value, json};

use super::milliseconds;
use crate::{
    detect::Command,
    finding::{bounds, clip, environment::EnvironmentVariable, members},
    model::{Ancestor, Container, Context, Exec, Executable, FileDigest, Hop, Host, Pod, ProcessId, Text},
};

/// Less than elsewhere: the file's name is beside it, and `unmapped` repeats much.
const SHELL_PATH_MAX: usize = 2048;
/// Of a process in the list of ancestors, whose first is described in full.
const SHORT_MAX: usize = 256;

pub(super) fn of_shell(exec: &Exec, host: &Host, context: &Context) -> Value {
    let account = context.account.as_ref();
    let mut process = process(exec.process, &exec.comm, host);
    process["cmd_line"] = clip::command_line(&exec.argv, exec.argv_truncated, bounds::SHELL_ARGUMENTS).into();
    process["file"] = file(&exec.executable, SHELL_PATH_MAX, context.file.as_ref());
    process["user"] = json!({
        "uid": exec.credentials.uid.to_string(),
        "name": account.and_then(|account| account.name.as_deref()).map(clip::name),
    });
    process["working_directory"] = exec
        .cwd
        .as_ref()
        .map(|cwd| clip::shown(cwd, bounds::WORKING_DIRECTORY))
        .into();
    process["session"] = json!({
        "uid": account.and_then(|account| account.session).map(|session| session.to_string()),
        "terminal": account.and_then(|account| account.tty.as_deref()).map(clip::name),
    });
    process["container"] = container(exec.container.as_ref(), context.pod.as_ref());
    process["environment_variables"] = EnvironmentVariable::all(&context.environment)
        .0
        .into_iter()
        .map(|variable| json!({ "name": variable.name, "value": variable.value }))
        .collect();
    process["parent_process"] = exec.parent().map_or(Value::Null, |parent| of_ancestor(parent, host));
    process["ancestry"] = exec.ancestors.iter().map(|above| entity(above, host)).collect();
    process
}

pub(super) fn of_command(command: &Command, host: &Host) -> Value {
    let mut process = process(command.process, &command.comm, host);
    process["cmd_line"] = clip::command_line(&command.argv, command.argv_truncated, bounds::ARGUMENTS).into();
    process["file"] = file(&command.executable, bounds::PATH, None);
    process["user"] = json!({ "uid": command.credentials.uid.to_string() });
    process["parent_process"] = command.parent.map_or(Value::Null, |pid| json!({ "pid": pid }));
    process
}

/// Nothing is known of its arguments and its user.
pub(super) fn of_relay(hop: &Hop, host: &Host) -> Value {
    let mut process = process(hop.process, &hop.comm, host);
    process["file"] = named_file(hop.path.as_ref(), bounds::RELAY_PATH);
    process["parent_process"] = match hop.parent {
        0 => Value::Null,
        pid => json!({ "pid": pid }),
    };
    process
}

fn of_ancestor(ancestor: &Ancestor, host: &Host) -> Value {
    let mut process = process(ancestor.process, &ancestor.comm, host);
    process["cmd_line"] = clip::command_line(&ancestor.argv, false, bounds::ARGUMENTS).into();
    process["file"] = named_file(ancestor.path.as_ref(), bounds::PATH);
    process["user"] = json!({ "uid": ancestor.uid.to_string() });
    process
}

/// What a list of processes holds of each.
fn entity(ancestor: &Ancestor, host: &Host) -> Value {
    let mut process = process(ancestor.process, &ancestor.comm, host);
    process["cmd_line"] = clip::command_line(&ancestor.argv, false, SHORT_MAX).into();
    process["path"] = ancestor.path.as_ref().map(|path| clip::shown(path, SHORT_MAX)).into();
    process
}

fn process(process: ProcessId, comm: &Text, host: &Host) -> Value {
    json!({
        "pid": process.pid,
        "uid": members::process_entity(process, host),
        "name": clip::shown(comm, bounds::NAME),
        "created_time": milliseconds(process.start, host),
    })
}

fn file(executable: &Executable, room: usize, content: Option<&FileDigest>) -> Value {
    let mut file = named_file(executable.path.as_ref(), room);
    if file.is_null() {
        return file;
    }
    file["uid"] = executable.inode.to_string().into();
    file["owner"] = json!({ "uid": executable.owner.to_string() });
    file["is_deleted"] = executable.deleted.then_some(true).into();
    if let Some(content) = content {
        file["size"] = content.size.into();
        file["hashes"] = json!([{ "algorithm_id": 3, "algorithm": "SHA-256", "value": clip::digest(content) }]);
    }
    file
}

fn named_file(path: Option<&Text>, room: usize) -> Value {
    path.map_or(Value::Null, |path| {
        json!({
            "name": clip::shown(&Text::from(path.file_name()), bounds::NAME),
            "path": clip::shown(path, room),
            "type_id": 1,
            "type": "Regular File",
        })
    })
}

fn container(container: Option<&Container>, pod: Option<&Pod>) -> Value {
    container.map_or(Value::Null, |container| {
        json!({
            "uid": clip::name(&container.id),
            "name": container.name.as_deref().map(clip::name),
            "runtime": container.runtime.to_string(),
            // The image's own id is not known; the schema demands one.
            "image": container.image.as_deref().map(|image| {
                let image = clip::image(image);
                json!({ "uid": image, "name": image })
            }),
            "orchestrator": pod.map(|_| "kubernetes"),
            "pod_uuid": pod.and_then(|pod| pod.uid.as_deref()).map(clip::name),
        })
    })
}
