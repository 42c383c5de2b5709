//! Ends and numbers: each command of a takeover is counted, none twice, and its end is seen.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sensor_tests::{
    finding::Finding,
    lab::{Lab, REVERSE},
    peer::{Listener, V4},
};

use super::{Case, Session, missed_runs};

pub const CASES: &[Case] = &[
    ("counts::commands_of_one_shell", |lab| {
        let mut session = open(lab)?;
        session.run(&repeat(COMMANDS))?;
        exact(&session.exit(lab)?)
    }),
    // At the same time, on as many CPUs as there are.
    ("counts::commands_of_two_shells", |lab| {
        let (mut one, mut two) = (open(lab)?, open(lab)?);
        for session in [&mut one, &mut two] {
            session
                .peer
                .send(format!("{}\necho all-$((6*7))\n", repeat(COMMANDS)))?;
        }
        for mut session in [one, two] {
            session.peer.read_until("all-42")?;
            exact(&session.exit(lab)?)?;
        }
        Ok(())
    }),
    ("counts::end_by_hanging_up", |lab| {
        let Session { peer, finding, .. } = open(lab)?;
        drop(peer);
        lab.ended(&finding)?;
        Ok(())
    }),
    ("counts::end_by_a_signal", |lab| {
        let session = open(lab)?;
        let pid = Pid::from_raw(session.shell.pid.cast_signed()).context("no process id")?;
        kill_process(pid, Signal::KILL)?;
        lab.ended(&session.finding)?;
        Ok(())
    }),
    ("counts::cgroup", cgroup),
];

/// Executed by each shell. Its `id`, which proves that it is one, is not: busybox's shell has that built in.
const COMMANDS: u64 = 150;

fn repeat(times: u64) -> String {
    format!("i=0; while [ $i -lt {times} ]; do /bin/true $i; i=$((i+1)); done")
}

fn open(lab: &Lab<'_>) -> Result<Session> {
    let listener = Listener::tcp(V4)?;
    let address = format!("127.0.0.1:{}", listener.port()?);
    Session::open(lab, &listener, REVERSE, &["tcp", &address, "sss", "/bin/sh"])
}

/// What the finding does not count, it has to admit.
fn exact(last: &Finding) -> Result<()> {
    let count = last.number("commandCount")?;
    let missed = missed_runs(last)?;
    ensure!(
        count <= COMMANDS && COMMANDS - count <= missed,
        "{COMMANDS} commands, and the finding says {count}, and that {missed} were missed"
    );
    Ok(())
}

/// The shell's control group, by the names of its directory and the one above.
fn cgroup(lab: &Lab<'_>) -> Result<()> {
    let dir = "/sys/fs/cgroup/kubepods/pod-of-a-test";
    fs::create_dir_all(dir)?;
    let listener = Listener::tcp(V4)?;
    let script = format!("echo $$ >{dir}/cgroup.procs && exec busybox nc 127.0.0.1 $P -e /bin/sh");
    let mut shell = lab.command("/bin/sh")?;
    shell.args(["-c", &script]).env("P", listener.port()?.to_string());
    lab.spawn(&mut shell)?;
    let session = Session::of(lab, listener.accept()?, REVERSE)?;
    let cgroup = session.finding.property("cgroup").context("no cgroup")?;
    let name = |member: &str| {
        cgroup
            .get(member)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    };
    ensure!(
        (name("parent"), name("leaf")) == ("kubepods", "pod-of-a-test"),
        "the cgroup is {dir}, and the finding says {cgroup}"
    );
    session.exit(lab)?;
    Ok(())
}
