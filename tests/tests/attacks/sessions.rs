//! What happens in a takeover after it began: commands, floods of them, hostile arguments, and its end.

use std::{fs, os::unix::ffi::OsStrExt};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sensor_tests::{
    deadline::wait_for,
    finding::{Finding, Process},
    lab::{Lab, REVERSE},
    peer::{Listener, Peer, V4},
    process::{Proc, wait_end},
    sensor::Line,
    suite::Case,
    tools,
};

/// A shell of which the sensor has reported the takeover.
struct Session {
    peer: Peer,
    shell: Proc,
    finding: Finding,
}

/// Opens one: `command` is what runs with descriptor 5, the connection, on its streams.
fn open(lab: &Lab<'_>, command: &str) -> Result<Session> {
    let listener = Listener::tcp(V4)?;
    let script = format!("exec 5<>/dev/tcp/127.0.0.1/$P; exec {command} <&5 >&5 2>&5");
    lab.bash(&script, &[("P", &listener.port()?.to_string())])?;
    let mut peer = listener.accept()?;
    let shell = peer.shell()?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    let first = finding.processes()?.into_iter().next();
    ensure!(
        first.is_some_and(|first| first.pid == shell.pid),
        "the first process is not {shell:?}: {finding}"
    );
    Ok(Session { peer, shell, finding })
}

impl Session {
    /// Types `commands` and waits until all have been executed.
    fn run(&mut self, commands: &str) -> Result<()> {
        self.peer.send(format!("{commands}\necho all-$((6*7))\n"))?;
        self.peer.read_until("all-42")?;
        Ok(())
    }

    fn exit(&mut self, lab: &Lab<'_>) -> Result<Finding> {
        self.peer.send("exit\n")?;
        lab.ended(&self.finding)
    }
}

fn with_arguments<'a>(processes: &'a [Process], first: &str) -> Option<&'a Process> {
    processes
        .iter()
        .find(|process| process.args.get(1).is_some_and(|argument| argument == first))
}

fn no_losses(finding: &Finding) -> Result<()> {
    let losses = finding
        .property("losses")
        .and_then(serde_json::Value::as_object)
        .context("no losses")?;
    ensure!(
        !losses.is_empty() && losses.values().all(|count| count.as_u64() == Some(0)),
        "losses: {losses:?}"
    );
    Ok(())
}

fn start_up(lab: &Lab<'_>) -> Result<()> {
    fs::write(
        lab.path(".bashrc"),
        "for i in {1..90}; do /bin/true; done\necho $(id | cat) >/dev/null\n",
    )?;
    let mut session = open(lab, "bash -i")?;
    let last = session.exit(lab)?;
    ensure!(last.number("commandCount")? > 90, "commands are missing: {last}");
    no_losses(&last)
}

fn typed(lab: &Lab<'_>) -> Result<()> {
    // The first command is `id`.
    let mut session = open(lab, "bash --norc -i")?;
    for (upto, commands) in [(3, 2..=3), (8, 4..=8)] {
        for number in commands {
            session.run(&format!("/bin/true command-{number}"))?;
        }
        let update = lab.sensor.wait_line("an update of the finding", 0, |line| {
            line.id() == session.finding.id() && line.number("commandCount").is_ok_and(|count| count == upto)
        })?;
        ensure!(!update.has_ended(), "an update says that it is over: {update}");
        let processes = update.processes()?;
        let newest = with_arguments(&processes, &format!("command-{upto}"));
        ensure!(
            newest.is_some_and(|newest| newest.parent == session.shell.pid),
            "the newest is missing: {update}"
        );
    }
    let last = session.exit(lab)?;
    ensure!(
        last.number("commandCount")? == 8,
        "eight commands, and the finding says: {last}"
    );
    no_losses(&last)
}

fn storm(lab: &Lab<'_>) -> Result<()> {
    let storm = lab.programs.c("storm.c", &[])?;
    let mut session = open(lab, "dash")?;
    let cores = std::thread::available_parallelism()?.get();
    let mut beside = Vec::new();
    for _ in 0..cores {
        beside.push(lab.spawn(lab.command(&storm)?.args(["3000", "/bin/true"]))?);
    }
    let storm = storm.display();
    session.run(&format!("for i in 1 2 3 4; do {storm} 1000 /bin/true & done; wait"))?;
    for mut child in beside {
        ensure!(child.wait()?.success(), "a storm beside the attack failed");
    }
    let last = session.exit(lab)?;
    let about = |line: &&Line| line.finding.as_ref().is_ok_and(|finding| finding.id() == last.id());
    let lines = lab.sensor.lines(0, |lines| lines.iter().filter(about).count());
    ensure!(
        lines <= 20,
        "{lines} lines about one takeover: a flood of commands floods the log"
    );
    // `id`, the four storms, and what they ran.
    ensure!(
        last.number("commandCount")? == 1 + 4 + 4 * 1000,
        "4005 commands, and the finding says: {last}"
    );
    no_losses(&last)
}

fn many_storms(lab: &Lab<'_>) -> Result<()> {
    let storm = lab.programs.c("storm.c", &[])?;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(open(lab, "dash")?);
    }
    for session in &mut sessions {
        session
            .peer
            .send(format!("{} 2000 /bin/true\necho all-$((6*7))\n", storm.display()))?;
    }
    for session in &mut sessions {
        session.peer.read_until("all-42")?;
        let last = session.exit(lab)?;
        ensure!(
            last.number("commandCount")? == 2002,
            "2002 commands, and the finding says: {last}"
        );
        no_losses(&last)?;
    }
    Ok(())
}

/// Arguments as bash is given them, and as the finding has to show them.
const HOSTILE: [(&str, &[&str]); 8] = [
    (r"$'\xff\xfe\x80' first", &[r"$'\xff\xfe\x80'", "first"]),
    (
        r"$'\e[2J\e]0;owned\a\r' second",
        &["\u{1b}[2J\u{1b}]0;owned\u{7}\r", "second"],
    ),
    (
        r#"$'line\nbreak' '"quotes\"' '{"finding":{}}' '' third"#,
        &["line\nbreak", r#""quotes\""#, r#"{"finding":{}}"#, "", "third"],
    ),
    (r"$'\u202e\u2028\u0085' fourth", &["\u{202e}\u{2028}\u{85}", "fourth"]),
    (r"$'\x01\x1f\x7f' fifth", &["\u{1}\u{1f}\u{7f}", "fifth"]),
    // What already looks like the form in which bytes are shown.
    (r#""\$'\\xff'" sixth"#, &[r"$'$\'\\xff\''", "sixth"]),
    (r"$'caf\xe9 it\'s\\' seventh", &[r"$'caf\xe9 it\'s\\'", "seventh"]),
    // Not UTF-8, however much it looks like it: a surrogate.
    (r"$'\xed\xa0\x80' eighth", &[r"$'\xed\xa0\x80'", "eighth"]),
];

fn hostile_arguments(lab: &Lab<'_>) -> Result<()> {
    let mut session = open(lab, "bash --norc")?;
    for (typed, _) in HOSTILE {
        session.run(&format!("/bin/true {typed}"))?;
    }
    let last = session.exit(lab)?;
    let processes = last.processes()?;
    for (_, shown) in HOSTILE {
        ensure!(
            processes
                .iter()
                .any(|process| process.args.get(1..).is_some_and(|arguments| arguments == shown)),
            "no process has exactly the arguments {shown:?}: {last}"
        );
    }
    Ok(())
}

fn large_arguments(lab: &Lab<'_>) -> Result<()> {
    let mut session = open(lab, "bash --norc")?;
    // A single argument ends at 128 KiB; eight of them make a megabyte.
    session.run(r#"x=$(printf '%0131000d' 0); /bin/true large "$x" "$x" "$x" "$x" "$x" "$x" "$x" "$x""#)?;
    session.run(r"/bin/true many $(seq 50000)")?;
    session.run(r"/bin/true wide $(printf '\xff%.0s' {1..3000})")?;
    let last = session.exit(lab)?;
    let processes = last.processes()?;
    for (name, next) in [("large", "00000000"), ("many", "1"), ("wide", r"$'\xff\xff")] {
        let process = with_arguments(&processes, name).with_context(|| format!("`{name}` is missing: {last}"))?;
        let beginning = process.args.get(2).map(String::as_str).unwrap_or_default();
        ensure!(beginning.starts_with(next), "`{name}` goes on with {beginning:?}");
        ensure!(
            process.truncated,
            "`{name}` does not say that something is missing: {last}"
        );
    }
    lab.sensor.lines(0, |lines| {
        let longest = lines.iter().map(|line| line.raw.len()).max().unwrap_or_default();
        ensure!(
            longest < 48 * 1024,
            "a line of {longest} bytes: journald would split it"
        );
        Ok(())
    })
}

fn hostile_names(lab: &Lab<'_>) -> Result<()> {
    let name = std::ffi::OsStr::from_bytes(b"tr\xffue\n\x1b[31m");
    fs::copy(tools::find("true")?, lab.dir().join(name))?;
    let mut session = open(lab, r"-a $'\e]0;shell\a\xff' bash --norc")?;
    session.run(r"./$'tr\xffue\n\e[31m' named; (exec -a $'zero\n\xff' /bin/true zero)")?;
    let last = session.exit(lab)?;
    let processes = last.processes()?;
    let shell = processes.first().context("no process")?;
    ensure!(
        shell
            .args
            .first()
            .is_some_and(|own| own == "$'\u{1b}]0;shell\u{7}\\xff'"),
        "the shell's own name: {last}"
    );
    let path = format!("$'{}/tr\\xffue\n\u{1b}[31m'", lab.dir().display());
    let named = with_arguments(&processes, "named");
    ensure!(
        named.is_some_and(|named| named.path == path),
        "no process has the path {path:?}: {last}"
    );
    let zero = with_arguments(&processes, "zero").and_then(|zero| zero.args.first().cloned());
    ensure!(
        zero.is_some_and(|own| own == "$'zero\n\\xff'"),
        "the command's own name: {last}"
    );
    for finding in [&session.finding, &last] {
        let sentence = finding.text("description");
        ensure!(
            !sentence.is_empty() && !sentence.chars().any(char::is_control),
            "the sentence: {sentence:?}"
        );
    }
    Ok(())
}

/// A shell that becomes another one, and starts others, on the same connection.
fn other_shells(lab: &Lab<'_>) -> Result<()> {
    let mut session = open(lab, "sh")?;
    for command in ["bash --norc", "exec busybox sh", "exit", "exec dash"] {
        session.peer.last_line(command)?;
        session.peer.id()?;
    }
    session.exit(lab)?;
    Ok(())
}

/// The usual upgrade to a terminal: what runs on the terminal belongs to the same takeover.
fn terminal(lab: &Lab<'_>) -> Result<()> {
    let mut session = open(lab, "sh")?;
    session
        .peer
        .last_line("/usr/bin/python3 -c 'import pty; pty.spawn([\"/bin/bash\",\"--norc\"])'")?;
    let upgraded = session.peer.shell()?;
    session.peer.last_line("exit")?;
    wait_end(upgraded.parent)?;
    session.peer.id()?;
    session.exit(lab)?;
    Ok(())
}

fn kill(pid: u32) -> Result<()> {
    Ok(kill_process(
        Pid::from_raw(pid.cast_signed()).context("no process id")?,
        Signal::KILL,
    )?)
}

fn killed(lab: &Lab<'_>) -> Result<()> {
    let session = open(lab, "sh")?;
    kill(session.shell.pid)?;
    lab.ended(&session.finding)?;
    Ok(())
}

fn hung_up(lab: &Lab<'_>) -> Result<()> {
    let Session { peer, finding, .. } = open(lab, "bash --norc -i")?;
    drop(peer);
    lab.ended(&finding)?;
    Ok(())
}

/// The shell is gone, a program that it left behind still has the connection: it is not over yet.
fn left_behind(lab: &Lab<'_>) -> Result<()> {
    let mut session = open(lab, "sh")?;
    session.peer.send("setsid sleep infinity <&1 & echo left=$!.\n")?;
    let answer = session.peer.read_until("left=")?;
    let left = answer
        .split("left=")
        .nth(1)
        .and_then(|rest| rest.split('.').next()?.parse().ok());
    let left: u32 = left.context("no process id")?;
    wait_for("the program that is left behind", || {
        Ok(Proc::of(left)?.exe.ends_with("sleep").then_some(()))
    })?;
    session.peer.send("exit\n")?;
    wait_end(session.shell.pid)?;
    lab.sensor.fence()?;
    let over = |line: &Finding| line.id() == session.finding.id() && line.has_ended();
    let early = lab.sensor.lines(0, |lines| {
        lines.iter().filter_map(|line| line.finding.as_ref().ok()).any(over)
    });
    ensure!(!early, "the finding is over while a program holds the connection");
    kill(left)?;
    lab.ended(&session.finding)?;
    Ok(())
}

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("session::start_up_files_of_an_interactive_bash", &["bash"], start_up),
        Case::new("session::typed_commands_grow_the_finding", &["bash"], typed),
        Case::new("session::exec_storm_beside_and_inside", &["gcc", "dash"], storm),
        Case::new("session::storms_in_four_takeovers", &["gcc", "dash"], many_storms),
        Case::new("session::hostile_arguments", &["bash"], hostile_arguments),
        Case::new("session::large_arguments", &["bash", "seq"], large_arguments),
        Case::new("session::hostile_names", &["bash", "true"], hostile_names),
        Case::new(
            "session::other_shells_on_the_same_connection",
            &["busybox", "dash"],
            other_shells,
        ),
        Case::new("session::upgraded_to_a_terminal", &["python3"], terminal),
        Case::new("session::ends_when_the_shell_is_killed", &["bash"], killed),
        Case::new("session::ends_when_the_peer_hangs_up", &["bash"], hung_up),
        Case::new(
            "session::goes_on_while_a_program_holds_the_connection",
            &["setsid"],
            left_behind,
        ),
    ]
}
