//! `sensor-daemon run`: wires the rooms together and drives them. One thread does everything but writing to standard
//! output, so that order is kept and nothing needs a lock.

use std::{
    collections::HashSet,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use aya::maps::{MapData, RingBuf};
use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::Instant,
};
use tracing::{debug, info, warn};

use super::{Format, MinSeverity};
use crate::{
    config,
    detect::{Engine, Incident, Settings},
    enrich::{container::Containers, host},
    finding,
    health::{
        doctor::{self, Verdict},
        self_test::{SelfTest, SelfTestError},
    },
    model::{Exec, Host, Losses, Observation, ProcessId, Stream},
    sinks::stdout::{self, Stdout},
    sources::{
        ebpf::{self, CounterMap, Events, LoadError, LoadOptions, decode, missed::MissedRuns},
        procfs::Ancestry,
        running::{self, Interest},
        world::LiveWorld,
    },
};

/// The child of the self-test is seen within a millisecond; a machine that swaps gets this long.
const SELF_TEST_SECONDS: u64 = 5;
/// A change of the clock from which on it counts as set.
const CLOCK_STEP_NS: u64 = 1_000_000_000;
/// How often running processes are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// At least.
const LOOK_SELDOM: Duration = Duration::from_secs(60);
/// How soon, once one has moved a connection to its streams.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// The time between two looks, in durations of one.
const LOOK_SHARE: u32 = 1000;
/// Records taken before signals and timers get their turn, so that a flood can't keep the sensor from either.
const RECORDS_A_TURN: usize = 256;
/// Records taken after the signal to stop: what a full ring buffer may hold.
const RECORDS_AT_THE_END: usize = 65_536;
/// How long lines may take to leave at the end.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to write findings
    #[arg(long, value_enum, default_value = "auto")]
    format: Format,
    /// Leave out findings below this severity; such a takeover is followed silently, in case it rises. Goes before what the
    /// configuration file says; the default is medium
    #[arg(long, value_enum)]
    min_severity: Option<MinSeverity>,
    /// Configuration file: exceptions and the lowest severity. Without it /etc/sensor-daemon/config.toml is read, if there
    /// is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, kernel_log: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("the event loop could not be started")?;
    let result = runtime.block_on(watch(arguments, kernel_log));
    // Not a plain drop: that would wait for the output thread, which may be stuck in a write for good.
    runtime.shutdown_background();
    result
}

async fn watch(arguments: &Arguments, kernel_log: bool) -> anyhow::Result<ExitCode> {
    // Before anything else, so that a signal during start-up ends the sensor in order as well.
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be caught")?;

    // Before the kernel side: a mistake in it should show at once.
    let config = config::load(arguments.config.as_deref())?;
    let attached = ebpf::open(LoadOptions { kernel_log })
        .and_then(ebpf::Opened::attach)
        .map_err(explain)?;
    let ebpf::Attached {
        mut events,
        counters,
        missed,
        mut programs,
    } = attached;
    if kernel_log {
        forward_kernel_log(&mut programs)?;
    }
    release_memory();
    let (stdout, mut stdout_failure) = stdout::start().context("the output thread could not be started")?;
    let terminal = io::stdout().is_terminal();
    let mut sensor = Sensor {
        engine: Engine::new(Settings {
            min_severity: arguments
                .min_severity
                .map(Into::into)
                .or(config.min_severity)
                .unwrap_or(Settings::default().min_severity),
            exceptions: config.exceptions,
        }),
        look_at: Instant::now() + LOOK_EVERY,
        judged: HashSet::new(),
        containers: Containers::default(),
        ancestry: Ancestry::default(),
        world: LiveWorld::new(programs, host::sees_host_process_ids().unwrap_or(false)),
        host: host::host(),
        human: arguments.format == Format::Human || (arguments.format == Format::Auto && terminal),
        colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        counters,
        missed,
        stdout,
        decode_failures: 0,
        losses_seen: Losses::default(),
    };

    self_test(&mut sensor, &mut events).await?;
    sensor.look_at_running(Interest::SocketsAndPipes);
    info!(
        host = sensor.host.hostname,
        kernel = sensor.host.kernel,
        "ready: watching every program that is executed"
    );
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        warn!("the service manager could not be told that the sensor is ready: {error}");
    }

    let failure = loop {
        let deadline = sensor
            .engine
            .next_deadline()
            .map(|at| Instant::now() + Duration::from_nanos(at.since(host::now())));
        tokio::select! {
            guard = events.readable_mut() => {
                let mut guard = guard.context("the ring buffer can't be waited for")?;
                if sensor.drain(guard.get_inner_mut(), RECORDS_A_TURN) {
                    guard.clear_ready();
                }
            }
            () = sleep_until(deadline) => sensor.tick(),
            () = tokio::time::sleep_until(sensor.look_at) => sensor.look_at_running(Interest::Sockets),
            failure = &mut stdout_failure => break Some(failure),
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
        }
    };
    // Failing to say so changes nothing.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    sensor.drain(events.get_mut(), RECORDS_AT_THE_END);
    finish(sensor, failure).await
}

/// Refuses to go on unless the kernel side sees what it should. Observations of others meanwhile are judged as any.
async fn self_test(sensor: &mut Sensor, events: &mut Events) -> anyhow::Result<()> {
    let test = SelfTest::start()?;
    let deadline = Instant::now() + Duration::from_secs(SELF_TEST_SECONDS);
    let verdict = loop {
        let Ok(guard) = tokio::time::timeout_at(deadline, events.readable_mut()).await else {
            break Err(SelfTestError::Unseen(SELF_TEST_SECONDS));
        };
        let mut guard = guard.context("the ring buffer can't be waited for")?;
        let Some(record) = guard.get_inner_mut().next() else {
            guard.clear_ready();
            continue;
        };
        let observation = sensor.decode(&record);
        drop(record);
        match observation.map(|observation| (test.judge(&observation), observation)) {
            Some((Some(verdict), _)) => break verdict,
            Some((None, observation)) => sensor.observe(observation),
            None => {}
        }
    };
    test.finish();
    verdict.context("the sensor refuses to run")
}

async fn finish(
    mut sensor: Sensor,
    failure: Option<Result<io::Error, oneshot::error::RecvError>>,
) -> anyhow::Result<ExitCode> {
    if let Some(failure) = failure {
        let why = failure.map_or_else(|_| "its thread died".to_owned(), |error| error.to_string());
        bail!("standard output can't be written to any more ({why}), so no finding would be read: the sensor ends");
    }
    let open = sensor.engine.open_incidents();
    let last = sensor.engine.finish(host::now());
    sensor.emit(last);
    let losses = sensor.losses();
    let complete = sensor.stdout.finish(FLUSH_PATIENCE).await;
    if !complete {
        warn!(
            "standard output did not take the last findings within {} seconds: they are lost",
            FLUSH_PATIENCE.as_secs()
        );
    }
    info!(open_findings = open, ?losses, "stopped");
    Ok(ExitCode::SUCCESS)
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Turns a refusal to load into what is missing on this machine and what to do, the kernel's own words last.
fn explain(error: LoadError) -> anyhow::Error {
    if let LoadError::Program { source, .. } = &error {
        debug!("{source}");
    }
    let mut lines = format!("the kernel side does not load: {error}");
    let checks = doctor::examine();
    if checks.iter().any(|check| check.verdict == Verdict::Missing) {
        lines.push('\n');
        lines.push_str(doctor::lines(&checks, true).trim_end());
    }
    anyhow::Error::msg(lines)
}

/// Hands the kernel side's own diagnostics to tracing.
fn forward_kernel_log(programs: &mut ebpf::Programs) -> anyhow::Result<()> {
    let mut logger = programs.log()?;
    tokio::spawn(async move {
        while let Ok(mut guard) = logger.readable_mut().await {
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
        warn!("the kernel side's log can't be waited for any more");
    });
    Ok(())
}

/// Gives back what parsing the kernel's types took: a few times what the sensor needs from then on.
fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: has no precondition; other threads do not exist yet.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Everything between the ring buffer and standard output.
struct Sensor {
    engine: Engine,
    /// When to look at running processes next.
    look_at: Instant,
    /// Running processes that were judged by a look, by their streams.
    judged: HashSet<(ProcessId, [Option<u64>; 3])>,
    /// Remembers containers.
    containers: Containers,
    /// Remembers ancestors.
    ancestry: Ancestry,
    /// Answers the engine.
    world: LiveWorld,
    host: Host,
    /// For people, not JSON.
    human: bool,
    /// With colours, if for people.
    colour: bool,
    counters: CounterMap,
    missed: MissedRuns,
    stdout: Stdout,
    /// Records that could not be read; warned of once.
    decode_failures: u64,
    /// Losses that were already warned of.
    losses_seen: Losses,
}

impl Sensor {
    /// Takes records until there are none, but at most `limit`; whether there are none.
    fn drain(&mut self, events: &mut RingBuf<MapData>, limit: usize) -> bool {
        for _ in 0..limit {
            let Some(record) = events.next() else { return true };
            let observation = self.decode(&record);
            drop(record);
            if let Some(observation) = observation {
                self.observe(observation);
            }
        }
        false
    }

    fn decode(&mut self, record: &[u8]) -> Option<Observation> {
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

    fn observe(&mut self, mut observation: Observation) {
        match &mut observation {
            Observation::Exec(exec) => self.complete(exec),
            // Not at once: most who do this execute something next, which says more.
            Observation::Moved(_) => self.look_at = self.look_at.min(Instant::now() + LOOK_SOON),
            _ => {}
        }
        self.world.turn();
        let due = self.engine.observe(observation, &self.world);
        self.world.grant(self.engine.take_wishes());
        self.emit(due);
    }

    /// Adds what user space alone can know.
    fn complete(&mut self, exec: &mut Exec) {
        exec.container = self.containers.of(&exec.cgroup);
        let mut identities = self.world.identities.borrow_mut();
        let multicall;
        (exec.program, multicall) = identities.of_exec(exec);
        if !exec.executable.memfd && exec.executable.inode != 0 {
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

    /// Looks at running processes: at start for takeovers that are older than the sensor, later for programs that put a
    /// connection on their own streams.
    fn look_at_running(&mut self, interest: Interest) {
        let began = Instant::now();
        // Under another numbering nothing can be said of a process.
        if self.world.same_process_ids {
            let files = self.world.list();
            let running = running::find(&files, interest, host::now(), &mut self.world.identities.borrow_mut());
            let mut judged = HashSet::new();
            for mut exec in running {
                let identity = (exec.process, exec.streams.each_ref().map(Stream::inode));
                judged.insert(identity);
                if self.judged.contains(&identity) || self.engine.is_known(&exec) {
                    continue;
                }
                exec.container = self.containers.of(&exec.cgroup);
                self.take_running(exec);
            }
            self.judged = judged;
        }
        debug!("looked at running processes in {:?}", began.elapsed());
        // On a machine where it takes long it is done less often. The look at start looks into files as well.
        let wait = match interest {
            Interest::Sockets => (began.elapsed() * LOOK_SHARE).clamp(LOOK_EVERY, LOOK_SELDOM),
            Interest::SocketsAndPipes => LOOK_EVERY,
        };
        self.look_at = Instant::now() + wait;
    }

    fn take_running(&mut self, exec: Exec) {
        let parent = exec.parent().map(|parent| parent.process);
        for process in [Some(exec.process), parent].into_iter().flatten() {
            if let Err(error) = self.world.programs.borrow_mut().track(process) {
                debug!("the end of process {} will not be seen at once: {error}", process.pid);
            }
        }
        self.world.turn();
        let due = self.engine.observe(Observation::Exec(Box::new(exec)), &self.world);
        self.world.grant(self.engine.take_wishes());
        self.emit(due);
    }

    fn tick(&mut self) {
        self.world.turn();
        let due = self.engine.tick(host::now(), &self.world);
        self.world.grant(self.engine.take_wishes());
        self.emit(due);
    }

    fn emit(&mut self, incidents: Vec<Incident>) {
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
        let boot_unix_ns = host::boot_unix_ns();
        if boot_unix_ns.abs_diff(self.host.boot_unix_ns) > CLOCK_STEP_NS {
            self.host.boot_unix_ns = boot_unix_ns;
        }
        for incident in incidents {
            self.write(&incident, &losses);
        }
    }

    fn write(&self, incident: &Incident, losses: &Losses) {
        let id = finding::finding_id(incident, &self.host);
        if self.human {
            let text = finding::human(incident, &self.host, losses, self.colour);
            return self.stdout.send(id, text);
        }
        match serde_json::to_string(&finding::scc(incident, &self.host, losses)) {
            Ok(line) => self.stdout.send(id, line + "\n"),
            Err(error) => warn!("a finding can't be written as JSON: {error}"),
        }
    }

    fn losses(&self) -> Losses {
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
            output_dropped: self.stdout.dropped(),
        }
    }
}
