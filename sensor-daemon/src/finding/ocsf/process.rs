//! Processes of an event: the shell, its commands, who carries its streams, who is above it.

use serde_json::{Value, json};

use crate::{
    detect::Command,
    finding::{
        bounds, clip,
        process::{Process, environment},
        time::milliseconds,
    },
    model::{Ancestor, Container, Context, Exec, Executable, Hop, Host, Pod},
};

pub(super) fn of_shell(exec: &Exec, host: &Host, context: &Context) -> Value {
    let account = context.account.as_ref();
    let mut shell = Process::from(exec);
    shell.path_max = bounds::OCSF_SHELL_PATH;
    let mut process = of_process(&shell, host);
    describe_file(&mut process, &exec.executable);
    if let (Some(content), true) = (&context.file, process["file"].is_object()) {
        process["file"]["size"] = content.size.into();
        process["file"]["hashes"] =
            json!([{ "algorithm_id": 3, "algorithm": "SHA-256", "value": clip::digest(content) }]);
    }
    process["user"]["name"] = account
        .and_then(|account| account.name.as_deref())
        .map(clip::name)
        .into();
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
    let (variables, _) = environment(context);
    let variables = variables
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }));
    process["environment_variables"] = variables.collect();
    process["parent_process"] = exec.parent().map(|parent| of_process(&parent.into(), host)).into();
    process["ancestry"] = exec.ancestors.iter().map(|above| in_ancestry(above, host)).collect();
    process
}

pub(super) fn of_command(command: &Command, host: &Host) -> Value {
    let mut process = of_process(&command.into(), host);
    describe_file(&mut process, &command.executable);
    process
}

pub(super) fn of_relay(hop: &Hop, host: &Host) -> Value {
    of_process(&hop.into(), host)
}

/// The list of ancestors has room for less of each, and names files by their path alone.
fn in_ancestry(ancestor: &Ancestor, host: &Host) -> Value {
    let mut ancestor = Process::from(ancestor);
    ancestor.path_max = bounds::OCSF_ANCESTRY;
    ancestor.arguments_max = bounds::OCSF_ANCESTRY;
    json!({
        "pid": ancestor.id.pid,
        "uid": ancestor.entity(host),
        "name": ancestor.name(),
        "created_time": milliseconds(ancestor.id.start, host),
        "cmd_line": ancestor.command_line(),
        "path": ancestor.path(),
    })
}

fn of_process(process: &Process<'_>, host: &Host) -> Value {
    json!({
        "pid": process.id.pid,
        "uid": process.entity(host),
        "name": process.name(),
        "created_time": milliseconds(process.id.start, host),
        "cmd_line": process.command_line(),
        "file": process.path().map(|path| json!({
            "name": process.file_name(),
            "path": path,
            "type_id": 1,
            "type": "Regular File",
        })),
        "user": { "uid": process.uid.map(|uid| uid.to_string()) },
        "parent_process": { "pid": process.parent },
    })
}

fn describe_file(process: &mut Value, executable: &Executable) {
    let file = &mut process["file"];
    if file.is_object() {
        file["uid"] = executable.inode.to_string().into();
        file["owner"] = json!({ "uid": executable.owner.to_string() });
        file["is_deleted"] = executable.deleted.then_some(true).into();
    }
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
