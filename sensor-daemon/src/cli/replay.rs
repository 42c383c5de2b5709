//! `sensor-daemon replay`: rule and exceptions over a recording, without a kernel side.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use tracing::{info, warn};

use super::reporting::{self, Options, Told};
use crate::{
    detect::{Engine, Snapshot},
    finding::Encoding,
    model::{Losses, Text},
    pipeline::Reports,
    sources::recording::{Ending, Reader, RecordedTurn, RecordedWorld, Turn},
};

/// Most deadlines of the engine that are kept between two turns of a recording. Beyond that, which takes days, the recording
/// was made up.
const TICKS_MAX: usize = 10_000;

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The recording; - reads it from standard input
    #[arg(value_name = "RECORDING")]
    file: PathBuf,
    #[command(flatten)]
    options: Options,
}

pub(super) fn replay(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (name, input): (String, Box<dyn BufRead>) = if arguments.file == Path::new("-") {
        ("(standard input)".into(), Box::new(io::stdin().lock()))
    } else {
        let name = Text::from(arguments.file.display().to_string().as_str()).for_terminal();
        let file = File::open(&arguments.file).with_context(|| format!("the recording {name} can't be read"))?;
        (name, Box::new(BufReader::new(file)))
    };
    let mut reader = Reader::open(&name, input)?;
    let Told {
        settings,
        enrichment,
        format,
        ..
    } = arguments.options.told()?;
    let header = reader.header();
    info!(
        host = header.host.hostname,
        kernel = header.host.kernel,
        sensor = header.sensor,
        min_severity = header.min_severity,
        "replaying {name}"
    );
    let mut reports = Reports::new(header.host.clone(), enrichment.arguments, enrichment.fixed());
    reports.coverage = header.coverage;
    let mut replay = Replay {
        engine: Engine::new(settings),
        reports,
        encoding: reporting::for_stdout(format),
        world: RecordedWorld::default(),
        losses: Losses::default(),
        out: BufWriter::new(io::stdout().lock()),
    };
    let end = replay.all(&mut reader);
    replay.out.flush().context("standard output can't be written to")?;
    let turns = end?;
    if let Some(line) = replay.world.unanswered() {
        warn!(
            "{name}:{line}: from here on the engine asks what it did not ask when this was recorded, because of other settings or \
             another version; where it does, processes are taken to live on and nobody to be at the other end of a pipe, so \
             that findings may end late or be missing"
        );
    }
    match reader.ending() {
        Ending::Finished => {}
        Ending::Open => warn!("{name} ends before the sensor did; findings that were open then are left open"),
        Ending::Torn(line) => warn!("{name}:{line}: the recording ends in the middle of this line, which is left out"),
    }
    info!(turns, open_findings = replay.engine.open_incidents(), "replayed");
    Ok(ExitCode::SUCCESS)
}

struct Replay<W> {
    engine: Engine,
    reports: Reports,
    encoding: Encoding,
    world: RecordedWorld,
    losses: Losses,
    out: W,
}

impl<W: Write> Replay<W> {
    /// Replays everything; how many turns there were.
    fn all<R: BufRead>(&mut self, reader: &mut Reader<R>) -> anyhow::Result<usize> {
        let mut turns = 0;
        while let Some(recorded) = reader.next_turn()? {
            self.turn(recorded)?;
            turns += 1;
        }
        Ok(turns)
    }

    fn turn(&mut self, mut recorded: RecordedTurn) -> anyhow::Result<()> {
        if !recorded.missed {
            self.keep_deadlines(&recorded)?;
        }
        self.world.turn(&mut recorded);
        self.losses = recorded.losses.unwrap_or(self.losses);
        if let Some(boot_unix_ns) = recorded.boot_unix_ns {
            self.reports.host.boot_unix_ns = boot_unix_ns;
        }
        self.happen(recorded.turn)
    }

    /// Under other settings the engine has other deadlines than when it was recorded.
    fn keep_deadlines(&mut self, before: &RecordedTurn) -> anyhow::Result<()> {
        for _ in 0..TICKS_MAX {
            let Some(deadline) = before.turn.missed(&self.engine) else {
                break;
            };
            self.world.unrecorded_turn(before.line);
            self.happen(Turn::Tick(deadline))?;
        }
        Ok(())
    }

    fn happen(&mut self, turn: Turn) -> anyhow::Result<()> {
        let due = turn.happen(&mut self.engine, &self.world);
        // What the kernel side should do was done, or not, when this was recorded.
        self.engine.take_requests();
        due.into_iter().try_for_each(|incident| self.write(incident))
    }

    fn write(&mut self, incident: Snapshot) -> anyhow::Result<()> {
        let report = self.reports.report(incident, self.losses);
        self.out
            .write_all(self.encoding.text(&report).as_bytes())
            .context("standard output can't be written to")
    }
}
