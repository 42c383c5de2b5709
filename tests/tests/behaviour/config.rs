//! The configuration file as people meet it: listed, checked, refused.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use sensor_tests::{
    deadline::wait_for,
    process::command,
    sensor::{Sensor, binary},
    suite::Alone,
    takeover::Takeover,
};
use serde_json::Value;
use tempfile::TempDir;

use super::command_line::{all, sensor};

const GOOD: &str = r#"
min_severity = "high"
disable_exceptions = ["mosh"]
output = ["journald", "file=/var/log/findings.json"]
format = "ecs"

[[exception]]
id = "nightly-backup"
reason = "The backup server's agent runs rsync on its connection."
binary = "/usr/bin/rsync"
peer = ["10.1.0.0/16", "2001:db8::/32"]
user = "root"
"#;

/// Four mistakes, on lines 1, 2, 6 and 10.
const BAD: &str = r#"min_severity = "hihg"
output = ["stdout", "journal"]

[[exception]]
id = "a"
binry = "/usr/bin/rsync"
reason = "Its condition is misspelt."

# Everything.
[[exception]]
id = "b"
reason = "Too wide."
peer = ["0.0.0.0/0", "::/0"]
"#;

fn file(text: &str) -> Result<(TempDir, PathBuf)> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("config.toml");
    fs::write(&path, text)?;
    Ok((dir, path))
}

fn check_config_accepts() -> Result<()> {
    let (_dir, path) = file(GOOD)?;
    let path = path.to_str().context("an odd directory")?;
    let output = sensor(&["check-config", path])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "it ends with {}: {}",
        output.status,
        all(&output)
    );
    for word in [
        "OK",
        path,
        "1 exception (nightly-backup)",
        "1 disabled (mosh)",
        "high",
        "output is journald, file=/var/log/findings.json",
        "format is ecs",
    ] {
        ensure!(text.contains(word), "`{word}` is missing: {text}");
    }
    Ok(())
}

fn check_config_names_every_mistake() -> Result<()> {
    let (_dir, path) = file(BAD)?;
    let path = path.to_str().context("an odd directory")?;
    let output = sensor(&["check-config", path])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "it ends with {}", output.status);
    ensure!(output.stdout.is_empty(), "it says OK: {}", all(&output));
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        (1, "\"high\""),
        (2, "\"journald\""),
        (6, "`binary`"),
        (10, "silence everything"),
    ];
    ensure!(lines.len() == expected.len(), "not {} lines: {said}", expected.len());
    for (line, (number, hint)) in lines.iter().zip(expected) {
        ensure!(
            line.contains(&format!("{path}:{number}: ")) && line.contains(hint),
            "line {number} with {hint} is missing: {said}"
        );
    }
    Ok(())
}

fn check_config_of_nothing() -> Result<()> {
    let output = sensor(&["check-config", "/nonexistent/config.toml"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "it ends with {}", output.status);
    ensure!(
        said.contains("/nonexistent/config.toml") && said.contains("No such file"),
        "it does not say what is missing: {said}"
    );
    Ok(())
}

/// Without FILE it checks the default one, and names it. What is no file is refused, and never waited for.
fn check_config_of_the_default_and_of_a_fifo() -> Result<()> {
    const DEFAULT: &str = "/etc/sensor-daemon/config.toml";
    let output = sensor(&["check-config"])?;
    ensure!(all(&output).contains(DEFAULT), "it names no file: {}", all(&output));
    ensure!(
        Path::new(DEFAULT).exists() || output.status.success(),
        "no file at all is refused: {}",
        all(&output)
    );
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("fifo");
    let made = command("mkfifo").arg(&path).status()?;
    ensure!(made.success(), "mkfifo ends with {made}");
    let output = sensor(&["check-config", path.to_str().context("an odd directory")?])?;
    ensure!(
        output.status.code() == Some(1) && all(&output).contains("not a regular file"),
        "it is taken: {}",
        all(&output)
    );
    Ok(())
}

fn exceptions_as_a_table() -> Result<()> {
    let (_dir, path) = file(GOOD)?;
    let path = path.to_str().context("an odd directory")?;
    let output = sensor(&["exceptions", "--config", path])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "it ends with {}: {}",
        output.status,
        all(&output)
    );
    for word in [
        "openssh (built in)",
        "mosh (built in, DISABLED)",
        "nightly-backup (configured)",
        "The backup server's agent runs rsync",
        "/usr/sbin/sshd",
        "2001:db8::/32",
        "root (0)",
        "1 configured",
        "1 disabled",
    ] {
        ensure!(text.contains(word), "`{word}` is missing: {text}");
    }
    Ok(())
}

fn exceptions_as_json() -> Result<()> {
    let (_dir, path) = file(GOOD)?;
    let path = path.to_str().context("an odd directory")?;
    let output = sensor(&["exceptions", "--config", path, "--format", "json"])?;
    ensure!(
        output.status.success(),
        "it ends with {}: {}",
        output.status,
        all(&output)
    );
    let list: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let mut by_id = HashMap::new();
    for exception in &list {
        let id = exception["id"].as_str().context("an exception without id")?;
        ensure!(
            exception["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
            "{id} has no reason"
        );
        ensure!(
            exception["conditions"].as_object().is_some_and(|all| !all.is_empty()),
            "{id} has no conditions"
        );
        ensure!(by_id.insert(id, exception).is_none(), "{id} is there twice");
    }
    let own = by_id.get("nightly-backup").context("the file's own is missing")?;
    ensure!(own["origin"] == "user" && own["disabled"] == false, "{own}");
    ensure!(
        own["conditions"]["binary"] == serde_json::json!(["/usr/bin/rsync"]),
        "{own}"
    );
    let disabled: Vec<&&str> = by_id
        .iter()
        .filter(|(_, exception)| exception["disabled"] == true)
        .map(|(id, _)| id)
        .collect();
    ensure!(disabled == [&"mosh"], "these are disabled: {disabled:?}");
    Ok(())
}

fn exceptions_of_a_bad_file() -> Result<()> {
    let (_dir, path) = file(BAD)?;
    let output = sensor(&["exceptions", "--config", path.to_str().context("an odd directory")?])?;
    ensure!(
        output.status.code() == Some(1) && output.stdout.is_empty(),
        "it is accepted: {}",
        all(&output)
    );
    Ok(())
}

/// The sensor does not start with such a file, and says what `check-config` says.
fn refused_at_start() -> Result<()> {
    let (_dir, path) = file(BAD)?;
    let path = path.to_str().context("an odd directory")?;
    let (checked, started) = (sensor(&["check-config", path])?, sensor(&["run", "--config", path])?);
    ensure!(started.status.code() == Some(1), "it ends with {}", started.status);
    ensure!(started.stderr == checked.stderr, "other words: {}", all(&started));
    Ok(())
}

/// Findings go where the file says, as what it says, and are kept there; the command line goes before it.
fn outputs_of_the_file() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let [by_file, by_option, state, config] =
        ["by-file.json", "by-option.json", "state", "config.toml"].map(|name| dir.path().join(name));
    let text = format!(
        "output = \"file={}\"\nformat = \"ecs\"\n[store]\ndirectory = \"{}\"\n",
        by_file.display(),
        state.display()
    );
    fs::write(&config, text)?;
    let start = |more: &[&str]| -> Result<Sensor> {
        let mut run = command(binary()?);
        run.args(["run", "--config"]).arg(&config).args(more);
        let sensor = Sensor::start_unread(run)?;
        sensor.read()?;
        Ok(sensor)
    };
    let told = |path: &Path, peer_port: &str| -> Result<()> {
        let takeover = Takeover::start()?;
        let port = takeover.ends().peer.port();
        takeover.end()?;
        wait_for("a finding in the file", || {
            let text = fs::read_to_string(path).unwrap_or_default();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            Ok(lines
                .any(|line| line.pointer(peer_port).is_some_and(|is| *is == port))
                .then_some(()))
        })
    };
    let running = start(&[])?;
    told(&by_file, "/destination/port")?;
    running.stop()?;
    ensure!(running.line_count() == 0, "standard output has findings as well");
    let path = config.to_str().context("an odd directory")?;
    let listed = sensor(&["findings", "--config", path, "--format", "json"])?;
    ensure!(
        state.join("findings.db").is_file() && listed.status.success() && !listed.stdout.is_empty(),
        "they are not kept there: {}",
        all(&listed)
    );
    let before = fs::read(&by_file)?;
    let output = format!("file={}", by_option.display());
    let running = start(&["--output", &output, "--format", "json"])?;
    told(&by_option, "/finding/connections/0/destinationPort")?;
    running.stop()?;
    ensure!(fs::read(&by_file)? == before, "the file's output is written to as well");
    Ok(())
}

pub fn cases() -> Vec<Alone> {
    vec![
        ("config::check_config_accepts", check_config_accepts),
        (
            "config::check_config_names_every_mistake",
            check_config_names_every_mistake,
        ),
        ("config::check_config_of_nothing", check_config_of_nothing),
        (
            "config::check_config_of_the_default_and_of_a_fifo",
            check_config_of_the_default_and_of_a_fifo,
        ),
        ("config::exceptions_as_a_table", exceptions_as_a_table),
        ("config::exceptions_as_json", exceptions_as_json),
        ("config::exceptions_of_a_bad_file", exceptions_of_a_bad_file),
        ("config::refused_at_start", refused_at_start),
        ("config::outputs_of_the_file", outputs_of_the_file),
    ]
}
