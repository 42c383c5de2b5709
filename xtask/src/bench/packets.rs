//! What sampling packets costs everybody's connections while one flow is watched, and that it stops.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use aya::sys::{Stats, enable_stats};

use super::{load, programs, ratio, report::Report};
use crate::sensor::{PATIENCE, Sensor};

/// Requests of a round, each with its response.
const REQUESTS: usize = 20_000;
/// A watched flow is let go after two minutes without a command.
const LONGEST: Duration = Duration::from_secs(150);

/// Measures on one core, so that nobody's wake-up of the other is a part of it.
pub(super) fn measure(path: &Path, cores: &[usize], report: &mut Report) -> Result<()> {
    let core = cores.get(..1).unwrap_or_default();
    load::pinned(core, exchange)?;
    let rounds = ratio::alternate(
        report.effort,
        None,
        || {
            let sensor = Sensor::start(path)?;
            let watched = Loop::start(&sensor)?;
            let time = load::pinned(core, exchange)?;
            drop(watched);
            sensor.end(|_| {})?;
            Ok(time)
        },
        || load::pinned(core, exchange),
    )?;
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    rounds.show("requests while a flow is watched", None, REQUESTS as f64, "us", report);

    let sensor = Sensor::start(path)?;
    ensure!(
        !is_attached(&sensor)?,
        "packets are looked at although nobody is watched"
    );
    let watched = Loop::start(&sensor)?;
    let statistics = enable_stats(Stats::RunTime).context("the kernel's BPF statistics (Linux 5.8 or newer)")?;
    let before = programs::used(&sensor, "wire")?;
    load::pinned(core, exchange)?;
    let wire = programs::used(&sensor, "wire")?.since(before);
    drop(statistics);
    report
        .figure("kernel time of one packet then", wire.mean(), "ns")
        .detail(format!(
            "program wire, mean of {} packets of flows that are not watched",
            wire.runs
        ));
    drop(watched);
    let start = Instant::now();
    while is_attached(&sensor)? && start.elapsed() < LONGEST {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Being over budget is no error: the sensor watches the whole machine.
    report
        .figure("end of the connection -> detached", start.elapsed().as_secs_f64(), "s")
        .budget(LONGEST.as_secs_f64())
        .detail(
            "no packet is looked at before a flow is watched, nor after this; over budget: still attached, perhaps for \
             another program's flow"
                .into(),
        );
    sensor.end(|_| {})
}

/// One byte there and one back, many times; who answers is on the same core.
fn exchange() -> Result<Duration> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
    let mut client = TcpStream::connect(listener.local_addr()?).context("connecting on loopback")?;
    let (mut server, _) = listener.accept().context("accepting on loopback")?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    std::thread::scope(|scope| {
        // Ends with the client.
        let answering = scope.spawn(move || {
            let mut byte = [0];
            while server.read_exact(&mut byte).is_ok() {
                server.write_all(&byte)?;
            }
            Ok::<_, std::io::Error>(())
        });
        let start = Instant::now();
        let mut byte = [0];
        for _ in 0..REQUESTS {
            client.write_all(&byte)?;
            client.read_exact(&mut byte)?;
        }
        let time = start.elapsed();
        drop(client);
        match answering.join() {
            Ok(result) => result?,
            Err(_) => bail!("the thread that answers panicked"),
        }
        Ok(time)
    })
}

/// A program that runs what comes on its connection, and has run something.
struct Loop {
    program: Child,
    peer: TcpStream,
}

impl Loop {
    /// Comes back when the sensor watches its connection.
    fn start(sensor: &Sensor) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
        let port = listener.local_addr()?.port();
        let program = Command::new(std::env::current_exe().context("the own executable")?)
            .args(["bench-helper", "loop", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("the loop can't be started")?;
        let (peer, _) = listener.accept().context("accepting on loopback")?;
        let mut started = Self { program, peer };
        let end = Instant::now() + PATIENCE;
        while !is_attached(sensor)? {
            ensure!(Instant::now() < end, "a program that runs commands is not watched");
            started.run()?;
        }
        Ok(started)
    }

    fn run(&mut self) -> Result<()> {
        self.peer.write_all(b"/bin/echo done\n")?;
        let mut answer = [0; 5];
        self.peer.read_exact(&mut answer)?;
        ensure!(&answer == b"done\n", "a loop answered {answer:?}");
        Ok(())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

/// Whether the sensor holds a link to a control group, by what the kernel says of its descriptors.
fn is_attached(sensor: &Sensor) -> Result<bool> {
    let directory = format!("/proc/{}/fdinfo", sensor.pid());
    let entries = fs::read_dir(&directory).with_context(|| directory.clone())?;
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    Ok(texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .any(|line| {
            line.strip_prefix("link_type:")
                .is_some_and(|kind| kind.trim() == "cgroup")
        }))
}
