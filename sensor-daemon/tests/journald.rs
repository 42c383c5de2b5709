//! Findings in a real journal: one that runs in a mount namespace of its own, read back with `journalctl`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use common::{hostile, reports, wait_for};
use sensor_daemon::{
    finding,
    sinks::{
        Sink as _,
        journald::{Journald, MESSAGE_ID},
    },
};
use serde_json::Value;

const SCRIPT: &str = include_str!("../../tests/programs/journal.sh");

struct Journal {
    child: Child,
    root: PathBuf,
}

impl Journal {
    fn start() -> Self {
        assert!(
            fs::exists("/lib/systemd/systemd-journald").unwrap(),
            "systemd-journald is not installed: run cargo xtask setup --tests"
        );
        let mut unshare = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            unshare.arg("--map-root-user");
        }
        let child = unshare
            .args(["--mount", "sh", "-ec", SCRIPT])
            .stdin(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is not installed");
        let root = PathBuf::from(format!("/proc/{}/root/run", child.id()));
        let journal = Self { child, root };
        journal.wait_until_it_listens();
        journal
    }

    fn socket(&self) -> PathBuf {
        self.root.join("systemd/journal/socket")
    }

    fn wait_until_it_listens(&self) {
        wait_for("the journal", || {
            let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
            socket.connect(self.socket()).ok()
        });
    }

    fn stop(&self) {
        let pid = fs::read_to_string(self.root.join("pid")).unwrap();
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        wait_for("the end of the journal", || {
            rustix::process::test_kill_process(pid).is_err().then_some(())
        });
    }

    fn start_again(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"again\n").unwrap();
        self.wait_until_it_listens();
    }

    /// The entries that match, as `journalctl -o json` shows them.
    fn entries(&self, options: &[&str]) -> Vec<Value> {
        let output = Command::new("journalctl")
            .arg("--quiet")
            .arg("--directory")
            .arg(self.root.join("log/journal"))
            .args(["-o", "json"])
            .args(options)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn wait_for_entries(&self, count: usize, options: &[&str]) -> Vec<Value> {
        wait_for(&format!("{count} entries {options:?}"), || {
            let entries = self.entries(options);
            (entries.len() >= count).then_some(entries)
        })
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Everything may have ended already.
        drop(self.child.stdin.take());
        if let Ok(pid) = fs::read_to_string(self.root.join("pid"))
            && let Some(pid) = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

#[test]
fn findings_are_entries_that_can_be_filtered() {
    let journal = Journal::start();
    let mut sink = Journald::new(journal.socket()).unwrap();
    let reports = reports();
    for report in &reports {
        sink.deliver(report).unwrap();
    }
    let all = journal.wait_for_entries(reports.len(), &["--all", &format!("MESSAGE_ID={MESSAGE_ID}")]);
    assert_eq!(all.len(), reports.len());
    for (entry, report) in all.iter().zip(&reports) {
        let shell = &report.incident.shell;
        let ended = report.incident.ended.is_some();
        for (field, value) in [
            ("MESSAGE", finding::sentence(&report.incident)),
            ("SYSLOG_IDENTIFIER", "sensor-daemon".into()),
            ("PRIORITY", if ended { "5" } else { "2" }.into()),
            ("FINDING_STATE", report.state().into()),
            ("FINDING_LOCAL_ADDRESS", "10.0.0.5".into()),
            ("FINDING_ID", report.id.clone()),
            ("FINDING_SEVERITY", "CRITICAL".into()),
            ("FINDING_TECHNIQUE", "reverse_shell".into()),
            ("FINDING_PID", shell.process.pid.to_string()),
            ("FINDING_UID", shell.credentials.uid.to_string()),
            ("FINDING_JSON", finding::scc(report).to_string()),
        ] {
            assert_eq!(entry[field], value.as_str(), "{field} of {entry:#}");
        }
    }
    // Without --all, what is long is null, and only the JSON is.
    for entry in journal.entries(&[&format!("MESSAGE_ID={MESSAGE_ID}")]) {
        let null: Vec<&String> = entry
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, v)| v.is_null())
            .map(|(k, _)| k)
            .collect();
        assert!(null.iter().all(|name| *name == "FINDING_JSON"), "{null:?}");
    }
    let first = &reports[0];
    let ended = journal.entries(&[&format!("FINDING_ID={}", first.id), "FINDING_STATE=ENDED"]);
    assert_eq!(ended.len(), 1, "the last state of one finding");
    let alarms = reports.iter().filter(|report| report.incident.ended.is_none());
    assert_eq!(journal.entries(&["-p", "crit"]).len(), alarms.count());
}

#[test]
fn hostile_bytes_make_no_fields_and_no_entries() {
    let journal = Journal::start();
    let mut sink = Journald::new(journal.socket()).unwrap();
    let report = hostile();
    sink.deliver(&report).unwrap();
    let id = format!("FINDING_ID={}", report.id);
    let entries = journal.wait_for_entries(1, &["--all", &id]);
    assert_eq!(entries.len(), 1);
    let entry = entries[0].as_object().unwrap();
    assert!(!entry.contains_key("INJECTED"), "{entry:?}");
    assert_eq!(entry["FINDING_ID"], report.id.as_str());
    for (name, value) in entry.iter().filter(|(name, _)| name.starts_with("FINDING_")) {
        // A value with control characters would come out as a list of bytes, a repeated field as a list of values.
        let Value::String(text) = value else {
            panic!("{name} is {value}");
        };
        assert!(
            name == "FINDING_JSON" || text.len() <= 4096,
            "{name} has {} bytes",
            text.len()
        );
    }
    for evil in ["FINDING_ID=evil", "INJECTED=1"] {
        assert_eq!(journal.entries(&[evil]), Vec::<Value>::new(), "{evil}");
    }
}

#[test]
fn a_journal_that_is_started_again_is_found_again() {
    let mut journal = Journal::start();
    let mut sink = Journald::new(journal.socket()).unwrap();
    let reports = reports();
    sink.deliver(&reports[0]).unwrap();
    journal.wait_for_entries(1, &[&format!("MESSAGE_ID={MESSAGE_ID}")]);
    journal.stop();
    let error = sink.deliver(&reports[1]).unwrap_err().to_string();
    assert!(
        error.contains("is systemd-journald running?") && !error.contains('\n'),
        "{error}"
    );
    journal.start_again();
    sink.deliver(&reports[1]).unwrap();
    journal.wait_for_entries(2, &[&format!("MESSAGE_ID={MESSAGE_ID}")]);
}
