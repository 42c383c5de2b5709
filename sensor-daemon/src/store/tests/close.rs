//! Findings that somebody closes.

use std::{path::Path, time::Duration};

use super::{SINK, deliver, delivered, finding, kept, start, start_retrying};
use crate::{
    detect::{Severity, State},
    finding::{Closed, Report},
    store::close,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn because(reason: &str) -> Closed {
    Closed {
        unix_ns: 1_795_000_000_000_000_000 + (1 << 50),
        reason: Some(reason.to_owned()),
    }
}

fn close_one(directory: &Path, id: &str, reason: &str) {
    assert!(close(directory, id, &because(reason), PATIENCE).unwrap());
}

fn only(directory: &Path) -> Report {
    let kept = kept(directory);
    assert_eq!(kept.len(), 1);
    kept.into_iter().next().unwrap()
}

#[test]
fn a_sensor_that_runs_delivers_the_closed_state_and_goes_on_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = start_retrying(directory.path());
    let mut follower = store.follow(SINK);
    let mut first = finding("a", State::Active);
    first.incident.severity = Severity::Medium;
    store.put(first.clone());
    deliver(&mut follower, 1);
    close_one(directory.path(), "a", "known");
    let (seq, report) = follower.next(1).unwrap().remove(0);
    assert_eq!((report.incident.update, &report.closed), (2, &Some(because("known"))));
    assert!(report.incident.updated > first.incident.updated);
    follower.done(seq);
    // The takeover goes on, then becomes worse.
    store.put(first.clone());
    assert_eq!(deliver(&mut follower, 1), [("a".into(), 3)]);
    assert_eq!(only(directory.path()).closed, Some(because("known")));
    first.incident.severity = Severity::Critical;
    store.put(first);
    assert_eq!(deliver(&mut follower, 1), [("a".into(), 4)]);
    assert_eq!(only(directory.path()).closed, None);
    store.join();
}

#[test]
fn without_a_sensor_it_is_delivered_after_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(directory.path());
    store.put(finding("a", State::Inactive));
    assert_eq!(delivered(store).len(), 1);
    close_one(directory.path(), "a", "fixed");
    assert_eq!(only(directory.path()).closed, Some(because("fixed")));
    // For one that is gone meanwhile there is nothing to do.
    close_one(directory.path(), "b", "fixed");
    let store = start(directory.path());
    assert_eq!(delivered(store), [("a".into(), 2)]);
}
