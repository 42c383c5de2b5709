//! The configuration file as people meet it: listed, checked, refused.

use std::{collections::HashMap, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use sensor_tests::suite::Alone;
use serde_json::Value;
use tempfile::TempDir;

use super::command_line::{all, sensor};

const GOOD: &str = r#"
min_severity = "high"
disable_exceptions = ["mosh"]

[[exception]]
id = "nightly-backup"
reason = "The backup server's agent runs rsync on its connection."
binary = "/usr/bin/rsync"
peer = ["10.1.0.0/16", "2001:db8::/32"]
user = "root"
"#;

/// Three mistakes, on lines 1, 5 and 9.
const BAD: &str = r#"min_severity = "hihg"

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
    for word in ["OK", path, "1 exception (nightly-backup)", "1 disabled (mosh)", "high"] {
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
    let expected = [(1, "\"high\""), (5, "`binary`"), (9, "silence everything")];
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

pub fn cases() -> Vec<Alone> {
    vec![
        ("config::check_config_accepts", check_config_accepts),
        (
            "config::check_config_names_every_mistake",
            check_config_names_every_mistake,
        ),
        ("config::check_config_of_nothing", check_config_of_nothing),
        ("config::exceptions_as_a_table", exceptions_as_a_table),
        ("config::exceptions_as_json", exceptions_as_json),
        ("config::exceptions_of_a_bad_file", exceptions_of_a_bad_file),
    ]
}
