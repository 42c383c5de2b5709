#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{FILE, Filter, Place, Reader, Retention, Store, StoreError, database::Database};
use crate::{
    detect::{Severity, State},
    finding::{
        Report,
        tests::{report, reverse_shell},
    },
};

const SINK: &str = "stdout";

fn start(directory: &Path) -> Store {
    let place = Place::Directory(directory.to_owned());
    Store::start(&place, Retention::default(), &[SINK.to_owned()]).unwrap()
}

/// A finding with this id.
fn finding(id: &str, state: State) -> Report {
    let mut report = report(&reverse_shell());
    report.id = id.to_owned();
    report.incident.state = state;
    report
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
    store.settle();
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
fn the_oldest_that_ended_go_first() {
    let directory = tempfile::tempdir().unwrap();
    let mut database = Database::open(&directory.path().join(FILE)).unwrap();
    let mut reports: Vec<_> = (0..200)
        .map(|number: u64| {
            let open = number.is_multiple_of(50);
            let mut report = finding(
                &format!("{number:03}"),
                if open { State::Active } else { State::Inactive },
            );
            report.incident.updated.0 += number * 1_000_000_000;
            report
        })
        .collect();
    database.put(&mut reports).unwrap();
    let retention = Retention {
        max_age: None,
        max_bytes: 400 << 10,
    };
    database.keep_within(&retention, i64::MAX).unwrap();
    let ids: Vec<_> = database
        .after(0, 1000)
        .unwrap()
        .into_iter()
        .map(|stored| stored.report.id)
        .collect();
    assert!((10..200).contains(&ids.len()), "{}", ids.len());
    for open in ["000", "050", "100", "150"] {
        assert!(ids.iter().any(|id| id == open), "{open} goes on");
    }
    assert_eq!(ids.last().map(String::as_str), Some("199"));
    let ended: Vec<_> = ids
        .iter()
        .filter(|id| !id.ends_with("50") && !id.ends_with("00"))
        .collect();
    assert!(ended.windows(2).all(|pair| pair[0] < pair[1]) && ended[0].as_str() > "001");
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
        for stored in reader.after(0, 10).unwrap() {
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
    assert_eq!(ids(none()).len(), 2);
    assert_eq!(
        ids(Filter {
            min_severity: Some(Severity::Medium),
            ..none()
        }),
        ["critical"]
    );
    assert_eq!(
        ids(Filter {
            state: Some(State::Inactive),
            ..none()
        }),
        ["low"]
    );
    assert_eq!(
        ids(Filter {
            peer: Some("203.0.113.7".into()),
            ..none()
        })
        .len(),
        2
    );
    assert_eq!(
        ids(Filter {
            peer: Some("203.0.113".into()),
            ..none()
        })
        .len(),
        0
    );
    assert_eq!(
        ids(Filter {
            container: Some("web".into()),
            ..none()
        })
        .len(),
        0
    );
    assert_eq!(
        ids(Filter {
            since: Some(i64::MAX),
            ..none()
        })
        .len(),
        0
    );
    assert_eq!(
        ids(Filter {
            until: Some(0),
            ..none()
        })
        .len(),
        0
    );
    assert_eq!(
        ids(Filter {
            limit: Some(1),
            ..none()
        }),
        ["critical"]
    );
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
fn a_full_disk_takes_the_oldest_that_ended_else_memory_keeps_what_comes() {
    for state in [State::Inactive, State::Active] {
        let directory = tempfile::tempdir().unwrap();
        let store = start(directory.path());
        let mut follower = store.follow(SINK);
        let mut first = finding("first", state);
        first.incident.update = 5;
        store.put(first);
        for number in 0..60 {
            store.put(finding(&format!("old {number:02}"), state));
        }
        let mut seen = 0;
        while seen < 61 {
            let batch = follower.next(64).unwrap();
            seen += batch.len();
            follower.done(batch.last().unwrap().0);
        }
        store.fill_disk(0).unwrap();
        for number in 0..30 {
            store.put(finding(&format!("new {number:02}"), State::Active));
        }
        let mut again = finding("first", State::Active);
        again.incident.update = 1;
        store.put(again);
        store.join();
        let mut last = 0;
        while let Some(batch) = follower.next(64) {
            seen += batch.len();
            if let Some((_, report)) = batch.iter().find(|(_, report)| report.id == "first") {
                last = report.incident.update;
            }
            follower.done(batch.last().unwrap().0);
        }
        assert_eq!(seen, 61 + 31);
        let kept = kept(directory.path());
        let new = kept.iter().filter(|report| report.id.starts_with("new")).count();
        assert_eq!(new, 30, "{state:?}");
        if state == State::Active {
            assert_eq!((kept.len(), last), (91, 6));
        } else {
            assert!(kept.len() < 91, "{}", kept.len());
        }
    }
}

#[test]
fn room_is_given_back_to_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let mut database = Database::open(&path).unwrap();
    let mut reports: Vec<_> = (0..200)
        .map(|number| finding(&format!("{number:03}"), State::Inactive))
        .collect();
    database.put(&mut reports).unwrap();
    let retention = Retention {
        max_age: None,
        max_bytes: 200 << 10,
    };
    database.keep_within(&retention, i64::MAX).unwrap();
    drop(database);
    let size = fs::metadata(&path).unwrap().len();
    assert!(size <= 200 << 10, "{size}");
}
