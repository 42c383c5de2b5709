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
        database::{Database, Queued},
        record::Record,
        retention,
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
fn memory_keeps_what_a_full_disk_does_not_until_it_does() {
    let disk = Small::new();
    let store = start_retrying(disk.path());
    let mut follower = store.follow(SINK);
    let mut first = finding("first", State::Active);
    first.incident.update = 5;
    store.put(first);
    deliver(&mut follower, 1);
    disk.fill();
    // More than what the log has room for.
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
fn memory_is_bounded_and_what_it_gives_up_is_counted() {
    let mut record = Record::new(&[SINK.to_owned()]);
    let large = |id: &str, state| {
        let mut report = finding(id, state);
        report.incident.evidence = "x".repeat(1 << 20);
        report
    };
    record.append(large("open", State::Active));
    for number in 0..20 {
        record.append(large(&format!("{number:02}"), State::Inactive));
    }
    record.append(large("open", State::Active));
    let given_up = record.bound(true);
    assert_eq!(given_up + record.queued() as u64, 22);
    let left = record.after(0, 100).unwrap().states;
    let ids: Vec<&str> = left.iter().map(|(_, report)| report.id.as_str()).collect();
    // The superseded state goes first, then the oldest that ended.
    assert_eq!(
        (ids[0], ids[ids.len() - 1]),
        (format!("{:02}", given_up - 1).as_str(), "open")
    );
    // Where no file is planned, only what goes on stays once it was delivered.
    record.note(SINK, |cursor| cursor.seq = 22);
    assert_eq!(record.bound(false), 0);
    assert_eq!(record.queued(), 1);
}

/// Findings a minute apart, every fiftieth of which goes on. When the last one changed.
fn many(database: &mut Database, count: i64) -> i64 {
    let states = (1..=count).map(|seq| {
        let state = if seq % 50 == 1 { State::Active } else { State::Inactive };
        let mut report = finding(&format!("{:03}", seq - 1), state);
        report.incident.updated.0 += seq.unsigned_abs() * 60_000_000_000;
        Queued::new(seq, report).unwrap()
    });
    database.put(&states.collect::<Vec<_>>()).unwrap();
    database.newest_change().unwrap().unwrap()
}

fn ids(database: &Database) -> Vec<String> {
    let rows = database.after(0, 1000).unwrap().stored;
    rows.into_iter().map(|stored| stored.report.id).collect()
}

fn new_file() -> (TempDir, Database) {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join(FILE)).unwrap();
    (directory, database)
}

#[test]
fn the_oldest_that_ended_go_first_and_what_a_sink_waits_for_last() {
    let (_directory, mut database) = new_file();
    many(&mut database, 200);
    let within = retention::size(&database.connection).unwrap() / 2;
    let undelivered = retention::keep_within(&mut database.connection, within, i64::MAX).unwrap();
    assert_eq!(undelivered, 0);
    let left = ids(&database);
    assert!((10..200).contains(&left.len()), "{}", left.len());
    let ended = left.iter().filter(|id| !id.ends_with("50") && !id.ends_with("00"));
    let first = 200 - left.len() + 4 - 1;
    let newest = (first..200)
        .filter(|number| number % 50 != 0)
        .map(|number| format!("{number:03}"));
    assert!(ended.eq(newest.collect::<Vec<_>>().iter()));

    let (_directory, mut database) = new_file();
    many(&mut database, 100);
    // A sink has had 60 states.
    let undelivered = retention::keep_within(&mut database.connection, 0, 60).unwrap();
    assert_eq!(undelivered, 40);
    assert_eq!(ids(&database), ["000", "050"]);
}

#[test]
fn findings_go_when_they_are_old_and_delivered() {
    let (_directory, mut database) = new_file();
    let newest = many(&mut database, 100);
    let minute = Duration::from_secs(60);
    let oldest = |minutes: u32, now: i64, since: Duration| {
        let retention = Retention {
            max_age: Some(minutes * minute),
            max_bytes: 0,
        };
        retention.oldest(now, newest, since).unwrap()
    };
    retention::forget_old(&mut database.connection, oldest(10, newest, minute), 20).unwrap();
    assert_eq!(ids(&database).len(), 100 - 20 + 1);
    // The clock jumps ahead by years: nothing has become older than the sensor has run.
    retention::forget_old(&mut database.connection, oldest(200, i64::MAX, minute), i64::MAX).unwrap();
    assert_eq!(ids(&database).len(), 100 - 20 + 1);
    // It was ahead when the newest finding was made.
    assert_eq!(
        oldest(10, newest - 5, 3 * minute),
        oldest(10, newest, Duration::ZERO) - 5
    );
    retention::forget_old(&mut database.connection, oldest(10, newest, Duration::ZERO), i64::MAX).unwrap();
    assert_eq!(ids(&database)[..3], ["000", "050", "089"]);
}

#[test]
fn superseded_states_wait_for_sinks_but_not_without_end() {
    let (_directory, mut database) = new_file();
    let mut last = 0;
    let mut put = |database: &mut Database, count: i64| {
        let states = (last + 1..=last + count).map(|seq| Queued::new(seq, finding("a", State::Active)).unwrap());
        database.put(&states.collect::<Vec<_>>()).unwrap();
        last += count;
    };
    put(&mut database, 10);
    assert_eq!(retention::forget_superseded(&database.connection, 4).unwrap(), 0);
    assert_eq!(ids(&database).len(), 6);
    put(&mut database, 300);
    assert_eq!(retention::forget_superseded(&database.connection, 4).unwrap(), 305);
    assert_eq!(ids(&database).len(), 1);
}
