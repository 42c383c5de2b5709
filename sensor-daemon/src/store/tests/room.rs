//! What is forgotten, and what becomes of findings while there is no room for more.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use super::{SINK, deliver, delivered, finding, kept, start, start_retrying, wait_until};
use crate::{
    detect::State,
    store::{
        FILE, Retention,
        database::Database,
        room::{Shed, Which},
    },
};

/// A file system of its own, of eight MiB.
struct Small(TempDir);

impl Small {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        mount(
            "tmpfs",
            directory.path(),
            "tmpfs",
            MountFlags::empty(),
            Some(c"size=8m"),
        )
        .expect("mounting takes root");
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut filler = File::options().append(true).create(true).open(self.filler()).unwrap();
        let error = loop {
            if let Err(error) = filler.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

#[test]
fn the_oldest_that_ended_make_room_on_a_full_disk() {
    let disk = Small::new();
    let store = start(disk.path());
    let mut follower = store.follow(SINK);
    for number in 0..200 {
        store.put(finding(&format!("old {number:03}"), State::Inactive));
    }
    deliver(&mut follower, 200);
    disk.fill();
    for number in 0..200 {
        store.put(finding(&format!("new {number:03}"), State::Active));
    }
    deliver(&mut follower, 200);
    assert!(store.is_durable());
    assert_eq!(store.dropped(), 0);
    store.join();
    let kept = kept(disk.path());
    let count = |what: &str| kept.iter().filter(|report| report.id.starts_with(what)).count();
    assert_eq!(count("new"), 200);
    assert!(count("old") < 200);
}

#[test]
fn memory_keeps_what_a_full_disk_does_not_until_it_does() {
    let disk = Small::new();
    let store = start_retrying(disk.path());
    let mut follower = store.follow(SINK);
    let mut first = finding("first", State::Active);
    first.incident.update = 5;
    store.put(first);
    deliver(&mut follower, 1);
    disk.fill();
    // More than the room that is kept free.
    for number in 0..1000 {
        store.put(finding(&format!("new {number:04}"), State::Active));
        if number % 100 == 99 {
            deliver(&mut follower, 100);
        }
    }
    assert!(!store.is_durable());
    let mut again = finding("first", State::Active);
    again.incident.update = 1;
    store.put(again);
    assert_eq!(deliver(&mut follower, 1), [("first".into(), 6)]);
    disk.free();
    wait_until(|| store.is_durable());
    store.put(finding("last", State::Active));
    assert_eq!(deliver(&mut follower, 1), [("last".into(), 1)]);
    assert_eq!(store.dropped(), 0);
    store.join();
    assert_eq!(kept(disk.path()).len(), 1002);
}

#[test]
fn a_disk_that_is_full_at_the_start_is_used_once_it_is_not() {
    let disk = Small::new();
    disk.fill();
    let store = start_retrying(disk.path());
    let mut follower = store.follow(SINK);
    store.put(finding("a", State::Active));
    store.put(finding("ended", State::Inactive));
    assert_eq!(deliver(&mut follower, 2), [("a".into(), 1), ("ended".into(), 1)]);
    assert!(!store.is_durable());
    disk.free();
    wait_until(|| store.is_durable());
    store.put(finding("b", State::Active));
    assert_eq!(deliver(&mut follower, 1), [("b".into(), 1)]);
    store.join();
    assert_eq!(kept(disk.path()).len(), 3);
    assert_eq!(delivered(start(disk.path())), []);
}

#[test]
fn a_directory_that_another_sensor_leaves_is_taken_over_with_what_it_had_not_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let first = start(directory.path());
    for (id, state) in [
        ("ended", State::Inactive),
        ("goes on", State::Active),
        ("left", State::Active),
    ] {
        first.put(finding(id, state));
    }
    let second = start_retrying(directory.path());
    let mut follower = second.follow(SINK);
    second.put(finding("goes on", State::Active));
    second.put(finding("new", State::Active));
    second.settle();
    deliver(&mut follower, 2);
    assert!(!second.is_durable());
    first.join();
    wait_until(|| second.is_durable());
    let mut rest = deliver(&mut follower, 2);
    rest.sort_unstable();
    assert_eq!(rest, [("ended".into(), 2), ("left".into(), 2)]);
    second.join();
    let mut states: Vec<_> = kept(directory.path())
        .into_iter()
        .map(|report| (report.id, report.incident.state))
        .collect();
    states.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("ended", State::Inactive),
        ("goes on", State::Active),
        ("left", State::Inactive),
        ("new", State::Active),
    ];
    assert_eq!(states, expected.map(|(id, state)| (id.to_owned(), state)));
    assert_eq!(delivered(start(directory.path())), []);
}

/// Findings a minute apart, every fiftieth of which goes on.
fn many(database: &mut Database, count: u64) -> i64 {
    let reports = (0..count).map(|number| {
        let state = if number.is_multiple_of(50) {
            State::Active
        } else {
            State::Inactive
        };
        let mut report = finding(&format!("{number:03}"), state);
        report.incident.updated.0 += number * 60_000_000_000;
        report
    });
    let mut reports: Vec<_> = reports.collect();
    database.put(&mut reports).unwrap();
    super::super::columns::unix(reports.last().unwrap())
}

fn ids(database: &Database) -> Vec<String> {
    let rows = database.after(0, 1000).unwrap();
    rows.into_iter().map(|stored| stored.report.id).collect()
}

#[test]
fn the_oldest_that_ended_go_first_and_room_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let mut database = Database::open(&path).unwrap();
    many(&mut database, 200);
    let shed = database.keep_within(400 << 10, Which::All).unwrap();
    let ids = ids(&database);
    assert!((10..200).contains(&ids.len()), "{}", ids.len());
    // Nobody waits for them.
    assert_eq!((shed.findings, shed.undelivered), (200 - ids.len(), 0));
    for open in ["000", "050", "100", "150"] {
        assert!(ids.iter().any(|id| id == open), "{open} goes on");
    }
    let ended = ids.iter().filter(|id| !id.ends_with("50") && !id.ends_with("00"));
    let first = 200 - ids.len() + 4 - 1;
    assert!(
        ended.eq((first..200)
            .filter(|number| number % 50 != 0)
            .map(|number| format!("{number:03}"))
            .collect::<Vec<_>>()
            .iter())
    );
    drop(database);
    let size = fs::metadata(&path).unwrap().len();
    assert!(size <= 400 << 10, "{size}");
}

#[test]
fn what_no_sink_waits_for_goes_before_what_one_does() {
    let mut database = Database::in_memory(0).unwrap();
    database.begin_cursors(&[SINK.to_owned()]).unwrap();
    many(&mut database, 100);
    database.set_cursor(SINK, 60).unwrap();
    let delivered = Shed {
        findings: 32,
        undelivered: 0,
    };
    assert_eq!(database.shed(Which::All).unwrap(), delivered);
    database.keep_within(0, Which::Delivered).unwrap();
    assert_eq!(ids(&database).len(), 2 + 40);
    let mut all = Shed::default();
    let mut before = Vec::new();
    loop {
        let shed = database.shed(Which::All).unwrap();
        if shed.findings == 0 {
            break;
        }
        all = all.and(shed);
        before.push(shed.undelivered);
    }
    assert_eq!(
        all,
        Shed {
            findings: 40,
            undelivered: 40
        }
    );
    assert_eq!(before, [32, 8]);
    assert_eq!(ids(&database), ["000", "050"]);
}

#[test]
fn findings_go_when_they_are_old() {
    let mut database = Database::in_memory(0).unwrap();
    let now = many(&mut database, 100);
    let retention = |minutes: u64| Retention {
        max_age: Some(Duration::from_secs(60 * minutes)),
        max_bytes: 0,
    };
    database
        .forget_old(
            &Retention {
                max_age: None,
                ..retention(0)
            },
            i64::MAX,
        )
        .unwrap();
    assert_eq!(ids(&database).len(), 100);
    let shed = database.forget_old(&retention(10), now).unwrap();
    assert_eq!(shed.findings, 100 - 11 - 2);
    assert_eq!(ids(&database)[..3], ["000", "050", "089"]);
}

#[test]
fn a_sink_that_left_keeps_nothing_from_being_forgotten() {
    let mut database = Database::in_memory(0).unwrap();
    database.begin_cursors(&["gone".to_owned(), SINK.to_owned()]).unwrap();
    let states = |count: i64| {
        let report = |number| {
            let mut report = finding("a", State::Active);
            report.incident.update = number;
            report
        };
        (1..=count.unsigned_abs()).map(report).collect::<Vec<_>>()
    };
    let last = database.put(&mut states(10)).unwrap();
    database.set_cursor(SINK, last).unwrap();
    assert_eq!(database.forget_superseded().unwrap(), 0);
    assert_eq!(ids(&database).len(), 10);
    database.wait_for("gone", false).unwrap();
    assert_eq!(database.forget_superseded().unwrap(), 0);
    assert_eq!(ids(&database).len(), 1);
    // It is waited for again after the next start; what it did not get by then is counted once there is too much.
    database.begin_cursors(&["gone".to_owned(), SINK.to_owned()]).unwrap();
    database.put(&mut states(300)).unwrap();
    assert_eq!(database.forget_superseded().unwrap(), 300);
}
