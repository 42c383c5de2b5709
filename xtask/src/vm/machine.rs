//! One virtual machine, from start to end: QEMU's command line, the lines that the program inside writes, and patience.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

pub(super) const QEMU: &str = "qemu-system-x86_64";

/// A machine that says nothing for so long hangs. A check that waits in vain gives up long before.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// A machine that takes longer hangs in one check after the other.
const TIME_MAX: Duration = Duration::from_secs(300);
/// What a machine takes to start under KVM, many times over.
const KVM_PATIENCE: Duration = Duration::from_secs(10);
/// Seconds for which a check inside waits for anything (the harness of the end-to-end tests reads it).
const DEADLINE: u32 = 40;
/// Lines of the console that are worth repeating.
const CONSOLE_LINES: usize = 40;

/// What executes the machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU, ten times slower.
    Emulation,
}

/// What to run.
pub(super) struct Plan<'a> {
    pub(super) kernel: &'a Path,
    pub(super) archive: &'a Path,
    pub(super) accelerator: Accelerator,
    pub(super) cpus: u32,
    /// Further words of the kernel's command line.
    pub(super) words: &'a str,
    /// What the program inside is to check.
    pub(super) checks: &'a str,
}

/// A line from inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The release of the kernel that runs.
    Kernel(String),
    /// A check that passed.
    Passed { name: String },
    /// One that did not, and why.
    Failed { name: String, why: String },
    /// Something that people may want to know.
    Note(String),
    /// That was all.
    End { passed: u64, failed: u64 },
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.trim().split_once(' ')?;
        let (name, detail) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(match word {
            "kernel" => Self::Kernel(rest.to_owned()),
            "note" => Self::Note(rest.to_owned()),
            "ok" => Self::Passed { name: name.to_owned() },
            "failed" => Self::Failed {
                name: name.to_owned(),
                why: detail.to_owned(),
            },
            "end" => Self::End {
                passed: name.parse().ok()?,
                failed: detail.parse().ok()?,
            },
            _ => return None,
        })
    }
}

/// Whether KVM runs machines here. A device that is there proves nothing: where machines are nested it may run none.
pub(super) fn accelerator(kernel: &Path, archive: &Path, dir: &Path) -> Accelerator {
    let device = "/dev/kvm";
    if OpenOptions::new().read(true).write(true).open(device).is_err() {
        eprintln!("{device} can't be used: machines are emulated, which is slower");
        return Accelerator::Emulation;
    }
    let plan = Plan {
        kernel,
        archive,
        accelerator: Accelerator::Kvm,
        cpus: 1,
        words: "",
        checks: "none",
    };
    let mut started = false;
    let result = run(&plan, dir, KVM_PATIENCE, |line| {
        started |= matches!(line, Line::Kernel(_))
    });
    if started && result.is_ok() {
        return Accelerator::Kvm;
    }
    eprintln!("{device} is there and starts no machine: they are emulated, which is slower");
    Accelerator::Emulation
}

/// Runs a machine to its end, handing on what it says.
///
/// # Errors
/// It could not be started, ended early or hung; its console is part of the message.
pub(super) fn watch(plan: &Plan<'_>, dir: &Path, each: impl FnMut(&Line)) -> Result<()> {
    let result = run(plan, dir, SILENCE_MAX, each);
    result.map_err(|error| anyhow!("{error:#}; its console ended with:\n{}", console(dir).trim_end()))
}

fn run(plan: &Plan<'_>, dir: &Path, patience: Duration, mut each: impl FnMut(&Line)) -> Result<()> {
    let mut machine = start(plan, dir)?;
    let output = machine.0.stdout.take().context("QEMU has no stdout")?;
    let (sender, lines) = mpsc::channel();
    // Ends with the machine, which ends with this function at the latest.
    thread::spawn(move || {
        for text in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&text).into_owned()).is_err() {
                return;
            }
        }
    });
    let end = Instant::now() + TIME_MAX;
    let mut last = "nothing".to_owned();
    let mut complete = false;
    loop {
        let left = end.saturating_duration_since(Instant::now()).min(patience);
        match lines.recv_timeout(left) {
            Ok(text) => {
                if let Some(line) = Line::parse(&text) {
                    each(&line);
                    complete |= matches!(line, Line::End { .. });
                }
                text.trim().clone_into(&mut last);
            }
            Err(RecvTimeoutError::Timeout) if complete => bail!("the machine does not switch off"),
            Err(RecvTimeoutError::Timeout) => bail!("the machine hangs; the last that it said: {last}"),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = machine.0.wait().context("waiting for QEMU")?;
    if !complete {
        bail!("the machine ended early (QEMU: {status}); the last that it said: {last}");
    }
    Ok(())
}

/// A running QEMU; it does not outlive this.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(plan: &Plan<'_>, dir: &Path) -> Result<Machine> {
    let (accelerator, processor) = match plan.accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Emulation => ("tcg", "max"),
    };
    let command_line = format!(
        "console=ttyS0 quiet panic=-1 SENSOR_DAEMON=/bin/sensor-daemon SENSOR_TEST_DEADLINE={DEADLINE} checks={} cpus={} {}",
        plan.checks, plan.cpus, plan.words
    );
    let console = File::create(console_path(dir)).context("the console's file can't be written")?;
    // QEMU reads a single comma as the next option.
    let console_option = console_path(dir).display().to_string().replace(',', ",,");
    let mut qemu = Command::new(QEMU);
    qemu.args(["-accel", accelerator, "-cpu", processor, "-M", "q35", "-m", "512"])
        .args(["-smp", &plan.cpus.to_string()])
        .args(["-display", "none", "-nodefaults", "-no-reboot"])
        // The console is for people. What the program inside has to say is the second line, which nothing else writes to.
        .args(["-chardev", &format!("file,id=console,append=on,path={console_option}")])
        .args(["-serial", "chardev:console", "-serial", "stdio"])
        .arg("-kernel")
        .arg(plan.kernel)
        .arg("-initrd")
        .arg(plan.archive)
        .args(["-append", &command_line])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(console);
    Ok(Machine(
        qemu.spawn().with_context(|| format!("`{QEMU}` can't be started"))?,
    ))
}

fn console_path(dir: &Path) -> PathBuf {
    dir.join("console")
}

/// The last lines of the console of the machine that ran last.
pub(super) fn console(dir: &Path) -> String {
    let text = fs::read(console_path(dir)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let shown = lines
        .get(lines.len().saturating_sub(CONSOLE_LINES)..)
        .unwrap_or_default();
    // What a machine says may hold escapes of a terminal.
    let clean = |line: &&str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    shown.iter().map(|line| format!("    | {}\n", clean(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = |text| Line::parse(text);
        assert_eq!(
            line("kernel 6.1.0-50-cloud-amd64\r"),
            Some(Line::Kernel("6.1.0-50-cloud-amd64".into()))
        );
        assert_eq!(line("ok a::b 0.1"), Some(Line::Passed { name: "a::b".into() }));
        let why = "two words".to_owned();
        assert_eq!(
            line("failed a::b two words"),
            Some(Line::Failed {
                name: "a::b".into(),
                why
            })
        );
        assert_eq!(line("end 12 3\r\n"), Some(Line::End { passed: 12, failed: 3 }));
        for nonsense in ["", "end", "end x 3", "[    0.1] a kernel's message", "ok"] {
            assert_eq!(line(nonsense), None, "{nonsense}");
        }
    }
}
