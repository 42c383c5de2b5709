//! What becomes of the context of findings: once found out it is in every report, and the reason for one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use super::super::Contexts;
use crate::{
    detect::State,
    enrich::{
        Enricher, Learnt, Wanted,
        cloud::{Overrides, Resources},
    },
    finding::{Report, tests::reverse_shell},
    model::{BootTime, Cloud, Host, Losses, ProcessId},
    procfs,
};

fn enricher() -> (Enricher, tokio::sync::mpsc::Receiver<Learnt>) {
    Enricher::start(Wanted {
        environment: true,
        metadata: false,
    })
    .unwrap()
}

/// A report about a process that lives.
fn report(process: Option<ProcessId>) -> Report {
    let mut incident = reverse_shell();
    if let Some(process) = process {
        incident.shell.process = process;
        let number = |name| procfs::namespace(process.pid, name).unwrap() as u32;
        incident.shell.namespaces.mnt = number("mnt");
        incident.shell.namespaces.user = number("user");
        let file = std::fs::metadata(format!("/proc/{}/exe", process.pid)).unwrap();
        incident.shell.executable.inode = std::os::unix::fs::MetadataExt::ino(&file);
        incident.shell.executable.changed = std::os::unix::fs::MetadataExt::ctime(&file) as u64;
    }
    Report::new(incident, &Host::default(), Losses::default())
}

/// Ends with the test, however that ends.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_live_process_is_found_out_once_and_told_ever_after() {
    let child = Child(Command::new("sleep").arg("600").env("API_TOKEN", "x").spawn().unwrap());
    let process = procfs::identify(child.0.id()).unwrap();
    // Until it has executed, it is this test; and for a moment more its environment is still to come.
    while !std::fs::read_to_string(format!("/proc/{}/environ", child.0.id()))
        .is_ok_and(|text| text.contains("API_TOKEN=x"))
    {
        std::thread::yield_now();
    }
    let (enricher, mut learnt) = enricher();
    let mut contexts = Contexts::live(Overrides::default(), enricher, Resources::default(), vec![]);
    let mut first = report(Some(process));
    contexts.add(&mut first);
    assert_eq!(
        (first.incident.update, first.context.posture.is_none()),
        (1, true),
        "nothing is known yet"
    );
    let update = contexts.learn(learnt.blocking_recv().unwrap()).pop().unwrap();
    assert_eq!((update.id.as_str(), update.incident.update), (first.id.as_str(), 2));
    let context = &update.context;
    assert_eq!(context.file.as_ref().unwrap().sha256.len(), 64);
    assert!(context.posture.as_ref().unwrap().seccomp.is_some());
    assert!(
        context.environment.contains(&"API_TOKEN=[masked]".into()),
        "{:?}",
        context.environment
    );
    let mut later = report(Some(process));
    later.incident.update = 2;
    contexts.add(&mut later);
    assert_eq!((later.incident.update, &later.context), (3, context));
    let mut last = report(Some(process));
    (last.incident.update, last.incident.state) = (3, State::Inactive);
    contexts.add(&mut last);
    assert_eq!((last.incident.update, &last.context), (4, context));
    assert!(learnt.try_recv().is_err(), "it is found out once");
}

/// Nanoseconds that no first report waits.
const SECOND: u64 = 1_000_000_000;

#[test]
fn a_first_report_waits_for_its_context_and_is_then_told_once() {
    let (enricher, mut learnt) = enricher();
    let mut contexts = Contexts::live(Overrides::default(), enricher, Resources::default(), vec![]);
    let mut first = report(None);
    contexts.add(&mut first);
    assert!(contexts.keep_back(&first, BootTime(0)));
    let told = contexts.learn(learnt.blocking_recv().unwrap()).pop().unwrap();
    assert_eq!((told.incident.update, told.context.posture.is_some()), (1, true));
    assert_eq!(contexts.next_deadline(), None);
    assert!(contexts.overdue(BootTime(SECOND)).is_empty(), "it was told");
    let mut second = report(None);
    second.incident.update = 2;
    contexts.add(&mut second);
    assert!(!contexts.keep_back(&second, BootTime(SECOND)));
    assert_eq!(second.incident.update, 2, "no number is left out");
}

#[test]
fn a_first_report_waits_for_a_moment_only() {
    let (enricher, mut learnt) = enricher();
    let mut contexts = Contexts::live(Overrides::default(), enricher, Resources::default(), vec![]);
    let mut first = report(None);
    contexts.add(&mut first);
    assert!(contexts.keep_back(&first, BootTime(0)));
    let due = contexts.next_deadline().unwrap();
    assert!(contexts.overdue(BootTime(due.0 - 1)).is_empty());
    assert_eq!(contexts.overdue(due), [first]);
    let told = contexts.learn(learnt.blocking_recv().unwrap()).pop().unwrap();
    assert_eq!(
        told.incident.update, 2,
        "what was found out later is a state of its own"
    );
}

#[test]
fn a_process_that_is_gone_has_what_the_kernel_recorded() {
    let (enricher, mut learnt) = enricher();
    let mut contexts = Contexts::live(Overrides::default(), enricher, Resources::default(), vec![]);
    let mut ended = report(None);
    ended.incident.shell.credentials.capabilities = 1 << 21;
    ended.incident.state = State::Inactive;
    contexts.add(&mut ended);
    let update = contexts.learn(learnt.blocking_recv().unwrap()).pop().unwrap();
    assert_eq!(update.context.posture.unwrap().capabilities, ["CAP_SYS_ADMIN"]);
    assert_eq!(update.incident.state, State::Inactive);
}

#[test]
fn what_is_learnt_of_the_machine_comes_late_as_well() {
    let cloud = |name: &str| Cloud {
        name: name.into(),
        ..Cloud::default()
    };
    let resources = Resources {
        machine: Some(cloud("machine")),
        cluster: Some(cloud("cluster")),
    };
    for (leaf, overrides, expected) in [
        ("web.service", Overrides::default(), "machine"),
        ("pod0a1b2c3d4e5f60718293a4b5c6d7e8f9", Overrides::default(), "cluster"),
        (
            "web.service",
            Overrides {
                name: Some("own".into()),
                ..Overrides::default()
            },
            "own",
        ),
    ] {
        let (mut enricher, mut learnt) = enricher();
        enricher.asks_metadata = true;
        let mut contexts = Contexts::live(overrides, enricher, Resources::default(), vec![]);
        let mut first = report(None);
        first.incident.shell.cgroup.leaf = leaf.into();
        contexts.add(&mut first);
        assert_eq!(contexts.learn(learnt.blocking_recv().unwrap()).len(), 1);
        let updates = contexts.learn(Learnt::Machine(Box::new(resources.clone())));
        let named = updates
            .first()
            .and_then(|update| update.context.cloud.as_ref())
            .map(|cloud| cloud.name.as_str());
        match named {
            Some(name) => assert_eq!((name, updates[0].incident.update), (expected, 3)),
            // It was said from the start, and there is nothing else to tell.
            None => assert_eq!((first.context.cloud.unwrap().name.as_str(), expected), ("own", "own")),
        }
        assert!(contexts.learn(Learnt::Machine(Box::default())).is_empty());
    }
}

#[test]
fn of_a_recording_nothing_is_found_out() {
    let mut contexts = Contexts::fixed(Overrides::default());
    let mut first = report(None);
    let before = first.clone();
    contexts.add(&mut first);
    assert_eq!(first, before);
}
