//! A storm on all cores in which every exec has a socket for its streams: what was sent must be counted.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Child,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{load, report::Report};
use crate::sensor::{Line, Sensor};

/// Execs, on each core.
const EXECS: usize = 5_000;

/// A shell on a connection; what is executed on that connection belongs to its finding.
struct Takeover {
    peer: TcpStream,
    connection: TcpStream,
    shell: Child,
    opened: Line,
}

/// Opens one takeover a core, floods each, and compares the counts of the findings with what was sent.
pub(super) fn measure(sensor: &Sensor, cores: &[usize], report: &mut Report) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
    let mut takeovers = Vec::new();
    for _ in cores {
        takeovers.push(open(sensor, &listener)?);
    }
    let connections = takeovers
        .iter()
        .map(|takeover| takeover.connection.try_clone())
        .collect::<Result<Vec<_>, _>>()?;
    let time = load::storm_on_sockets(cores, &connections, EXECS)?;
    drop(connections);

    let ids: Vec<String> = takeovers
        .iter()
        .map(|takeover| takeover.opened.id().to_owned())
        .collect();
    let (mut counted, mut losses, mut written) = (0, 0, 0_u64);
    for takeover in takeovers {
        let Takeover {
            peer,
            connection,
            mut shell,
            opened,
        } = takeover;
        drop((peer, connection));
        shell.wait().context("waiting for /bin/sh")?;
        let last = sensor.wait_for(
            "the end of a flooded finding",
            |line| written += u64::from(ids.iter().any(|id| id == line.id())),
            |line| line.id() == opened.id() && line.is_over(),
        )?;
        counted += last.commands() - opened.commands();
        losses = losses.max(lost(&last)?);
    }
    let sent = u64::try_from(EXECS * cores.len())?;
    ensure!(
        counted <= sent,
        "{sent} execs were made, {counted} counted: something else ran on the same connections"
    );
    let rate = as_float(sent) / time.as_secs_f64();
    report
        .figure("events lost, every exec matching", as_float(sent - counted), "events")
        .budget(0.0)
        .detail(format!(
            "{sent} sent, {counted} counted, at {rate:.0} execs/s on all cores; {written} lines of updates"
        ));
    report
        .figure("  losses that the findings admit", as_float(losses), "events")
        .budget(0.0);
    Ok(())
}

fn open(sensor: &Sensor, listener: &TcpListener) -> Result<Takeover> {
    let connection = TcpStream::connect(listener.local_addr()?).context("connecting on loopback")?;
    let (peer, _) = listener.accept().context("accepting on loopback")?;
    let port = connection.local_addr()?.port();
    let shell = load::on_socket("/bin/sh", &connection)?
        .spawn()
        .context("/bin/sh can't be started")?;
    let opened = sensor.wait_for("the finding of a shell", |_| {}, |line| line.has_port(port))?;
    Ok(Takeover {
        peer,
        connection,
        shell,
        opened,
    })
}

/// All counters of `losses` together.
fn lost(line: &Line) -> Result<u64> {
    let losses = line
        .value("/sourceProperties/losses")
        .context("a finding without sourceProperties.losses")?;
    Ok(sum(losses))
}

fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(members) => members.values().map(sum).sum(),
        Value::Array(items) => items.iter().map(sum).sum(),
        Value::Number(number) => number.as_u64().unwrap_or_default(),
        Value::String(text) => text.parse().unwrap_or_default(),
        Value::Null | Value::Bool(_) => 0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn as_float(number: u64) -> f64 {
    number as f64
}
