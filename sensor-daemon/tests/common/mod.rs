//! Reports of real takeovers: those of the recordings.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use sensor_daemon::{
    detect::{Engine, Settings},
    finding::Report,
    model::{Losses, Text},
    sources::recording::{Reader, RecordedWorld},
};

/// What a process may choose: lines that look like fields, escapes, brackets and quotes, what is no UTF-8.
pub const HOSTILE: &[u8] =
    b"a\nFINDING_ID=evil\nINJECTED=1\n\n<0>1 - evil evil - - - x\r\x1b[2J\"]\\\xff\xfe'\x01 [x@1 id=\"evil\"] 12 <0>1";

/// Every state of every finding of the recordings.
pub fn reports() -> Vec<Report> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    paths.sort();
    let mut reports = Vec::new();
    for path in paths {
        let mut reader = Reader::open("recording", BufReader::new(File::open(path).unwrap())).unwrap();
        let host = reader.header().host.clone();
        let mut engine = Engine::new(Settings::default());
        let world = RecordedWorld::default();
        while let Some(mut turn) = reader.next_turn().unwrap() {
            world.turn(&mut turn);
            let incidents = turn.turn.happen(&mut engine, &world);
            engine.take_requests();
            let report = |incident| Report::new(incident, &host, Losses::default());
            reports.extend(incidents.into_iter().map(report));
        }
    }
    assert!(reports.len() >= 4, "only {}", reports.len());
    reports
}

/// A report in which all that a process may choose is hostile.
pub fn hostile() -> Report {
    let mut report = reports().remove(0);
    report.id = "0".repeat(32);
    let shell = &mut report.incident.shell;
    shell.argv = vec![
        "bash".into(),
        Text::from(HOSTILE),
        Text::from(b"x".repeat(100_000).as_slice()),
    ];
    shell.comm = Text::from(HOSTILE);
    shell.executable.path = Some(Text::from(HOSTILE));
    shell.script = Some(Text::from(HOSTILE));
    report
}

/// Waits until `look` gives something.
#[allow(dead_code, reason = "not every test that uses this file waits")]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
