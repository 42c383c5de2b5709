//! Files that are damaged, cut, or of another version.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{delivered, finding, kept, start};
use crate::{
    detect::State,
    store::{FILE, Reader, StoreError, database::Database},
};

#[test]
fn a_damaged_file_is_moved_aside_and_the_sensor_goes_on() {
    let whole = tempfile::tempdir().unwrap();
    let store = start(whole.path());
    for number in 0..40 {
        store.put(finding(&format!("{number:02}"), State::Inactive));
    }
    store.join();
    let bytes = fs::read(whole.path().join(FILE)).unwrap();
    assert!(bytes.len() > 10 * 4096);
    let mut moved = 0;
    for page in 0..bytes.len() / 4096 {
        let directory = tempfile::tempdir().unwrap();
        let mut damaged = bytes.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        fs::write(directory.path().join(FILE), damaged).unwrap();
        let store = start(directory.path());
        store.put(finding("new", State::Active));
        store.join();
        moved += usize::from(directory.path().join(format!("{FILE}.corrupt-1")).exists());
        assert!(
            kept(directory.path()).iter().any(|report| report.id == "new"),
            "page {page}"
        );
    }
    assert!(moved > 2, "{moved}");
}

#[test]
fn a_form_of_another_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    start(directory.path()).join();
    let path = directory.path().join(FILE);
    let raw = rusqlite::Connection::open(&path).unwrap();
    for (name, add) in [("user_version", 97), ("application_id", 97)] {
        let number: i64 = raw.pragma_query_value(None, name, |row| row.get(0)).unwrap();
        raw.pragma_update(None, name, number + add).unwrap();
    }
    assert!(matches!(
        Database::open(&path),
        Err(StoreError::Version { version: 99, .. })
    ));
    assert!(matches!(
        Reader::open(&path),
        Err(StoreError::Version { version: 99, .. })
    ));
    let missing = Reader::open(&directory.path().join("no")).err().unwrap().to_string();
    assert!(
        missing.contains("--state-directory") && missing.lines().count() == 1,
        "{missing}"
    );
}

/// The tables of version 1.
const VERSION_1: &str = "
    CREATE TABLE reports (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, latest INTEGER NOT NULL, run INTEGER NOT NULL,
        number INTEGER NOT NULL, opened INTEGER NOT NULL, updated INTEGER NOT NULL, state TEXT NOT NULL,
        severity INTEGER NOT NULL, container TEXT, peers TEXT NOT NULL, report TEXT NOT NULL
    );
    CREATE INDEX reports_of_finding ON reports (id, seq);
    CREATE INDEX reports_by_time ON reports (updated) WHERE latest = 1;
    CREATE INDEX reports_superseded ON reports (seq) WHERE latest = 0;
    CREATE TABLE cursors (
        sink TEXT PRIMARY KEY, seq INTEGER NOT NULL, waits INTEGER NOT NULL DEFAULT 1, failing TEXT, failing_since INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE runs (run INTEGER PRIMARY KEY AUTOINCREMENT);
    INSERT INTO cursors (sink, seq) VALUES ('stdout', 4);
    PRAGMA user_version = 1;
    PRAGMA application_id = 0x52535347;
";

#[test]
fn a_file_of_version_1_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(VERSION_1).unwrap();
    let mut report = finding("old", State::Active);
    report.incident.update = 3;
    raw.execute(
        "INSERT INTO reports VALUES (5, 'old', 1, 1, 3, 0, 1, 'ACTIVE', 4, NULL, ' 203.0.113.7 ', ?1)",
        [serde_json::to_string(&report).unwrap()],
    )
    .unwrap();
    drop(raw);
    assert_eq!(kept(directory.path()).len(), 1, "before a sensor has changed it");
    let store = start(directory.path());
    store.put(finding("old", State::Active));
    assert_eq!(delivered(store), [("old".into(), 3), ("old".into(), 4)]);
    assert_eq!(kept(directory.path()).len(), 1);
}

/// The file of a sensor that found so many, in an order that tells each one's place, the first one open.
fn file_with(count: usize) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    for number in 0..count {
        store.put(finding(&format!("{number:02}"), State::Inactive));
    }
    store.join();
    fs::read(directory.path().join(FILE)).unwrap()
}

/// A sensor goes on with this file: what it finds is kept and delivered.
fn goes_on(bytes: &[u8], what: &str) {
    let directory = with_file(bytes);
    let store = start(directory.path());
    store.put(finding("new", State::Active));
    let got = delivered(store);
    assert!(got.iter().any(|(id, _)| id == "new"), "{what}: {got:?}");
    let kept = kept(directory.path());
    assert!(kept.iter().any(|report| report.id == "new"), "{what}");
}

fn with_file(bytes: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE), bytes).unwrap();
    directory
}

#[test]
fn a_file_that_is_cut_anywhere_is_no_obstacle() {
    let bytes = file_with(20);
    for length in (0..128).chain((128..bytes.len()).step_by(509)) {
        goes_on(&bytes[..length], &format!("cut to {length} bytes"));
    }
}

#[test]
fn a_header_with_any_byte_wrong_is_no_obstacle() {
    let bytes = file_with(5);
    for at in 0..100 {
        for wrong in [bytes[at] ^ 0xff, bytes[at] ^ 1, bytes[at] ^ 0x40] {
            let mut damaged = bytes.clone();
            damaged[at] = wrong;
            goes_on(
                &damaged,
                &format!("byte {at} is {wrong:#x} instead of {:#x}", bytes[at]),
            );
        }
    }
}

#[test]
fn damaged_files_do_not_pile_up() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        fs::write(
            directory.path().join(FILE),
            "not a database, though long enough".repeat(100),
        )
        .unwrap();
        start(directory.path()).join();
    }
    let aside = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("corrupt");
    let files = |directory: &Path| {
        fs::read_dir(directory)
            .unwrap()
            .map(Result::unwrap)
            .filter(aside)
            .count()
    };
    assert_eq!(files(directory.path()), 3);
}
