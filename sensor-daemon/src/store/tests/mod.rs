//! The record as detection, sinks and readers see it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod close;
mod damage;
mod killed;
mod mended;
mod room;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{FILE, Filter, Follower, Peer, Place, Reader, Retention, Standing, Store};
use crate::store::Settled;
use crate::{
    detect::{Severity, State},
    finding::{
        Report,
        tests::{report, reverse_shell},
    },
};

const SINK: &str = "stdout";

fn start(directory: &Path) -> Store {
    start_with(directory, Duration::from_secs(3600))
}

/// One that tries a file that it can't use again at once.
fn start_retrying(directory: &Path) -> Store {
    start_with(directory, Duration::from_millis(20))
}

fn start_with(directory: &Path, retry_every: Duration) -> Store {
    let place = Place::Directory(directory.to_owned());
    Store::start_with(&place, Retention::default(), &[SINK.to_owned()], retry_every).unwrap()
}

/// Waits for something that another thread does.
fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never was so");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A finding with this id.
fn finding(id: &str, state: State) -> Report {
    let mut report = report(&reverse_shell());
    report.id = id.to_owned();
    report.incident.state = state;
    report
}

/// Ids and update numbers of the next states that a sink gets.
fn deliver(follower: &mut Follower, count: usize) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    while all.len() < count {
        for (seq, report) in follower.next(count - all.len()).expect("the store goes on") {
            all.push((report.id.clone(), report.incident.update));
            follower.done(seq);
        }
    }
    all
}

/// Ids and update numbers that a sink gets from now on until the store is closed.
fn delivered(store: Store) -> Vec<(String, u64)> {
    let mut follower = store.follow(SINK);
    store.join();
    let mut all = Vec::new();
    while let Some(batch) = follower.next(3) {
        for (seq, report) in batch {
            all.push((report.id.clone(), report.incident.update));
            follower.done(seq);
        }
    }
    all
}

fn kept(directory: &Path) -> Vec<Report> {
    let reader = Reader::open(&directory.join(FILE)).unwrap();
    let found = reader.findings(&Filter::default()).unwrap();
    found.into_iter().map(|stored| stored.report).collect()
}

#[test]
fn a_sink_gets_each_state_once_and_what_it_missed_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    for state in [State::Active, State::Inactive] {
        store.put(finding("a", state));
    }
    store.put(finding("b", State::Active));
    // The sensor is killed before the sink has had anything.
    store.join();
    let store = start(directory.path());
    store.put(finding("c", State::Active));
    let ids: Vec<_> = delivered(store).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["a", "a", "b", "c"]);
    let store = start(directory.path());
    assert_eq!(delivered(store), []);
}

#[test]
fn a_finding_goes_on_where_an_earlier_sensor_left_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    let mut first = finding("a", State::Active);
    (first.incident.update, first.incident.severity) = (7, Severity::Critical);
    let opened = first.incident.opened;
    store.put(first);
    store.join();
    let store = start(directory.path());
    let mut second = finding("a", State::Active);
    (second.incident.update, second.incident.severity) = (1, Severity::High);
    second.incident.opened.0 += 5;
    store.put(second.clone());
    second.incident.update = 2;
    store.put(second);
    assert_eq!(delivered(store), [("a".into(), 7), ("a".into(), 8), ("a".into(), 9)]);
    let kept = kept(directory.path());
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].incident.severity, kept[0].incident.opened),
        (Severity::Critical, opened)
    );
}

#[test]
fn what_nobody_meets_again_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    for id in ["a", "b"] {
        store.put(finding(id, State::Active));
    }
    store.join();
    let store = start(directory.path());
    store.put(finding("b", State::Active));
    store.settle(Settled::All);
    store.join();
    let states: Vec<_> = kept(directory.path())
        .into_iter()
        .map(|report| (report.id, report.incident.state, report.incident.monitoring_ended))
        .collect();
    assert_eq!(states.len(), 2);
    assert!(states.contains(&("a".into(), State::Inactive, true)), "{states:?}");
    assert!(states.contains(&("b".into(), State::Active, false)), "{states:?}");
}

#[test]
fn only_its_owner_may_read_it_and_one_sensor_writes() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("state");
    let store = start(&place);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join(FILE))), (0o700, 0o600));
    // The second keeps its own in memory.
    let second = start(&place);
    second.put(finding("second", State::Active));
    assert_eq!(delivered(second), [("second".into(), 1)]);
    store.put(finding("first", State::Active));
    store.join();
    let ids: Vec<_> = kept(&place).into_iter().map(|report| report.id).collect();
    assert_eq!(ids, ["first"]);
}

#[test]
fn filters() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    let mut low = finding("low", State::Inactive);
    low.incident.severity = Severity::Low;
    store.put(low);
    store.put(finding("critical", State::Active));
    store.join();
    let reader = Reader::open(&directory.path().join(FILE)).unwrap();
    let ids = |filter: Filter| -> Vec<String> {
        let found = reader.findings(&filter).unwrap();
        // The same is said of a single one.
        for stored in reader.after(0, 10).unwrap().0 {
            let found = found.iter().any(|found| found.report.id == stored.report.id);
            assert_eq!(
                filter.lets_through(&stored.report),
                found || filter.limit.is_some(),
                "{filter:?}"
            );
        }
        found.into_iter().map(|stored| stored.report.id).collect()
    };
    let none = Filter::default;
    let with = |change: fn(&mut Filter)| {
        let mut filter = none();
        change(&mut filter);
        ids(filter)
    };
    assert_eq!(ids(none()).len(), 2);
    assert_eq!(
        with(|filter| filter.min_severity = Some(Severity::Medium)),
        ["critical"]
    );
    assert_eq!(with(|filter| filter.standing = Some(Standing::Ended)), ["low"]);
    assert_eq!(with(|filter| filter.standing = Some(Standing::Open)), ["critical"]);
    assert_eq!(with(|filter| filter.container = Some("web".into())).len(), 0);
    assert_eq!(with(|filter| filter.since = Some(i64::MAX)).len(), 0);
    assert_eq!(with(|filter| filter.until = Some(0)).len(), 0);
    assert_eq!(with(|filter| filter.limit = Some(1)), ["critical"]);
    for (peer, count) in [
        ("203.0.113.7", 2),
        ("203.0.113.7:4444", 2),
        ("::ffff:203.0.113.7", 2),
        ("203.0.113.0/24", 2),
        ("203.0.113.7:22", 0),
        ("203.0.113.70", 0),
        ("198.51.100.0/24", 0),
        ("[::1]:4444", 0),
        ("[::1]", 0),
        ("2001:db8::/32", 0),
    ] {
        let peer: Peer = peer.parse().unwrap_or_else(|error| panic!("{peer}: {error}"));
        let filter = Filter {
            peer: Some(peer),
            ..none()
        };
        assert_eq!(ids(filter).len(), count, "{peer:?}");
    }
    for wrong in [
        "",
        "203.0.113",
        "localhost",
        "203.0.113.7:99999",
        "203.0.113.0/33",
        "203.0.113.7 ",
    ] {
        assert!(wrong.parse::<Peer>().is_err(), "{wrong}");
    }
    let prefixed = |prefix: &str| reader.by_prefix(prefix).unwrap().len();
    assert_eq!(
        (
            prefixed("c"),
            prefixed("%"),
            prefixed("_"),
            prefixed("critical"),
            prefixed("x")
        ),
        (1, 0, 0, 1, 0)
    );
}

#[test]
fn a_new_sink_begins_with_what_comes() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    store.put(finding("before", State::Inactive));
    store.join();
    let place = Place::Directory(directory.path().to_owned());
    let sinks = [SINK.to_owned(), "file=new".to_owned()];
    let store = Store::start(&place, Retention::default(), &sinks).unwrap();
    let mut new = store.follow("file=new");
    store.put(finding("after", State::Active));
    assert_eq!(deliver(&mut new, 1), [("after".into(), 1)]);
    let ids: Vec<_> = delivered(store).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["before", "after"]);
}
