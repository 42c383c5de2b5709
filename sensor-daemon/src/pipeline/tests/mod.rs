//! A source made of a table: the pipeline yields findings from it as from the kernel side.

mod contexts;

use std::{
    cell::RefCell,
    collections::{HashSet, VecDeque},
    io,
};

use sensor_common::first_argument::ProgramFile;

use super::*;
use crate::{
    detect::{State, Technique},
    enrich::cloud::Overrides,
    model::{
        Descriptor, Executable, Exit, Flow, OpenFiles, Owner, Text,
        samples::{self, process},
    },
    sources::{Denied, Mark},
};

/// What happens, how things are, and what was asked for.
#[derive(Default)]
struct Table {
    observations: VecDeque<Observation>,
    owners: Vec<Owner>,
    packets: Vec<(BootTime, Vec<u8>)>,
    losses: Losses,
    coverage: Coverage,
    marked: HashSet<ProcessId>,
    watched: HashSet<Flow>,
    learned: Vec<Text>,
}

impl Events for Table {
    async fn ready(&mut self) -> io::Result<()> {
        if self.observations.is_empty() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Observation> {
        self.observations.pop_front()
    }

    fn losses(&self) -> Losses {
        self.losses
    }

    fn coverage(&self) -> Coverage {
        self.coverage
    }
}

impl Probe for Table {
    fn open_files(&mut self) -> OpenFiles {
        let mut files = OpenFiles::default();
        self.owners.iter().cloned().for_each(|owner| files.push(owner));
        files
    }

    fn is_alive(&self, _: ProcessId) -> bool {
        true
    }

    fn holds_socket(&self, _: ProcessId, _: u64) -> bool {
        true
    }

    fn delivered(&self, flow: Flow) -> Option<Vec<(BootTime, Vec<u8>)>> {
        self.watched.contains(&flow).then(|| self.packets.clone())
    }
}

impl Control for Table {
    fn mark(&mut self, process: ProcessId, _: Mark, set: bool) -> Result<(), Denied> {
        if set {
            self.marked.insert(process);
        } else {
            self.marked.remove(&process);
        }
        Ok(())
    }

    fn watch(&mut self, flow: Flow) -> Result<(), Denied> {
        if !self.coverage.deliveries {
            return Err(Denied("nothing can be sampled".into()));
        }
        self.watched.insert(flow);
        Ok(())
    }

    fn unwatch(&mut self, flow: Flow) {
        self.watched.remove(&flow);
    }

    fn track(&mut self, _: ProcessId) -> Result<(), Denied> {
        Ok(())
    }

    fn learn_file(&mut self, file: &Executable, _: ProgramFile) -> Result<(), Denied> {
        self.learned.extend(file.path.clone());
        Ok(())
    }
}

/// Every report.
#[derive(Default)]
struct Reported(RefCell<Vec<Report>>);

impl Output for Reported {
    fn put(&self, report: Report) {
        self.0.borrow_mut().push(report);
    }

    fn dropped(&self) -> u64 {
        0
    }
}

/// Everything but `/proc`'s numbers: the processes of a table are in no `/proc`.
const COVERAGE: Coverage = Coverage {
    execs: true,
    exits: true,
    connects: true,
    moved_streams: true,
    deliveries: true,
    process_numbers: false,
};

/// No process id of a running system is as high.
const SHELL: u32 = 1 << 30;
const RELAY: u32 = SHELL + 1;

fn pipeline(source: Table) -> Pipeline<Table, Reported> {
    let reports = Reports::new(
        Host::default(),
        crate::finding::Arguments::Masked,
        Contexts::fixed(Overrides::default()),
    );
    let mut pipeline = Pipeline::new(Settings::default(), reports, source, Reported::default());
    pipeline.drain(usize::MAX);
    pipeline
}

fn exec(pid: u32, argv: &[&str], streams: [Stream; 3]) -> Observation {
    Observation::Exec(Box::new(Exec {
        streams,
        ..samples::exec(pid, argv)
    }))
}

fn pipe(inode: u64) -> Stream {
    Stream::Pipe { inode }
}

fn descriptor(fd: u32, stream: Stream) -> Descriptor {
    Descriptor {
        fd,
        stream,
        read: true,
        write: true,
    }
}

#[test]
fn a_shell_on_a_connection_is_one_finding_from_its_start_to_its_end() {
    let streams = [0, 1, 2].map(|_| Stream::Socket(samples::socket()));
    let ended = Exit {
        time: BootTime(u64::from(SHELL) + 1),
        process: process(SHELL),
        status: 0,
    };
    let mut pipeline = pipeline(Table {
        observations: [exec(SHELL, &["bash", "-i"], streams), Observation::Exit(ended)].into(),
        losses: Losses {
            ring_full: 7,
            ..Losses::default()
        },
        coverage: COVERAGE,
        ..Table::default()
    });
    assert_eq!(pipeline.source().learned, ["/usr/bin/bash".into()]);
    assert!(!pipeline.scan_at_start(), "no running process can be looked at");
    let (_, losses, Reported(reports)) = pipeline.finish();
    assert_eq!(losses.ring_full, 7);
    let reports = reports.into_inner();
    let (first, last) = (reports.first().unwrap(), reports.last().unwrap());
    assert_eq!(
        (first.incident.state, last.incident.state),
        (State::Active, State::Inactive)
    );
    assert!(reports.iter().all(|report| report.id == first.id));
    assert_eq!((first.coverage, first.losses.ring_full), (Some(COVERAGE), 7));
}

#[test]
fn the_source_says_who_is_at_the_other_end_and_is_told_what_to_report() {
    let owner = |pid, comm: &str, descriptors| Owner {
        process: process(pid),
        parent: 1,
        comm: comm.into(),
        descriptors,
    };
    let mut pipeline = pipeline(Table {
        observations: [exec(SHELL, &["sh"], [pipe(5), pipe(6), pipe(6)])].into(),
        owners: vec![
            owner(SHELL, "sh", vec![descriptor(0, pipe(5)), descriptor(1, pipe(6))]),
            owner(
                RELAY,
                "nc",
                vec![
                    descriptor(0, pipe(6)),
                    descriptor(1, pipe(5)),
                    descriptor(3, Stream::Socket(samples::socket())),
                ],
            ),
        ],
        coverage: COVERAGE,
        ..Table::default()
    });
    assert!(pipeline.source().marked.contains(&process(SHELL)));
    let reports = pipeline.output().0.borrow();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].incident.technique, Technique::ReverseShell);
}
