//! A machine with thousands of processes: what a look at all of them takes, and what the sensor does while nothing happens.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aya::sys::{Stats, enable_stats};

use super::{programs, relay, report::Report, resources};
use crate::sensor::Sensor;

/// Processes.
const SIZE: usize = 5_000;
/// How long the sensor is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(20);
/// Shells of each kind, and shells of which the looks are counted.
const SAMPLES: usize = 100;
const LOOKS: usize = 20;

/// Starts the crowd, then a sensor.
pub(super) fn measure(path: &Path, report: &mut Report) -> Result<()> {
    let crowd = Crowd::gather()?;
    let place = format!(", {SIZE} processes");
    let start = Instant::now();
    let sensor = Sensor::start(path)?;
    report
        .figure(
            &format!("start to ready{place}"),
            start.elapsed().as_secs_f64() * 1e3,
            "ms",
        )
        .detail("with the self-test and the look at what runs".into());

    let before = resources::Snapshot::take(sensor.pid())?;
    // Time itself is what is measured here.
    let idle = report.effort.time(IDLE);
    std::thread::sleep(idle);
    let used = resources::Snapshot::take(sensor.pid())?.since(&before);
    let seconds = idle.as_secs_f64();
    let lines = sensor.forget_lines();
    let others = if lines == 0 {
        ""
    } else {
        "; NOT idle: somebody else's takeovers"
    };
    report
        .figure(
            &format!("CPU while idle{place}"),
            used.nanoseconds / 1e9 / seconds * 100.0,
            "%",
        )
        .detail(format!("of one core, over {seconds} s{others}"));
    report
        .figure(&format!("wakeups while idle{place}"), used.switches / seconds, "per s")
        .detail(format!("over {seconds} s{others}"));
    resources::memory(&sensor, &place, report)?;

    look(&sensor, &place, report)?;
    relay::measure(&sensor, SAMPLES, &place, report)?;
    sensor.end(|_| {})?;
    crowd.disperse()
}

/// What the kernel counts of the program that lists open files while shells behind a pipe start, and the sensor's own CPU.
fn look(sensor: &Sensor, place: &str, report: &mut Report) -> Result<()> {
    let statistics = enable_stats(Stats::RunTime).context("the kernel's BPF statistics (Linux 5.8 or newer)")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
    let before = (
        programs::used(sensor, "open_files")?,
        resources::Snapshot::take(sensor.pid())?,
    );
    let looks = report.effort.samples(LOOKS);
    for _ in 0..looks {
        relay::sample(sensor, &listener, "relay-pipes")?;
    }
    let files = programs::used(sensor, "open_files")?.since(before.0);
    let cpu = resources::Snapshot::take(sensor.pid())?.since(&before.1);
    drop(statistics);
    let shells = programs::as_float(u64::try_from(looks)?);
    report
        .figure(
            &format!("sensor's CPU for a carried shell{place}"),
            cpu.nanoseconds / 1e6 / shells,
            "ms",
        )
        .detail(format!(
            "looks at all processes included: {:.0} open files, {:.2} ms in the kernel program",
            programs::as_float(files.runs) / shells,
            programs::as_float(files.nanoseconds) / 1e6 / shells
        ));
    Ok(())
}

/// Processes that do nothing.
struct Crowd(Child);

impl Crowd {
    fn gather() -> Result<Self> {
        let program = std::env::current_exe().context("the own executable")?;
        let mut crowd = Self(
            Command::new(program)
                .args(["bench-helper", "crowd", &SIZE.to_string()])
                // Closed with this process, however it ends; the crowd ends then.
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("the crowd can't be started")?,
        );
        let mut size = String::new();
        BufReader::new(crowd.0.stdout.take().context("a crowd without stdout")?).read_line(&mut size)?;
        ensure!(
            size.trim() == SIZE.to_string(),
            "{SIZE} processes can't be started on this machine"
        );
        Ok(crowd)
    }

    fn disperse(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait().context("waiting for the crowd")?;
        ensure!(status.success(), "the crowd ended with {status}");
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Killing it would leave the end of its children to the kernel, which sees to it as well.
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}
