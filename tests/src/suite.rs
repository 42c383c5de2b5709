//! Runs named cases one after another against one sensor.

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::{
    lab::Lab,
    process::{adopt_orphans, sweep},
    programs::Programs,
    sensor::Sensor,
    tools,
};

type Run = Box<dyn Fn(&Lab<'_>) -> Result<()> + Send>;

/// Something that happens on the machine, and what the sensor has to make of it.
pub struct Case {
    name: String,
    tools: &'static [&'static str],
    run: Run,
}

impl Case {
    /// A case that needs `tools` installed.
    pub fn new(
        name: impl Into<String>,
        tools: &'static [&'static str],
        run: impl Fn(&Lab<'_>) -> Result<()> + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            tools,
            run: Box::new(run),
        }
    }
}

/// The sensor and the compiled attackers of all cases.
struct Shared {
    sensor: Sensor,
    programs: Programs,
}

impl Shared {
    fn start() -> Result<Self> {
        must_be_root()?;
        adopt_orphans()?;
        Ok(Self {
            sensor: Sensor::start()?,
            programs: Programs::new()?,
        })
    }
}

/// Started by the first case: a mere listing of the names needs no sensor.
#[derive(Clone, Default)]
struct Suite(Arc<Mutex<Option<Result<Shared, String>>>>);

impl Suite {
    fn with<T>(&self, use_it: impl FnOnce(&Shared) -> Result<T>) -> Result<T> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.get_or_insert_with(|| Shared::start().map_err(|error| format!("{error:#}"))) {
            Ok(shared) => use_it(shared),
            Err(error) => Err(anyhow!("{error}")),
        }
    }

    fn run(&self, case: &Case) -> Result<()> {
        self.with(|shared| {
            for tool in case.tools {
                tools::find(tool)?;
            }
            let lab = Lab::new(&shared.sensor, &shared.programs)?;
            let outcome = (case.run)(&lab);
            let output = lab.output();
            let swept = sweep(&[shared.sensor.pid()]);
            let settled = swept.and_then(|()| lab.settle());
            outcome
                .and(settled)
                .with_context(|| format!("the programs said: {output}"))
        })
    }

    /// Every line of the whole suite, in one go: the interpreter's start costs more than all of them.
    fn parse_officially(&self) -> Result<()> {
        self.with(|shared| {
            let dir = tempfile::tempdir()?;
            let file = dir.path().join("lines");
            let lines: Vec<Vec<u8>> = shared
                .sensor
                .lines(0, |lines| lines.iter().map(|line| line.raw.clone()).collect());
            ensure!(!lines.is_empty(), "no line was written: run this together with others");
            fs::write(&file, lines.join(&b'\n'))?;
            Format::Scc.parse_officially(&file, lines.len())
        })
    }

    fn stop(&self) -> Result<()> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Ok(shared)) => shared.sensor.stop(),
            _ => Ok(()),
        }
    }
}

/// A format of findings that machines read.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// Security Command Center's, read by Google's own parser, strictly: unknown members are errors.
    Scc,
    /// OCSF's, validated against its own closed schema.
    Ocsf,
    /// The Elastic Common Schema, validated against its table of fields.
    Ecs,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Scc, Self::Ocsf, Self::Ecs];

    /// What `--format` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scc => "json",
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
        }
    }

    /// Has its official parser read the lines of `file`.
    ///
    /// # Errors
    /// What it says about the first line that it refuses.
    pub fn parse_officially(self, file: &Path, lines: usize) -> Result<()> {
        let python = env::var_os("SENSOR_TEST_PYTHON").context(
            "SENSOR_TEST_PYTHON names no Python with the parsers of findings: run cargo xtask setup --tests",
        )?;
        let mut command = Command::new(python);
        command.arg("-c");
        match self {
            Self::Scc => command.arg(include_str!("../programs/parse.py")),
            Self::Ocsf => command.arg(include_str!("../programs/ocsf.py")),
            Self::Ecs => command
                .arg(include_str!("../programs/ecs.py"))
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/ecs-9.4.0.tsv")),
        };
        let output = command.arg(file).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && said.contains(&format!("parsed {lines} lines")),
            "{self:?}: {said}"
        );
        Ok(())
    }
}

/// A case that starts sensors of its own: its name, and what it does.
pub type Alone = (&'static str, fn() -> Result<()>);

/// Runs cases that start sensors of their own, one after another.
#[must_use]
pub fn run_alone(cases: Vec<Alone>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let run = |case: fn() -> Result<()>| -> Result<()> {
        must_be_root()?;
        adopt_orphans()?;
        let outcome = case();
        outcome.and(sweep(&[]))
    };
    let trials = cases.into_iter().map(|(name, case)| {
        Trial::test(name, move || {
            run(case).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn must_be_root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the end-to-end tests load BPF programs: run them as root"
    );
    Ok(())
}

/// Runs `cases` the way `cargo test` expects it: filters, names and exit code.
#[must_use]
pub fn run(cases: Vec<Case>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let suite = Suite::default();
    let failed = |error: anyhow::Error| Failed::from(format!("{error:#}"));
    let mut trials = Vec::new();
    for case in cases {
        let suite = suite.clone();
        trials.push(Trial::test(case.name.clone(), move || suite.run(&case).map_err(failed)));
    }
    let (parsing, stopping) = (suite.clone(), suite.clone());
    trials.push(Trial::test("lines::pass_the_official_parser", move || {
        parsing.parse_officially().map_err(failed)
    }));
    trials.push(Trial::test("sensor::ends_well", move || {
        stopping.stop().map_err(failed)
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}
