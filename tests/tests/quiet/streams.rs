//! Shells whose streams are something else than a connection to a peer.

use std::{fs, os::unix::net::UnixStream, process::Stdio};

use anyhow::{Result, ensure};
use sensor_tests::{deadline::deadline, lab::Lab, peer::Listener, suite::Case, tools};

/// Runs a python program that has to end with a message that contains `uid=`.
fn python(lab: &Lab<'_>, program: &str) -> Result<()> {
    let prelude = "import socket,subprocess,os,sys,pty\n";
    let mut python = lab.command("/usr/bin/python3")?;
    let status = lab.spawn(python.arg("-c").arg(format!("{prelude}{program}")))?.wait()?;
    ensure!(status.success(), "python ended with {status}");
    ensure!(lab.output().contains("uid="), "the shell did not run: {}", lab.output());
    Ok(())
}

const PYTHON: [(&str, &str); 9] = [
    (
        "unix_socket_pair",
        r#"
a,b=socket.socketpair()
p=subprocess.Popen(["sh","-i"],stdin=b,stdout=b,stderr=b); b.close()
a.sendall(b"id\nexit\n"); sys.stdout.write(a.makefile().read()); assert p.wait()==0"#,
    ),
    (
        "unix_socket_datagram_pair",
        r#"
a,b=socket.socketpair(socket.AF_UNIX,socket.SOCK_SEQPACKET)
p=subprocess.Popen(["bash","-c","id"],stdin=b,stdout=b); b.close()
sys.stdout.write(a.recv(4096).decode()); assert p.wait()==0"#,
    ),
    (
        "unix_socket_server",
        r#"
l=socket.socket(socket.AF_UNIX); l.bind("control"); l.listen()
c=socket.socket(socket.AF_UNIX); c.connect("control"); s,_=l.accept()
p=subprocess.Popen(["bash","--norc"],stdin=s,stdout=s,stderr=s); s.close()
c.sendall(b"id\nexit\n"); sys.stdout.write(c.makefile().read()); assert p.wait()==0"#,
    ),
    (
        "unconnected_tcp",
        r#"
s=socket.socket(); sys.stdout.write(subprocess.run(["sh","-c","id; true"],stdin=s,stdout=subprocess.PIPE).stdout.decode())
assert subprocess.run(["sh"],stdin=s).returncode in (0,1,2)"#,
    ),
    (
        "unconnected_udp",
        r#"
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(("127.0.0.1",0)); s.settimeout(0)
p=subprocess.run(["bash","-c","id; true"],stdin=s,stderr=s,stdout=subprocess.PIPE)
sys.stdout.write(p.stdout.decode())"#,
    ),
    (
        "closed_connection",
        r#"
l=socket.create_server(("127.0.0.1",0)); s=socket.create_connection(l.getsockname()); c,_=l.accept()
c.close(); assert s.recv(1)==b""; s.shutdown(socket.SHUT_RDWR)
p=subprocess.run(["sh","-c","id; true"],stdin=s,stdout=subprocess.PIPE); sys.stdout.write(p.stdout.decode())"#,
    ),
    (
        "netlink",
        r#"
s=socket.socket(socket.AF_NETLINK,socket.SOCK_RAW,0); s.setblocking(False)
p=subprocess.run(["sh","-c","id; true"],stdin=s,stdout=subprocess.PIPE); sys.stdout.write(p.stdout.decode())"#,
    ),
    (
        "pipes_of_a_process_with_a_connection",
        r#"
l=socket.create_server(("127.0.0.1",0)); s=socket.create_connection(l.getsockname()); c,_=l.accept()
for command in ("id","df /","uname -a"):
    sys.stdout.write(subprocess.run(command,shell=True,stdout=subprocess.PIPE).stdout.decode())"#,
    ),
    (
        "closed_streams",
        r#"
pid=os.fork()
if pid==0:
    out=os.open("said",os.O_CREAT|os.O_WRONLY,0o600)
    os.closerange(0,3); os.execl("/bin/sh","sh","-c","id >said 2>/dev/null; true")
os.waitpid(pid,0); sys.stdout.write(open("said").read())"#,
    ),
];

const BASH: [(&str, &[&str], &str); 6] = [
    ("pipe_into_sh", &["bash"], "echo 'id; exit' | sh | cat"),
    ("closed_stdin", &["bash"], "sh -c id <&-; bash -c id <&- 2>&-"),
    ("fifo", &["mkfifo"], "mkfifo way; (echo id >way &); sh <way"),
    ("terminal", &["script"], "script -qec 'bash --norc -ic id' /dev/null"),
    (
        "coprocess",
        &["bash"],
        "coproc sh; echo 'id; exit' >&${COPROC[1]}; cat <&${COPROC[0]}",
    ),
    (
        "build",
        &["make", "gcc"],
        r#"for i in 1 2 3 4 5 6 7 8; do echo "int f$i(void){return $i;}" >f$i.c; done
echo 'int main(void){return 0;}' >main.c
printf 'OBJECTS=$(patsubst %%.c,%%.o,$(wildcard *.c))\nprogram: $(OBJECTS)\n\t$(CC) -o $@ $^\n' >Makefile
make -s -j4 program && ./program && id"#,
    ),
];

/// What Node and ssh's server do: a shell over a UNIX socket, while its parent talks to the network.
fn parent_with_connection(lab: &Lab<'_>) -> Result<()> {
    let listener = Listener::tcp(sensor_tests::peer::V4)?;
    let _connection = std::net::TcpStream::connect((sensor_tests::peer::V4, listener.port()?))?;
    let _peer = listener.accept()?;
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(deadline()))?;
    let mut shell = lab.command(tools::find("bash")?)?;
    let output: std::os::fd::OwnedFd = theirs.try_clone()?.into();
    shell
        .args(["-c", "id"])
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::from(output));
    let status = lab.spawn(&mut shell)?.wait()?;
    drop(shell);
    let said = std::io::read_to_string(ours)?;
    ensure!(
        status.success() && said.contains("uid="),
        "the shell did not run: {said}"
    );
    Ok(())
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, program) in PYTHON {
        cases.push(Case::new(format!("streams::{name}"), &["python3"], move |lab| {
            python(lab, program)
        }));
    }
    for (name, tools, script) in BASH {
        cases.push(Case::new(format!("streams::{name}"), tools, move |lab| {
            lab.bash_to_end(script, &[])?;
            ensure!(lab.output().contains("uid="), "the work was not done: {}", lab.output());
            Ok(())
        }));
    }
    cases.push(Case::new(
        "streams::unix_socket_of_a_networked_parent",
        &["bash"],
        parent_with_connection,
    ));
    cases.push(Case::new("streams::file", &["bash"], |lab| {
        fs::write(lab.path("commands"), "id\n")?;
        lab.bash_to_end("sh <commands", &[])?;
        ensure!(lab.output().contains("uid="), "the work was not done: {}", lab.output());
        Ok(())
    }));
    cases
}
