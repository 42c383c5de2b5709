//! The store's process is killed at any moment: what a sink was given is in the file, and nothing that is in the file is missing
//! for a sink.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{SINK, delivered, finding, kept, start};
use crate::detect::State;

/// How often.
const ROUNDS: usize = 100;
/// Tells the child where, and which round it is.
const DIRECTORY: &str = "STORE_TEST_DIRECTORY";
const ROUND: &str = "STORE_TEST_ROUND";

/// The process that is killed. Does nothing unless it is told where.
#[test]
fn child() {
    let (Ok(directory), Ok(round)) = (env::var(DIRECTORY), env::var(ROUND)) else {
        return;
    };
    let store = start(Path::new(&directory));
    let mut follower = store.follow(SINK);
    thread::spawn(move || {
        while let Some(batch) = follower.next(4) {
            for (seq, report) in batch {
                let mut stdout = std::io::stdout().lock();
                writeln!(stdout, "got {}", report.id).unwrap();
                stdout.flush().unwrap();
                drop(stdout);
                follower.done(seq);
            }
        }
    });
    for number in 0_u32.. {
        store.put(finding(&format!("{round} {number:06}"), State::Inactive));
        thread::sleep(Duration::from_micros(u64::from(number % 7) * 50));
    }
}

/// What the child's sink had when it was killed, some time after its first.
fn round(directory: &Path, round: usize) -> Vec<String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::killed::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIRECTORY, directory)
        .env(ROUND, format!("{round:03}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut got = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The last one may be cut, and is then not counted as had.
        if let Some((_, id)) = line.split_once("got ")
            && id.len() == 10
        {
            got.push(id.to_owned());
        }
        if got.len() == 1 + round % 23 {
            let _ = child.kill();
        }
    }
    child.wait().unwrap();
    assert!(!got.is_empty());
    got
}

#[test]
fn a_hundred_times() {
    let directory = tempfile::tempdir().unwrap();
    let mut given = BTreeMap::new();
    for number in 0..ROUNDS {
        for id in round(directory.path(), number) {
            *given.entry(id).or_insert(0) += 1;
        }
    }
    for (id, _) in delivered(start(directory.path())) {
        *given.entry(id).or_insert(0) += 1;
    }
    let all: Vec<String> = kept(directory.path()).into_iter().map(|report| report.id).collect();
    let ids: BTreeSet<&String> = all.iter().collect();
    assert_eq!(ids.len(), all.len(), "an id is there twice");
    assert!(all.len() > ROUNDS, "{}", all.len());
    // At least once, and nothing that is not kept.
    assert!(
        ids.iter().copied().eq(given.keys()),
        "kept {}, given {}",
        ids.len(),
        given.len()
    );
    // Each death repeats a delivery at most: the one whose note it came before.
    let repeated: usize = given.values().map(|times| times - 1).sum();
    assert!(repeated <= ROUNDS, "{repeated}");
    // In the order in which they came, without a gap.
    for number in 0..ROUNDS {
        let prefix = format!("{number:03} ");
        let count = ids.iter().filter(|id| id.starts_with(&prefix)).count();
        assert!(
            (0..count).all(|number| ids.contains(&format!("{prefix}{number:06}"))),
            "round {number}"
        );
    }
}
