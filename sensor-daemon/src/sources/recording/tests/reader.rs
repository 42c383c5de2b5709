//! Recordings that are cut, damaged, or none.

use std::{
    fs,
    io::{BufReader, Read},
    os::unix::fs::{PermissionsExt as _, symlink},
};

use super::build::{Random, host, recorded};
use crate::{
    detect::{Engine, Settings, Severity},
    finding::{Report, human, scc},
    model::{BootTime, Losses},
    sources::recording::{Ending, LINE_MAX, Line, Reader, RecordedTurn, RecordedWorld, Recorder, Turn},
};

const HEADER: &str = "{\"sensorRecording\":1,\"sensor\":\"0.1.0\",\"minSeverity\":\"low\",\"host\":{\"hostname\":\"vm1\",\
                      \"machineId\":\"\",\"bootId\":\"\",\"kernel\":\"6.12\",\"bootUnixNs\":0}}\n";

/// All turns and the ending, or the error.
fn read(bytes: &[u8]) -> Result<(Vec<RecordedTurn>, Ending), String> {
    let mut reader = Reader::open("file", bytes).map_err(|error| error.to_string())?;
    let mut turns = Vec::new();
    while let Some(turn) = reader.next_turn().map_err(|error| error.to_string())? {
        turns.push(turn);
    }
    Ok((turns, reader.ending()))
}

#[test]
fn cut_anywhere_everything_before_counts() {
    let (recording, _) = recorded(3, 7, Severity::Low);
    let (whole, ending) = read(&recording).unwrap();
    assert_eq!((whole.len(), ending), (8, Ending::Finished));
    let header = recording.iter().position(|&byte| byte == b'\n').unwrap();
    for cut in 0..recording.len() {
        let part = &recording[..cut];
        if cut < header {
            let error = read(part).expect_err("the header is not whole");
            assert!(error.starts_with("file:1: this is no recording"), "{cut}: {error}");
            continue;
        }
        let (turns, ending) = read(part).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        // The last one may lack answers.
        let sure = turns.len().saturating_sub(1);
        assert!(turns[..sure] == whole[..sure], "cut at {cut}");
        if let (Some(last), Some(full)) = (turns.last(), whole.get(sure)) {
            assert!(last.turn == full.turn && last.line == full.line, "cut at {cut}");
        }
        // An object that is closed is whole, its line's end or not.
        let tail = part.rsplit(|&byte| byte == b'\n').next().unwrap();
        let torn = !tail.is_empty() && serde_json::from_slice::<Line>(tail).is_err() && cut > header;
        let line = part.iter().filter(|&&byte| byte == b'\n').count() + 1;
        assert_eq!(
            matches!(ending, Ending::Torn(at) if at == line),
            torn,
            "cut at {cut}: {ending:?}"
        );
    }
}

#[test]
fn garbage_is_one_error_with_its_line() {
    let holder_due = "{\"tick\":1}\n{\"opposite\":{\"stream\":{\"pipe\":{\"inode\":1}},\"holders\":1}}\n{\"tick\":2}\n";
    let holder = "{\"tick\":1}\n{\"holder\":{\"process\":{\"pid\":1,\"start\":0},\"parent\":1,\"comm\":\"x\",\"path\":null,\
                  \"hostPath\":true,\"program\":{\"kind\":\"other\",\"name\":\"x\"},\"descriptors\":[]}}\n";
    let answer = "{\"isAlive\":{\"process\":{\"pid\":1,\"start\":0},\"answer\":true}}\n";
    let missed = format!("{{\"tick\":1}}\n{{\"missed\":1}}\n{answer}");
    let future = HEADER.replace("\"sensorRecording\":1", "\"sensorRecording\":2");
    let with = |body: &str| format!("{HEADER}{body}");
    for (recording, start, hint) in [
        (String::new(), "file:1: ", "it is empty"),
        ("\n\n".into(), "file:1: ", "it is empty"),
        ("min_severity = \"low\"\n".into(), "file:1: ", "sensor-daemon record"),
        ("{\"finding\":{}}\n".into(), "file:1: ", "sensor-daemon record"),
        (future, "file:1: ", "format 2"),
        ("{\"sensorRecording\":1}\n".into(), "file:1: ", "missing field"),
        (
            with("{\"tick\":1}\n{\"quake\":2}\n{\"tick\":3}\n"),
            "file:3: ",
            "sensor 0.1.0",
        ),
        (
            with("{\"tick\":1}\n{\"tick\":\n{\"tick\":3}\n"),
            "file:3: ",
            "can't be read",
        ),
        (with("{\"tick\":1}\n\n\u{0}\n"), "file:4: ", "can't be read"),
        (with("{\"tick\":-1}\n"), "file:2: ", "can't be read"),
        (with(HEADER), "file:2: ", "does not know"),
        (with(answer), "file:2: ", "before the first turn"),
        (with(holder), "file:3: ", "belongs to no question"),
        (with(holder_due), "file:4: ", "1 more holders"),
        (with(&missed), "file:4: ", "a turn should begin"),
    ] {
        let error = read(recording.as_bytes()).expect_err(&recording);
        assert!(
            error.starts_with(start) && error.contains(hint) && error.lines().count() == 1,
            "{recording}: {error}"
        );
    }
    assert!(
        read(with("{\"tick\":1}").as_bytes()).is_ok(),
        "a last line without its end is whole"
    );
}

/// Recordings may come from anywhere: what can be read can be judged and told.
#[test]
fn any_byte_may_be_wrong() {
    let (recording, _) = recorded(5, 60, Severity::Low);
    let random = Random::new(7);
    let (mut refused, mut told) = (0, 0);
    for _ in 0..250 {
        let mut damaged = recording.clone();
        for _ in 0..=random.below(2) {
            let at = random.below(damaged.len() as u64) as usize;
            // Mostly digits: numbers may be anything without a line being refused.
            damaged[at] = [random.below(256) as u8, b'9', b'9'][random.below(3) as usize];
        }
        let Ok(mut reader) = Reader::open("file", damaged.as_slice()) else {
            refused += 1;
            continue;
        };
        let host = reader.header().host.clone();
        let world = RecordedWorld::default();
        let mut engine = Engine::new(Settings {
            min_severity: Severity::Low,
            ..Settings::default()
        });
        loop {
            match reader.next_turn() {
                Ok(Some(mut turn)) => {
                    world.turn(&mut turn);
                    for incident in turn.turn.happen(&mut engine, &world) {
                        let losses = Losses::default();
                        let report = Report::new(incident, &host, losses);
                        serde_json::to_string(&scc(&report)).unwrap();
                        told += usize::from(!human(&report, false).contains('\x1b'));
                    }
                    engine.take_requests();
                }
                Ok(None) => break,
                Err(_) => {
                    refused += 1;
                    break;
                }
            }
        }
    }
    assert!((50..250).contains(&refused), "{refused} of 250 are refused");
    assert!(told > 250, "{told} findings only");
}

#[test]
fn a_line_without_end_is_not_read_to_its_end() {
    let endless = HEADER.as_bytes().chain(std::io::repeat(b'x'));
    let mut reader = Reader::open("file", BufReader::new(endless)).unwrap();
    let error = reader.next_turn().expect_err("an endless line").to_string();
    assert!(error.starts_with("file:2: the line is longer than"), "{error}");

    let mut long = HEADER.as_bytes().to_vec();
    long.extend(std::iter::repeat_n(b' ', LINE_MAX - "{\"tick\":1}\n".len()));
    long.extend(b"{\"tick\":1}\n");
    assert_eq!(read(&long).unwrap().0.len(), 1);
}

#[test]
fn the_file_is_new_and_its_owners_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording");
    let create = |path| Recorder::create(path, &host(), crate::model::Coverage::default(), Severity::Medium);
    drop(create(&path).unwrap());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read(&path).unwrap();
    assert!(create(&path).is_err(), "a file is overwritten");
    assert_eq!(fs::read(&path).unwrap(), before);
    let (link, target) = (dir.path().join("link"), dir.path().join("target"));
    symlink(&target, &link).unwrap();
    assert!(
        create(&link).is_err() && !target.exists(),
        "a symbolic link is followed"
    );
}

#[test]
fn a_full_disk_ends_the_recording_only() {
    struct Full(bool, std::rc::Rc<std::cell::Cell<usize>>);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // The header fits.
            if std::mem::replace(&mut self.0, true) {
                self.1.set(self.1.get() + 1);
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let refused = std::rc::Rc::default();
    let full = Full(false, std::rc::Rc::clone(&refused));
    let recorder = Recorder::into(
        std::path::Path::new("test"),
        Box::new(full),
        &host(),
        None,
        Severity::Low,
    )
    .unwrap();
    let engine = Engine::new(Settings::default());
    for now in 0..5 {
        recorder.turn(&Turn::Tick(BootTime(now)), &engine);
        recorder.flush();
    }
    assert_eq!(refused.get(), 1, "it goes on writing");
}
