//! Time from the start of a shell that another process carries to a connection, to the moment its finding can be read.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{helper, load, quantile, report::Report, sorted};
use crate::sensor::Sensor;

/// What carries, and how it is asked to.
const KINDS: [(&str, &str); 2] = [("pipes", "relay-pipes"), ("terminal", "relay-terminal")];

/// One shell after the other, `samples` of each kind.
pub(super) fn measure(sensor: &Sensor, samples: usize, place: &str, report: &mut Report) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
    let samples = report.effort.samples(samples);
    for (kind, part) in KINDS {
        let mut times = Vec::new();
        for _ in 0..samples {
            times.push(sample(sensor, &listener, part)?.as_secs_f64() * 1e3);
        }
        let times = sorted(times);
        let how = format!("{samples} shells; counted from before the fork; no budget");
        report
            .figure(
                &format!("shell behind {kind} -> line{place}, median"),
                quantile(&times, 0.5),
                "ms",
            )
            .detail(how.clone());
        report
            .figure(
                &format!("shell behind {kind} -> line{place}, p99"),
                quantile(&times, 0.99),
                "ms",
            )
            .detail(how);
    }
    Ok(())
}

/// One shell from start to end.
pub(super) fn sample(sensor: &Sensor, listener: &TcpListener, part: &str) -> Result<Duration> {
    let connection = TcpStream::connect(listener.local_addr()?).context("connecting on loopback")?;
    let (peer, _) = listener.accept().context("accepting on loopback")?;
    let port = connection.local_addr()?.port();
    let program = std::env::current_exe().context("the own executable")?;
    let mut command = load::on_socket(program, &connection)?;
    let mut carrier = Carrier(
        command
            .args(["bench-helper", part])
            .stderr(Stdio::piped())
            .spawn()
            .context("the carrier can't be started")?,
    );
    let line = sensor.wait_for(
        "the finding of a shell that is carried",
        |_| {},
        |line| line.has_port(port) && !line.is_over(),
    )?;
    let mut start = String::new();
    BufReader::new(carrier.0.stderr.take().context("a carrier without stderr")?).read_line(&mut start)?;
    let start: u64 = start
        .trim()
        .parse()
        .with_context(|| format!("a carrier said: {start}"))?;
    let since = Duration::from_nanos(helper::nanoseconds() - start).saturating_sub(Instant::now() - line.arrived);
    // The carrier ends when its input does.
    drop((peer, command, connection));
    carrier.0.wait().context("waiting for the carrier")?;
    Ok(since)
}

/// Killed where nobody waited for it.
struct Carrier(Child);

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
