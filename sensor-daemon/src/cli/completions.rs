//! `sensor-daemon completions` and `sensor-daemon man`: what a package installs beside the program.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;

use crate::model::Text;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell that is to complete
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// The directory to write the pages to; it has to exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn completions(arguments: &Arguments, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    // Made in memory: the generator panics where its output is closed.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "sensor-daemon", &mut script);
    match io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output can't be written to")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

pub(super) fn man(arguments: &ManArguments, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    command.build();
    pages(&arguments.directory, &command, "sensor-daemon")?;
    Ok(ExitCode::SUCCESS)
}

/// A page for `command`, and one for each of its subcommands that is not hidden.
fn pages(directory: &Path, command: &clap::Command, name: &str) -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_owned())
        .render(&mut page)?;
    let path = directory.join(format!("{name}.1"));
    let shown = Text::from(path.display().to_string().as_str()).for_terminal();
    fs::write(&path, page)
        .with_context(|| format!("the page {shown} can't be written; give a directory that exists and is yours"))?;
    for below in command.get_subcommands() {
        if !below.is_hide_set() && below.get_name() != "help" {
            pages(directory, below, &format!("{name}-{}", below.get_name()))?;
        }
    }
    Ok(())
}
