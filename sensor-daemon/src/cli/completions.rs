//! `sensor-daemon completions` and `sensor-daemon man`: what a package installs beside the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;

use super::console::print;
use crate::{
    config,
    model::Text,
    store::{DIRECTORY, FILE},
};

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
    print(&script)
}

pub(super) fn man(arguments: &ManArguments, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    command.build();
    pages(&arguments.directory, &command, "sensor-daemon")?;
    Ok(ExitCode::SUCCESS)
}

/// What the pages say beyond the help texts, as roff.
fn sections() -> String {
    let config = config::DEFAULT_PATH;
    format!(
        "\
.SH \"EXIT STATUS\"
.TP
\\fB0\\fR
The command did what it says.
.TP
\\fB1\\fR
The command failed, or what it checks is not in order. Standard error has the reason.
.TP
\\fB2\\fR
The command line is wrong.
.SH FILES
.TP
\\fI{config}\\fR
The configuration file. It need not exist. \\fBsensor-daemon check-config\\fR checks it.
.TP
\\fI{DIRECTORY}/{FILE}\\fR
The record of findings, which \\fBfindings\\fR, \\fBexplain\\fR and \\fBoutputs\\fR read.
"
    )
}

/// A page for `command`, and one for each of its subcommands that is not hidden.
fn pages(directory: &Path, command: &clap::Command, name: &str) -> anyhow::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_owned())
        .render(&mut page)?;
    page.extend_from_slice(sections().as_bytes());
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
