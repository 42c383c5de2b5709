//! The live loop: completes what a source saw, hands it to the engine, and what the engine says to the record of findings.
//!
//! Owns the order of things. One observation is one turn: it is completed with what user space alone can know (program, ancestors,
//! container), the engine judges it, the source gets the engine's requests, and reports go out. Owns as well when running
//! processes are looked at: at start, every few seconds, and soon after a program has moved a connection to its streams.
//!
//! Knows no concrete source, only the traits [`Events`], [`Probe`] and [`Control`]. Judges nothing, which is `detect`'s business, and
//! writes nothing, which is the business of whoever is its [`Output`].
//!
//! For example, `bash -i` is executed with a connection for its streams:
//!
//! ```text
//! source   Exec { argv: [bash, -i], streams: [Socket, Socket, Socket] }
//! complete program: shell "bash", container, paths of the ancestors; Control::learn_file(/usr/bin/bash, shell)
//! engine   one incident, and the request to report what this process executes
//! source   Control::mark(process, Session)
//! output   Report { incident, host, losses, coverage, context }
//! ```

mod contexts;
mod inspector;
mod reports;
mod running;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use tokio::time::Instant;
use tracing::{debug, warn};

pub use self::{contexts::Contexts, reports::Reports};
use self::{inspector::LiveInspector, running::Interest};
use crate::{
    detect::{Engine, Settings, Severity, Snapshot, program_file},
    enrich::{Learnt, container::Containers},
    finding::Report,
    model::{BootTime, Coverage, Exec, Host, Losses, Observation, ProcessId, Stream},
    procfs::{boot_time, boot_unix_ns},
    programs::{self, Ancestry},
    sources::{
        Control, Events, Probe,
        recording::{Recorder, Turn},
    },
};

/// A change of the clock from which on it counts as set.
const CLOCK_STEP_NS: u64 = 1_000_000_000;
/// Shortest wait between two scans of running processes.
const SCAN_WAIT_MIN: Duration = Duration::from_secs(5);
/// Longest wait between two scans of running processes.
const SCAN_WAIT_MAX: Duration = Duration::from_secs(60);
/// Wait before a scan of running processes once a program has moved a connection to its streams.
const SCAN_WAIT_MOVED: Duration = Duration::from_millis(100);
/// The wait between two scans of running processes, in multiples of the processor time that the last one took.
const SCAN_WAIT_FACTOR: u32 = 1000;
/// How often the source is asked whether it has missed events, while an incident is open whose end may be among them.
const ASK_MISSED_EVERY: Duration = Duration::from_secs(1);
/// Most observations that are taken between a scan of running processes and its judgement.
const OBSERVATIONS_A_SCAN: usize = 65_536;

/// A running process, and the inode numbers of its streams.
type Seen = (ProcessId, [Option<u64>; 3]);

/// Where reports go.
pub trait Output {
    /// Takes a report; never waits.
    fn put(&self, report: Report);

    /// How many reports were dropped so far.
    fn dropped(&self) -> u64;
}

/// Everything between a source and the record of findings.
pub struct Pipeline<S, O> {
    engine: Engine,
    reports: Reports,
    /// When to scan running processes next.
    scan_at: Instant,
    /// What the last scan saw, and whether it has been judged.
    seen: HashMap<Seen, bool>,
    /// A program has moved a connection to its streams since the last scan.
    moved: bool,
    /// The next scan is there to confirm the last.
    confirming: bool,
    /// Events that the source had missed at the last scan.
    missed_before: u64,
    /// Events that the source had missed when the engine was last told.
    missed_told: u64,
    /// When the source is asked next whether it has missed events.
    ask_at: Instant,
    /// What the last scan was for.
    interest: Interest,
    /// Remembers containers.
    containers: Containers,
    /// Remembers ancestors.
    ancestry: Ancestry,
    /// Answers the engine, and holds the source.
    inspector: LiveInspector<S>,
    /// What the source can see.
    coverage: Coverage,
    /// Notes all that happens to the engine.
    recorder: Option<Recorder>,
    output: O,
    /// Losses that were already warned of.
    losses_seen: Losses,
}

impl<S: Events + Probe + Control, O: Output> Pipeline<S, O> {
    /// A pipeline from `source` to `output` that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings, mut reports: Reports, source: S, output: O) -> Self {
        let coverage = source.coverage();
        reports.coverage = Some(coverage);
        Self {
            engine: Engine::new(settings),
            reports,
            scan_at: Instant::now() + SCAN_WAIT_MIN,
            seen: HashMap::new(),
            moved: false,
            confirming: false,
            missed_before: 0,
            missed_told: 0,
            ask_at: Instant::now(),
            interest: Interest::Sockets,
            containers: if coverage.process_numbers {
                Containers::live()
            } else {
                Containers::default()
            },
            ancestry: Ancestry::default(),
            inspector: LiveInspector::new(source, coverage.process_numbers),
            coverage,
            recorder: None,
            output,
            losses_seen: Losses::default(),
        }
    }

    /// Records all that happens from now on in a new file at `path`.
    ///
    /// # Errors
    /// The file exists already or can't be made.
    pub fn record(&mut self, path: &Path, min_severity: Severity) -> anyhow::Result<()> {
        let recorder = Recorder::create(path, self.host(), self.coverage, min_severity).with_context(|| {
            format!(
                "the recording {} can't be made (it must not exist, so that no other file is overwritten)",
                path.display()
            )
        })?;
        self.recorder = Some(recorder);
        Ok(())
    }

    /// The machine that is watched.
    pub fn host(&self) -> &Host {
        &self.reports.host
    }

    /// When [`Self::tick`] is due.
    pub fn next_deadline(&self) -> Option<BootTime> {
        let first_report = self.reports.contexts.next_deadline();
        [self.engine.next_deadline(), first_report].into_iter().flatten().min()
    }

    /// When [`Self::scan_if_due`] is due.
    pub fn next_scan(&self) -> Instant {
        if self.engine.open_incidents() > 0 {
            self.scan_at.min(self.ask_at)
        } else {
            self.scan_at
        }
    }

    /// The source.
    pub fn source(&mut self) -> &mut S {
        self.inspector.source.get_mut()
    }

    /// Where reports go.
    pub fn output(&self) -> &O {
        &self.output
    }

    /// Takes observations until there are none, but at most `limit`.
    pub fn drain(&mut self, limit: usize) {
        for _ in 0..limit {
            let Some(observation) = self.source().next() else {
                self.rest();
                return;
            };
            self.observe(observation);
        }
    }

    /// Takes an observation.
    pub fn observe(&mut self, mut observation: Observation) {
        match &mut observation {
            Observation::Exec(exec) => self.complete(exec),
            // Not at once: most who do this execute something next, which says more.
            Observation::Moved(_) => {
                self.moved = true;
                self.scan_at = self.scan_at.min(Instant::now() + SCAN_WAIT_MOVED);
            }
            _ => {}
        }
        self.turn(Turn::Observe(observation));
    }

    /// Adds what user space alone can know.
    fn complete(&mut self, exec: &mut Exec) {
        exec.container = self.containers.of_exec(exec);
        let mut identities = self.inspector.identities.borrow_mut();
        let before = SystemTime::now();
        let multicall;
        (exec.program, multicall) = identities.of_exec(exec);
        // A file that has changed only just may change again under the same time, by which a source tells files apart.
        if !exec.executable.memfd && programs::is_second_settled(exec.executable.changed, before) {
            let mut source = self.inspector.source.borrow_mut();
            if let Err(error) = source.learn_file(&exec.executable, program_file(&exec.program, multicall)) {
                debug!("the source does not take what a file is: {error}");
            }
        }
        self.ancestry.complete(&mut exec.ancestors, exec.time, &mut identities);
    }

    /// Scans running processes for takeovers that are older than the sensor. Returns whether they could be looked at: if not,
    /// a takeover that an earlier sensor left open may still go on.
    pub fn scan_at_start(&mut self) -> bool {
        self.scan(Interest::SocketsAndPipes, true);
        self.coverage.process_numbers
    }

    /// Scans running processes for programs that put a connection on their own streams, if that is due. Where the source
    /// has missed events, for whatever was executed unseen as well.
    pub fn scan_if_due(&mut self) {
        let now = Instant::now();
        let missed = self.source().losses().runs_missed;
        self.ask_at = now + ASK_MISSED_EVERY;
        if missed > self.missed_told {
            self.missed_told = missed;
            // What was not missed comes first.
            self.drain(OBSERVATIONS_A_SCAN);
            self.turn(Turn::Observe(Observation::RunsMissed(boot_time())));
            self.rest();
        }
        if now < self.scan_at {
            return;
        }
        if missed > self.missed_before {
            self.interest = Interest::SocketsAndPipes;
        } else if !self.confirming {
            self.interest = Interest::Sockets;
        }
        self.missed_before = missed;
        self.scan(self.interest, false);
    }

    /// What is `certain` is judged at once. Else what has been seen twice: a process can be caught between dup2 and exec, and
    /// would be judged by the streams of the program to come and the name of the one that was.
    fn scan(&mut self, interest: Interest, certain: bool) {
        let mut took = Duration::ZERO;
        let mut uncertain = false;
        let moved = std::mem::take(&mut self.moved);
        // Under other numbers nothing can be said of a process.
        if self.coverage.process_numbers {
            let began = processor_time();
            let files = self.source().open_files();
            took = processor_time().saturating_sub(began);
            let running = running::find(
                &files,
                interest,
                boot_time(),
                &mut self.inspector.identities.borrow_mut(),
            );
            // The source has reported by now what was executed meanwhile, as it was at its exec.
            self.drain(OBSERVATIONS_A_SCAN);
            let mut seen = HashMap::new();
            for mut exec in running {
                let identity = (exec.process, exec.streams.each_ref().map(Stream::inode));
                let before = self.seen.get(&identity).copied();
                let known = before == Some(true) || self.engine.is_known(&exec);
                let judge = !known && (certain || before.is_some());
                uncertain |= !known && !judge;
                seen.insert(identity, known || judge);
                if judge {
                    exec.container = self.containers.of_exec(&exec);
                    self.take_running(exec);
                }
            }
            self.seen = seen;
        }
        if self.engine.has_suspects() {
            self.turn(Turn::Observe(Observation::Rescan(boot_time())));
        }
        self.rest();
        debug!("listed all open files in {took:?}");
        // On a machine where it takes long it is done less often.
        let mut wait = (took * SCAN_WAIT_FACTOR).clamp(SCAN_WAIT_MIN, SCAN_WAIT_MAX);
        // Not for ever: on a busy machine each look finds somebody new.
        self.confirming = uncertain && (!self.confirming || moved);
        if self.confirming || self.moved {
            wait = SCAN_WAIT_MOVED;
        }
        self.scan_at = Instant::now() + wait;
    }

    fn take_running(&mut self, exec: Exec) {
        let parent = exec.parent().map(|parent| parent.process);
        for process in [Some(exec.process), parent].into_iter().flatten() {
            if let Err(error) = self.source().track(process) {
                debug!("the end of process {} will not be seen at once: {error}", process.pid);
            }
        }
        self.turn(Turn::Observe(Observation::Exec(Box::new(exec))));
    }

    /// Lets the engine do what is due, and reports what has waited long enough for its context.
    pub fn tick(&mut self) {
        let now = boot_time();
        let overdue = self.reports.contexts.overdue(now);
        self.put_all(overdue);
        self.turn(Turn::Tick(now));
        self.rest();
    }

    /// Emits the final snapshot of each open incident. Returns how many were open, what was lost, and the output.
    pub fn finish(mut self) -> (usize, Losses, O) {
        let open = self.engine.open_incidents();
        self.turn(Turn::Finish(boot_time()));
        self.rest();
        let kept_back = self.reports.contexts.overdue(BootTime(u64::MAX));
        self.put_all(kept_back);
        let losses = self.losses();
        (open, losses, self.output)
    }

    /// Lets something happen to the engine.
    fn turn(&mut self, turn: Turn) {
        self.inspector.turn();
        let engine = &mut self.engine;
        let due = match &self.recorder {
            None => turn.happen(engine, &self.inspector),
            Some(recorder) => {
                recorder.turn(&turn, engine);
                turn.happen(engine, &recorder.watching(&self.inspector))
            }
        };
        let denied = self.inspector.request(engine.take_requests());
        self.emit(due);
        // What the engine asks for because of a denial is not asked for again when it is denied as well.
        for request in denied {
            self.turn(Turn::Denied(boot_time(), request));
        }
    }

    /// There is nothing to do for the moment.
    fn rest(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.flush();
        }
    }

    fn emit(&mut self, incidents: Vec<Snapshot>) {
        if incidents.is_empty() {
            return;
        }
        let losses = self.losses();
        if losses != self.losses_seen {
            if self.losses_seen == Losses::default() {
                warn!(?losses, "events were lost; findings carry the counts from now on");
            }
            self.losses_seen = losses;
        }
        // Somebody may have set the clock since. Smaller differences are the clock being steered; following them would
        // give one finding several creation times.
        let boot_unix_ns = boot_unix_ns();
        if boot_unix_ns.abs_diff(self.reports.host.boot_unix_ns) > CLOCK_STEP_NS {
            self.reports.host.boot_unix_ns = boot_unix_ns;
        }
        if let Some(recorder) = &self.recorder {
            recorder.findings(losses, self.reports.host.boot_unix_ns);
        }
        let now = boot_time();
        for incident in incidents {
            let due = self.reports.due(incident, losses, now);
            self.put_all(due);
        }
    }

    fn put_all(&self, reports: Vec<Report>) {
        for report in reports {
            self.output.put(report);
        }
    }

    /// Reports again where more is known now.
    pub fn learn(&mut self, learnt: Learnt) {
        let reports = self.reports.contexts.learn(learnt);
        self.put_all(reports);
    }

    fn losses(&self) -> Losses {
        let mut losses = self.inspector.source.borrow().losses();
        losses.tracking_full += self.engine.evicted();
        losses.output_dropped += self.output.dropped();
        losses
    }
}

/// What this thread has used of processors so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
