//! The live sensor: everything between the ring buffer and the record of findings, and a recording beside it.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use aya::maps::{MapData, RingBuf};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{delivery::Outputs, memory, reporting::Reports};
use crate::{
    detect::{Engine, Settings, Severity, Snapshot},
    enrich::{Learnt, container::Containers},
    model::{BootTime, Exec, Host, Losses, Observation, ProcessId, Stream},
    procfs::{boot_time, boot_unix_ns, sees_host_process_ids},
    programs::{self, Ancestry},
    sources::{
        ebpf::{CounterMap, Programs, decode, missed::MissedRuns},
        recording::{Recorder, Turn},
        running::{self, Interest},
        world::LiveWorld,
    },
};

/// A change of the clock from which on it counts as set.
const CLOCK_STEP_NS: u64 = 1_000_000_000;
/// How often running processes are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// At least.
const LOOK_SELDOM: Duration = Duration::from_secs(60);
/// How soon, once one has moved a connection to its streams.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// How often it is asked whether the kernel has left out runs, while there is an incident whose end that can hide.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The time between two looks, in times that a processor takes for one.
const LOOK_SHARE: u32 = 1000;

/// A list of all open files that takes so long is a large one.
const MUCH: Duration = Duration::from_millis(2);
/// Most records that are taken between what a look saw and its judgement.
const RECORDS_A_LOOK: usize = 65_536;

/// A running process, and the inode numbers of its streams.
type Seen = (ProcessId, [Option<u64>; 3]);

/// Everything between the ring buffer and the record of findings.
pub(super) struct Sensor {
    engine: Engine,
    reports: Reports,
    /// When to look at running processes next.
    look_at: Instant,
    /// What the last look saw, and whether it has been judged.
    seen: HashMap<Seen, bool>,
    /// A program has moved a connection to its streams since the last look.
    moved: bool,
    /// The next look is there to confirm the last.
    confirming: bool,
    /// Runs that the kernel had left out at the last look.
    missed_before: u64,
    /// The same when open incidents were last asked for it, and when that is due again.
    missed_told: u64,
    ask_at: Instant,
    /// What the last look was for.
    interest: Interest,
    /// Remembers containers.
    containers: Containers,
    /// Remembers ancestors.
    ancestry: Ancestry,
    /// Answers the engine.
    world: LiveWorld,
    /// Notes all that happens to the engine.
    recorder: Option<Recorder>,
    counters: CounterMap,
    missed: MissedRuns,
    outputs: Outputs,
    /// Records that could not be read; warned of once.
    decode_failures: u64,
    /// Losses that were already warned of.
    losses_seen: Losses,
}

impl Sensor {
    pub(super) fn new(
        settings: Settings,
        reports: Reports,
        programs: Programs,
        counters: CounterMap,
        missed: MissedRuns,
        outputs: Outputs,
    ) -> Self {
        let host_processes = sees_host_process_ids().unwrap_or(false);
        Self {
            engine: Engine::new(settings),
            reports,
            look_at: Instant::now() + LOOK_EVERY,
            seen: HashMap::new(),
            moved: false,
            confirming: false,
            missed_before: 0,
            missed_told: 0,
            ask_at: Instant::now(),
            interest: Interest::Sockets,
            containers: if host_processes {
                Containers::live()
            } else {
                Containers::default()
            },
            ancestry: Ancestry::default(),
            world: LiveWorld::new(programs, host_processes),
            recorder: None,
            counters,
            missed,
            outputs,
            decode_failures: 0,
            losses_seen: Losses::default(),
        }
    }

    /// Notes all that happens from now on in a new file at `path`.
    pub(super) fn record(&mut self, path: &Path, min_severity: Severity) -> anyhow::Result<()> {
        let recorder = Recorder::create(path, self.host(), min_severity).with_context(|| {
            format!(
                "the recording {} can't be made (it must not exist, so that no other file is overwritten)",
                path.display()
            )
        })?;
        self.recorder = Some(recorder);
        Ok(())
    }

    pub(super) fn host(&self) -> &Host {
        &self.reports.host
    }

    /// When [`Self::tick`] is due.
    pub(super) fn next_deadline(&self) -> Option<BootTime> {
        self.engine.next_deadline()
    }

    /// When [`Self::look_at_running`] is due.
    pub(super) fn next_look(&self) -> Instant {
        if self.engine.open_incidents() > 0 {
            self.look_at.min(self.ask_at)
        } else {
            self.look_at
        }
    }

    /// Takes records until there are none, but at most `limit`; whether there are none.
    pub(super) fn drain(&mut self, events: &mut RingBuf<MapData>, limit: usize) -> bool {
        for _ in 0..limit {
            let Some(record) = events.next() else {
                self.rest();
                return true;
            };
            let observation = self.decode(&record);
            drop(record);
            if let Some(observation) = observation {
                self.observe(observation);
            }
        }
        false
    }

    pub(super) fn decode(&mut self, record: &[u8]) -> Option<Observation> {
        match decode::decode(record) {
            Ok(observation) => Some(observation),
            Err(error) => {
                if self.decode_failures == 0 {
                    warn!("the kernel side sent {error}; further ones are counted only");
                }
                self.decode_failures += 1;
                None
            }
        }
    }

    pub(super) fn observe(&mut self, mut observation: Observation) {
        match &mut observation {
            Observation::Exec(exec) => self.complete(exec),
            // Not at once: most who do this execute something next, which says more.
            Observation::Moved(_) => {
                self.moved = true;
                self.look_at = self.look_at.min(Instant::now() + LOOK_SOON);
            }
            _ => {}
        }
        self.turn(Turn::Observe(observation));
    }

    /// Adds what user space alone can know.
    fn complete(&mut self, exec: &mut Exec) {
        exec.container = self.containers.of_exec(exec);
        let mut identities = self.world.identities.borrow_mut();
        let before = SystemTime::now();
        let multicall;
        (exec.program, multicall) = identities.of_exec(exec);
        // What has changed only just may change again under the same time, which is all that the kernel side goes by.
        if exec.executable.unknown
            && !exec.executable.memfd
            && programs::is_second_settled(exec.executable.changed, before)
        {
            let learned = self
                .world
                .programs
                .borrow_mut()
                .learn_file(&exec.executable, exec.program.kind, multicall);
            if let Err(error) = learned {
                debug!("the kernel side does not take what a file is: {error}");
            }
        }
        self.ancestry.complete(&mut exec.ancestors, exec.time, &mut identities);
    }

    /// Looks at running processes, before the first event for takeovers that are older than the sensor.
    pub(super) fn look_at_start(&mut self, events: &mut RingBuf<MapData>) {
        self.look(Interest::SocketsAndPipes, true, events);
        self.outputs.store.settle();
    }

    /// Has files that findings go to opened anew.
    pub(super) fn reopen_files(&self) {
        self.outputs.reopen();
    }

    /// Looks at running processes for programs that put a connection on their own streams; where the kernel has left out
    /// runs of the kernel side, for whatever was executed unseen as well.
    pub(super) fn look_at_running(&mut self, events: &mut RingBuf<MapData>) {
        let now = Instant::now();
        let missed = self.missed.count();
        self.ask_at = now + ASK_EVERY;
        if missed > self.missed_told {
            self.missed_told = missed;
            // What did reach us comes first.
            self.drain(events, RECORDS_A_LOOK);
            self.turn(Turn::Observe(Observation::RunsMissed(boot_time())));
            self.rest();
        }
        if now < self.look_at {
            return;
        }
        if missed > self.missed_before {
            self.interest = Interest::SocketsAndPipes;
        } else if !self.confirming {
            self.interest = Interest::Sockets;
        }
        self.missed_before = missed;
        self.look(self.interest, false, events);
    }

    /// What is `certain` is judged at once. Else what has been seen twice: a process can be caught between dup2 and exec, and
    /// would be judged by the streams of the program to come and the name of the one that was.
    fn look(&mut self, interest: Interest, certain: bool, events: &mut RingBuf<MapData>) {
        let mut took = Duration::ZERO;
        let mut uncertain = false;
        let moved = std::mem::take(&mut self.moved);
        // Under another numbering nothing can be said of a process.
        if self.world.same_process_ids {
            let began = processor_time();
            let files = self.world.list();
            took = processor_time().saturating_sub(began);
            let running = running::find(&files, interest, boot_time(), &mut self.world.identities.borrow_mut());
            // What was executed while we looked is in the ring buffer by now, and seen there as it was.
            self.drain(events, RECORDS_A_LOOK);
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
        if took > MUCH {
            memory::trim();
        }
        // On a machine where it takes long it is done less often.
        let mut wait = (took * LOOK_SHARE).clamp(LOOK_EVERY, LOOK_SELDOM);
        // Not for ever: on a busy machine each look finds somebody new.
        self.confirming = uncertain && (!self.confirming || moved);
        if self.confirming || self.moved {
            wait = LOOK_SOON;
        }
        self.look_at = Instant::now() + wait;
    }

    fn take_running(&mut self, exec: Exec) {
        let parent = exec.parent().map(|parent| parent.process);
        for process in [Some(exec.process), parent].into_iter().flatten() {
            if let Err(error) = self.world.programs.borrow_mut().track(process) {
                debug!("the end of process {} will not be seen at once: {error}", process.pid);
            }
        }
        self.turn(Turn::Observe(Observation::Exec(Box::new(exec))));
    }

    pub(super) fn tick(&mut self) {
        self.turn(Turn::Tick(boot_time()));
        self.rest();
    }

    /// Says the last state of what is open; then waits, for `patience` at most, until the outputs have taken everything. How many
    /// were open, and what was lost.
    pub(super) async fn finish(mut self, patience: Duration) -> (usize, Losses) {
        let open = self.engine.open_incidents();
        self.turn(Turn::Finish(boot_time()));
        self.rest();
        let losses = self.losses();
        self.outputs.finish(patience).await;
        (open, losses)
    }

    /// Lets something happen to the engine.
    fn turn(&mut self, turn: Turn) {
        self.world.turn();
        let engine = &mut self.engine;
        let due = match &self.recorder {
            None => turn.happen(engine, &self.world),
            Some(recorder) => {
                recorder.turn(&turn, engine);
                turn.happen(engine, &recorder.watching(&self.world))
            }
        };
        self.world.grant(engine.take_requests());
        self.emit(due);
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
        for incident in incidents {
            let report = self.reports.report(incident, losses);
            self.outputs.store.put(report);
        }
    }

    /// Reports again where more is known now.
    pub(super) fn learn(&mut self, learnt: Learnt) {
        for report in self.reports.contexts.learn(learnt) {
            self.outputs.store.put(report);
        }
    }

    pub(super) fn losses(&self) -> Losses {
        let counters = self.counters.read().unwrap_or_else(|error| {
            debug!("the kernel side's counters can't be read: {error}");
            sensor_common::counters::Counters::default()
        });
        Losses {
            ring_full: counters.ring_full + counters.stage_missing,
            runs_missed: self.missed.count(),
            read_failures: counters.read_failed_streams
                + counters.read_failed_socket
                + counters.read_failed_argv
                + counters.read_failed_path
                + self.decode_failures,
            tracking_full: counters.tracking_full + self.engine.evicted(),
            output_dropped: self.outputs.store.dropped(),
        }
    }
}

/// What this thread has used of processors so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
