//! Time from the start of a shell on a socket to the moment its finding can be read from the sensor's stdout.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{load, quantile, report::Report, sorted};
use crate::sensor::Sensor;

/// Shells, each on a connection of its own.
const SAMPLES: usize = 250;
/// The budgets, in ms.
const MEDIAN_BUDGET: f64 = 1.0;
const P99_BUDGET: f64 = 10.0;

/// One shell after the other, so that none waits for another's finding.
pub(super) fn measure(sensor: &Sensor, report: &mut Report) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
    let (mut from_start, mut from_exec) = (Vec::new(), Vec::new());
    let samples = report.effort.samples(SAMPLES);
    for _ in 0..samples {
        let (start, exec) = sample(sensor, &listener)?;
        from_start.push(millis(start));
        from_exec.push(millis(exec));
    }
    let (from_start, from_exec) = (sorted(from_start), sorted(from_exec));
    let what = format!("{samples} shells; counted from before the fork, so an upper bound");
    report
        .figure("shell on a socket -> line, median", quantile(&from_start, 0.5), "ms")
        .budget(MEDIAN_BUDGET)
        .detail(what.clone());
    report
        .figure("shell on a socket -> line, p99", quantile(&from_start, 0.99), "ms")
        .budget(P99_BUDGET)
        .detail(what);
    report
        .figure("  from the exec on, median", quantile(&from_exec, 0.5), "ms")
        .detail(format!(
            "p99 {:.3} ms; counted from when the starter saw the exec",
            quantile(&from_exec, 0.99)
        ));
    Ok(())
}

/// Times since before the fork, and since the exec as the starting process sees it.
fn sample(sensor: &Sensor, listener: &TcpListener) -> Result<(Duration, Duration)> {
    let connection = TcpStream::connect(listener.local_addr()?).context("connecting on loopback")?;
    let (peer, _) = listener.accept().context("accepting on loopback")?;
    let port = connection.local_addr()?.port();
    let mut command = load::on_socket("/bin/sh", &connection)?;
    let start = Instant::now();
    let mut shell = command.spawn().context("/bin/sh can't be started")?;
    let exec = Instant::now();
    let line = sensor.wait_for(
        "the finding of a shell",
        |_| {},
        |line| line.has_port(port) && !line.is_over(),
    );
    // The shell ends when its input does.
    drop((peer, command, connection));
    shell.wait().context("waiting for /bin/sh")?;
    let arrived = line?.arrived;
    Ok((
        arrived.saturating_duration_since(start),
        arrived.saturating_duration_since(exec),
    ))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
