//! Every kind of report in every format, held against the format's own parser or schema. `tests/` does the same with the
//! findings of a running sensor.

use std::{env, fs, path::PathBuf, process::Command};

use super::full::{every_kind, largest};
use crate::finding::{LINE_MAX, Report, ecs, json, ocsf, scc};

/// The Python that `cargo xtask setup --tests` has put the parsers into.
fn python() -> PathBuf {
    let installed = || {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
        Some(cache.join("sensor-build/finding-parsers/bin/python"))
    };
    let python = env::var_os("SENSOR_TEST_PYTHON").map(PathBuf::from).or_else(installed);
    let python = python.filter(|python| python.exists());
    python.expect("the parsers of findings are not installed: run cargo xtask setup --tests")
}

/// Has `script` of `tests/programs` read a line for each report.
fn read(script: &str, table: Option<&str>, write: impl Fn(&Report) -> String) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let mut reports = every_kind();
    // What takes the most room in JSON: control characters, bytes that are not UTF-8, and long text.
    reports.extend([&b"\x01"[..], b"\xff", b"x", "é".as_bytes(), b"'", b"\""].map(largest));
    let lines: Vec<String> = reports.iter().map(write).collect();
    for line in &lines {
        assert!(line.len() <= LINE_MAX, "{} bytes: {}", line.len(), &line[..200]);
        assert!(!line.contains('\n'));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lines");
    fs::write(&file, lines.join("\n")).unwrap();
    let output = Command::new(python())
        .arg(root.join("programs").join(script))
        .args(table.map(|table| root.join("schemas").join(table)))
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("parsed {} lines", lines.len())), "{said}");
}

#[test]
fn security_command_center() {
    read("parse.py", None, |report| json::line(&scc(report)));
}

#[test]
fn open_cybersecurity_schema_framework() {
    read("ocsf.py", None, |report| json::line(&ocsf(report)));
}

#[test]
fn elastic_common_schema() {
    read("ecs.py", Some("ecs-9.4.0.tsv"), |report| json::line(&ecs(report)));
}
