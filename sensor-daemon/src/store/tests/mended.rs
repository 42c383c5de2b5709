//! What goes wrong beside the sensor: a file that is removed, a directory that is somebody else's, rows that can't be read.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, lchown, symlink},
};

use super::{SINK, deliver, finding, kept, start, start_retrying, wait_until};
use crate::store::Settled;
use crate::{
    detect::State,
    store::{FILE, Reader},
};

#[test]
fn a_file_that_is_removed_is_begun_anew_with_what_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let store = start_retrying(&state);
    let mut follower = store.follow(SINK);
    let mut first = finding("goes on", State::Active);
    first.incident.update = 7;
    store.put(first);
    store.put(finding("ended", State::Inactive));
    deliver(&mut follower, 2);
    for removed in [false, true] {
        if removed {
            fs::remove_dir_all(&state).unwrap();
        } else {
            for entry in fs::read_dir(&state).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_string_lossy().starts_with(FILE) {
                    fs::remove_file(path).unwrap();
                }
            }
        }
        // Without any finding.
        let goes_on = |reader: Reader| reader.by_prefix("goes on").is_ok_and(|found| found.len() == 1);
        wait_until(|| Reader::open(&state.join(FILE)).is_ok_and(goes_on));
    }
    store.put(finding("goes on", State::Active));
    store.put(finding("new", State::Active));
    assert_eq!(deliver(&mut follower, 2), [("goes on".into(), 8), ("new".into(), 1)]);
    store.join();
    let mut ids: Vec<_> = kept(&state).into_iter().map(|report| report.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["goes on", "new"]);
}

#[test]
fn a_directory_that_somebody_else_controls_is_not_used() {
    let outer = tempfile::tempdir().unwrap();
    let target = outer.path().join("target");
    fs::create_dir(&target).unwrap();
    let link = outer.path().join("link");
    symlink(&target, &link).unwrap();
    lchown(&link, Some(65_534), None).unwrap();
    // Root's link where others may replace it.
    let open = outer.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
    let replaceable = open.join("link");
    symlink(&target, &replaceable).unwrap();
    let foreign = outer.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    chown(&foreign, Some(65_534), None).unwrap();
    for directory in [&link, &outer.path().join("link/"), &replaceable, &foreign] {
        let store = start(directory);
        store.put(finding("a", State::Active));
        assert_eq!(deliver(&mut store.follow(SINK), 1).len(), 1);
        assert!(!store.is_durable(), "{}", directory.display());
        store.join();
    }
    assert_eq!(
        fs::read_dir(&target).unwrap().count() + fs::read_dir(&foreign).unwrap().count(),
        0
    );
}

#[test]
fn a_link_that_only_root_can_replace_is_followed() {
    let outer = tempfile::tempdir().unwrap();
    let target = outer.path().join("private");
    fs::create_dir(&target).unwrap();
    let link = outer.path().join("link");
    symlink("private", &link).unwrap();
    let store = start(&link);
    store.put(finding("a", State::Active));
    store.join();
    assert_eq!(kept(&target).len(), 1);
}

#[test]
fn rows_that_can_not_be_read_are_counted_and_settle() {
    for damage in ["'{'", "x'ff'", "CAST(x'ff' AS TEXT)", "7"] {
        let directory = tempfile::tempdir().unwrap();
        let store = start(directory.path());
        for id in ["a", "b", "c"] {
            store.put(finding(id, State::Active));
        }
        store.join();
        let raw = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
        raw.execute(
            &format!("UPDATE reports SET report = {damage} WHERE id IN ('a', 'c')"),
            [],
        )
        .unwrap();
        let store = start(directory.path());
        let mut follower = store.follow(SINK);
        store.settle(Settled::All);
        // Hides nothing behind it.
        assert_eq!(
            deliver(&mut follower, 2),
            [("b".into(), 1), ("b".into(), 2)],
            "{damage}"
        );
        assert_eq!(store.dropped(), 2, "{damage}");
        store.join();
        assert_eq!(kept(directory.path()).len(), 1);
        let open: i64 = raw
            .query_row(
                "SELECT count(*) FROM reports WHERE latest AND state = 'ACTIVE'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(open, 0, "{damage}");
    }
}

#[test]
fn places_that_can_not_be_written_stop_nobody() {
    let directory = tempfile::tempdir().unwrap();
    start(directory.path()).join();
    let raw = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    raw.execute_batch(
        "CREATE TRIGGER no_insert BEFORE INSERT ON cursors BEGIN SELECT raise(FAIL, 'no'); END;
         CREATE TRIGGER no_delete BEFORE DELETE ON cursors BEGIN SELECT raise(FAIL, 'no'); END;",
    )
    .unwrap();
    let store = start_retrying(directory.path());
    let mut follower = store.follow(SINK);
    store.put(finding("a", State::Active));
    assert_eq!(deliver(&mut follower, 1).len(), 1);
    raw.execute_batch("DROP TRIGGER no_insert; DROP TRIGGER no_delete;")
        .unwrap();
    wait_until(|| raw.query_row("SELECT seq FROM cursors", [], |row| row.get::<_, i64>(0)) == Ok(1));
    store.join();
}
