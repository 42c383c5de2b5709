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
    delivery::{self, Outputs},
    reporting::{Options, Told},
};
use crate::{
    enrich::host,
    finding::Report,
    health::{
        doctor::{self, Verdict},
        self_test::{SelfTest, SelfTestError},
    },
    pipeline::{Output, Pipeline, Reports},
    procfs::boot_time,
    sources::{
        Events as _,
        ebpf::{self, Attached, LoadError, LoadOptions},
    },
    store::Settled,
};

/// The child of the self-test is seen within a millisecond; a machine that swaps gets this long.
const SELF_TEST_SECONDS: u64 = 5;
/// Observations taken before signals and timers get their turn, so that a flood can't keep the sensor from either.
const OBSERVATIONS_A_TURN: usize = 256;
/// Observations taken after the signal to stop: what a full ring buffer may hold.
const OBSERVATIONS_AT_THE_END: usize = 65_536;
/// Longest wait at the end until the outputs have taken everything.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(3);

/// The pipeline of a live sensor.
type Live = Pipeline<Attached, Outputs>;

impl Output for Outputs {
    fn put(&self, report: Report) {
        self.store.put(report);
    }

    fn dropped(&self) -> u64 {
        self.store.dropped()
    }
}

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
    give_back_freed_memory();
    let loader = ebpf::Loader::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("the event loop could not be started")?;
    let result = runtime.block_on(watch_until_told(loader, options, delivery, recording, kernel_log));
    // Not a plain drop: that would wait for the output thread, which may be stuck in a write for good.
    runtime.shutdown_background();
    result
}

/// Makes the C library give each freed block of 128 KiB or more back to the system, as it does at first.
///
/// glibc keeps larger and larger blocks, up to 32 MB, once a larger one was freed. What loading the kernel side takes for a
/// moment, and later a scan of a large machine, would stay with the sensor for good.
fn give_back_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: has no precondition.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

async fn watch_until_told(
    loader: ebpf::Loader,
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
    let mut attached = loader
        .open(LoadOptions { kernel_log })
        .and_then(Attached::attach)
        .map_err(explain)?;
    if kernel_log {
        forward_kernel_log(&mut attached)?;
    }
    let (outputs, mut failures) = plan.start()?;
    let min_severity = settings.min_severity;
    let (contexts, mut learnt) = if recording.is_some() {
        // What is reported beside a recording is what replaying it says.
        (enrichment.fixed(), tokio::sync::mpsc::channel(1).1)
    } else {
        enrichment.start()?
    };
    let reports = Reports::new(host::host(), enrichment.arguments, contexts);
    let mut pipeline = Pipeline::new(settings, reports, attached, outputs);
    if let Some(path) = recording {
        pipeline.record(path, min_severity)?;
    }

    self_test(&mut pipeline).await?;
    let certain = if pipeline.scan_at_start() {
        Settled::All
    } else {
        Settled::OtherBoots(pipeline.host().boot_id.clone())
    };
    pipeline.output().store.settle(certain);
    info!(
        host = pipeline.host().hostname,
        kernel = pipeline.host().kernel,
        "ready: watching every program that is executed"
    );
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        warn!("the service manager could not be told that the sensor is ready: {error}");
    }

    let failure = loop {
        let scan = pipeline.next_scan();
        let deadline = pipeline
            .next_deadline()
            .map(|at| Instant::now() + Duration::from_nanos(at.since(boot_time())));
        tokio::select! {
            ready = pipeline.source().ready() => {
                ready.context("the ring buffer can't be waited for")?;
                pipeline.drain(OBSERVATIONS_A_TURN);
            }
            () = sleep_until(deadline) => pipeline.tick(),
            () = tokio::time::sleep_until(scan) => pipeline.scan_if_due(),
            failure = failures.last() => break Some(failure),
            _ = hangup.recv() => pipeline.output().reopen(),
            Some(learnt) = learnt.recv() => pipeline.learn(learnt),
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
        }
    };
    // Failing to say so changes nothing.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    pipeline.drain(OBSERVATIONS_AT_THE_END);
    while let Ok(learnt) = learnt.try_recv() {
        pipeline.learn(learnt);
    }
    finish(pipeline, failure).await
}

/// Refuses to go on unless the kernel side sees what it should. Observations of others meanwhile are judged as any.
async fn self_test(pipeline: &mut Live) -> anyhow::Result<()> {
    let test = SelfTest::start()?;
    let deadline = Instant::now() + Duration::from_secs(SELF_TEST_SECONDS);
    let verdict = loop {
        let Ok(ready) = tokio::time::timeout_at(deadline, pipeline.source().ready()).await else {
            break Err(SelfTestError::Unseen(SELF_TEST_SECONDS));
        };
        ready.context("the ring buffer can't be waited for")?;
        let Some(observation) = pipeline.source().next() else {
            continue;
        };
        match test.judge(&observation) {
            Some(verdict) => break verdict,
            None => pipeline.observe(observation),
        }
    };
    test.finish();
    verdict.context("the sensor refuses to run")
}

async fn finish(pipeline: Live, failure: Option<io::Error>) -> anyhow::Result<ExitCode> {
    let (open, losses, outputs) = pipeline.finish();
    outputs.finish(FLUSH_WAIT_MAX).await;
    if let Some(why) = failure {
        bail!("standard output can't be written to any more ({why}), so no finding would be read: the sensor ends");
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
fn forward_kernel_log(attached: &mut Attached) -> anyhow::Result<()> {
    let mut logger = attached.log()?;
    tokio::spawn(async move {
        while let Ok(mut guard) = logger.readable_mut().await {
            guard.get_inner_mut().flush();
            guard.clear_ready();
        }
        warn!("the kernel side's log can't be waited for any more");
    });
    Ok(())
}
