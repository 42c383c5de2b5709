//! `sensor-daemon run`: wires the rooms together and drives them. One thread does everything but keeping findings and writing
//! them, so that order is kept and detection waits for nobody.

use std::{io, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use tracing::{debug, info, warn};

use super::{
    delivery, memory,
    reporting::{Options, Reports, Told},
    sensor::Sensor,
};
use crate::{
    enrich::host,
    health::{
        doctor::{self, Verdict},
        self_test::{SelfTest, SelfTestError},
    },
    procfs::boot_time,
    sources::ebpf::{self, Events, LoadError, LoadOptions},
};

/// The child of the self-test is seen within a millisecond; a machine that swaps gets this long.
const SELF_TEST_SECONDS: u64 = 5;
/// Records taken before signals and timers get their turn, so that a flood can't keep the sensor from either.
const RECORDS_A_TURN: usize = 256;
/// Records taken after the signal to stop: what a full ring buffer may hold.
const RECORDS_AT_THE_END: usize = 65_536;
/// How long lines may take to leave at the end.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    delivery: delivery::Options,
}

pub(super) fn run(arguments: &Arguments, kernel_log: bool) -> anyhow::Result<ExitCode> {
    watch(&arguments.options, &arguments.delivery, None, kernel_log)
}

/// Watches until told to stop, and records all that happens if `recording` names a file for it.
pub(super) fn watch(
    options: &Options,
    delivery: &delivery::Options,
    recording: Option<&Path>,
    kernel_log: bool,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("the event loop could not be started")?;
    let result = runtime.block_on(watch_until_told(options, delivery, recording, kernel_log));
    // Not a plain drop: that would wait for the output thread, which may be stuck in a write for good.
    runtime.shutdown_background();
    result
}

async fn watch_until_told(
    options: &Options,
    delivery: &delivery::Options,
    recording: Option<&Path>,
    kernel_log: bool,
) -> anyhow::Result<ExitCode> {
    // Before anything else, so that a signal during start-up ends the sensor in order as well.
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be caught")?;
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP can't be caught")?;

    // Before the kernel side: a mistake in it should show at once.
    let told = options.told()?;
    let plan = delivery.over(&told)?;
    let Told {
        settings, enrichment, ..
    } = told;
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
    memory::release();
    let (outputs, mut failures) = plan.start()?;
    let min_severity = settings.min_severity;
    let (contexts, mut learnt) = if recording.is_some() {
        // What is reported beside a recording is what replaying it says.
        (enrichment.fixed(), tokio::sync::mpsc::channel(1).1)
    } else {
        enrichment.start()?
    };
    let reports = Reports::new(host::host(), enrichment.arguments, contexts);
    let mut sensor = Sensor::new(settings, reports, programs, counters, missed, outputs);
    if let Some(path) = recording {
        sensor.record(path, min_severity)?;
    }

    self_test(&mut sensor, &mut events).await?;
    sensor.look_at_start(events.get_mut());
    memory::release();
    info!(
        host = sensor.host().hostname,
        kernel = sensor.host().kernel,
        "ready: watching every program that is executed"
    );
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        warn!("the service manager could not be told that the sensor is ready: {error}");
    }

    let failure = loop {
        let deadline = sensor
            .next_deadline()
            .map(|at| Instant::now() + Duration::from_nanos(at.since(boot_time())));
        tokio::select! {
            guard = events.readable_mut() => {
                let mut guard = guard.context("the ring buffer can't be waited for")?;
                if sensor.drain(guard.get_inner_mut(), RECORDS_A_TURN) {
                    guard.clear_ready();
                }
            }
            () = sleep_until(deadline) => sensor.tick(),
            () = tokio::time::sleep_until(sensor.next_look()) => sensor.look_at_running(events.get_mut()),
            failure = failures.last() => break Some(failure),
            _ = hangup.recv() => sensor.reopen_files(),
            Some(learnt) = learnt.recv() => sensor.learn(learnt),
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
        }
    };
    // Failing to say so changes nothing.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    sensor.drain(events.get_mut(), RECORDS_AT_THE_END);
    while let Ok(learnt) = learnt.try_recv() {
        sensor.learn(learnt);
    }
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

async fn finish(sensor: Sensor, failure: Option<io::Error>) -> anyhow::Result<ExitCode> {
    if let Some(why) = failure {
        bail!("standard output can't be written to any more ({why}), so no finding would be read: the sensor ends");
    }
    let (open, losses) = sensor.finish(FLUSH_PATIENCE).await;
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
