//! Files that are damaged, cut, or of another version.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{SINK, delivered, finding, kept, start};
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
    raw.pragma_update(None, "user_version", 99).unwrap();
    let application: i64 = raw
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .unwrap();
    raw.pragma_update(None, "application_id", application + 98).unwrap();
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

#[test]
fn what_can_not_be_understood_hides_nothing_behind_it() {
    for damage in ["'{'", "x'ff'", "CAST(x'ff' AS TEXT)", "7"] {
        let directory = tempfile::tempdir().unwrap();
        let store = start(directory.path());
        for id in ["a", "b", "c"] {
            store.put(finding(id, State::Active));
        }
        store.join();
        let raw = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
        raw.execute(&format!("UPDATE reports SET report = {damage} WHERE id = 'a'"), [])
            .unwrap();
        drop(raw);
        let store = start(directory.path());
        let mut follower = store.follow(SINK);
        store.join();
        let batch = follower.next(1).unwrap();
        assert_eq!(batch[0].1.id, "b", "{damage}");
        assert_eq!(kept(directory.path()).len(), 2, "{damage}");
    }
}

#[test]
fn what_surrounds_a_damaged_page_is_saved_and_still_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    for number in 0..60 {
        store.put(finding(&format!("{number:02}"), State::Active));
    }
    store.join();
    let path = directory.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    // The page that holds the middle one's beginning.
    let middle = bytes.windows(9).position(|part| part == br#""id":"30""#).unwrap() / 4096;
    bytes[middle * 4096..(middle + 1) * 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let store = start(directory.path());
    store.settle();
    let got = delivered(store);
    assert!(directory.path().join(format!("{FILE}.corrupt-1")).exists());
    for id in ["00", "59"] {
        let times = got.iter().filter(|(got, _)| got == id).count();
        // Once as it was, and once as over, since nobody has met it again.
        assert_eq!(times, 2, "{id}: {got:?}");
    }
    let kept = kept(directory.path());
    assert!((40..60).contains(&kept.len()), "{}", kept.len());
    assert!(kept.iter().all(|report| report.incident.state == State::Inactive));
}

#[test]
fn a_kill_while_a_damaged_file_is_replaced_loses_nothing_of_it() {
    let bytes = file_with(30);
    let mut damaged = bytes.clone();
    let middle = damaged.windows(9).position(|part| part == br#""id":"15""#).unwrap() / 4096;
    damaged[middle * 4096..(middle + 1) * 4096].fill(0xa5);
    let saved = goes_on(&damaged, "replaced");
    assert!((15..30).contains(&saved), "{saved}");
    // What is in the directory after a kill.
    let log = b"the log of the damaged one".as_slice();
    for (when, left) in [
        (
            "before the new one is complete",
            vec![("", &damaged[..]), (".unfinished", &bytes[..5000])],
        ),
        (
            "when the new one is complete",
            vec![("", &damaged), ("-wal", log), (".renewed", &bytes)],
        ),
        ("when the log was moved", vec![("", &damaged), (".renewed", &bytes)]),
        ("when the file was moved", vec![(".renewed", &bytes)]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = |suffix: &str| directory.path().join(format!("{FILE}{suffix}"));
        for (suffix, content) in &left {
            fs::write(path(suffix), content).unwrap();
        }
        start(directory.path()).join();
        for suffix in [".unfinished", ".unfinished-wal", ".renewed", "-wal"] {
            assert!(!path(suffix).exists(), "{when}: {suffix}");
        }
        let has = |suffix| left.iter().any(|(name, _)| *name == suffix);
        assert_eq!(path(".corrupt-1").exists(), has(""), "{when}");
        assert_eq!(
            kept(directory.path()).len(),
            if has(".renewed") { 30 } else { saved },
            "{when}"
        );
    }
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

/// A sensor goes on with this file: what it finds is kept and delivered. How many of the old ones are there.
fn goes_on(bytes: &[u8], what: &str) -> usize {
    let directory = with_file(bytes);
    let store = start(directory.path());
    store.put(finding("new", State::Active));
    let got = delivered(store);
    assert!(got.iter().any(|(id, _)| id == "new"), "{what}: {got:?}");
    let kept = kept(directory.path());
    assert!(kept.iter().any(|report| report.id == "new"), "{what}");
    kept.len() - 1
}

fn with_file(bytes: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE), bytes).unwrap();
    directory
}

#[test]
fn a_file_that_is_cut_anywhere_is_no_obstacle() {
    let bytes = file_with(20);
    let lengths = (0..128).chain((128..bytes.len()).step_by(509));
    let saved: Vec<usize> = lengths
        .map(|length| goes_on(&bytes[..length], &format!("cut to {length} bytes")))
        .collect();
    assert_eq!(saved[0], 0);
    assert!(saved.last().is_some_and(|&saved| saved > 10), "{saved:?}");
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
