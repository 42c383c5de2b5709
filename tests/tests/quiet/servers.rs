//! Programs that are started to serve a connection, and what they run: inetd, CGI, FastCGI.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Result, ensure};
use sensor_tests::{
    lab::Lab,
    peer::{V4, call, free_port},
    suite::Case,
};

/// Reads a request and answers with what it runs.
const SCRIPT: &str = "#!/bin/sh
read -r request
echo \"answer to $request\"
date -u +%Y
cat page
id | sed 's/^/ran-/'
";

/// Starts `server` in bash, which serves $P with `SCRIPT` as `./serve`, and holds a conversation with it.
fn serve(lab: &Lab<'_>, server: &str) -> Result<()> {
    fs::write(lab.path("page"), "the page\n")?;
    for (name, text) in [
        ("serve", SCRIPT.to_owned()),
        ("bash-serve", SCRIPT.replace("/bin/sh", "/bin/bash")),
    ] {
        fs::write(lab.path(name), text)?;
        fs::set_permissions(lab.path(name), fs::Permissions::from_mode(0o755))?;
    }
    let port = free_port(V4)?;
    lab.bash(server, &[("H", "127.0.0.1"), ("P", &port.to_string())])?;
    let mut client = call((V4, port).into())?;
    client.send("hello\r\n")?;
    client.finish()?;
    let answer = String::from_utf8_lossy(&client.read_to_end()?).into_owned();
    ensure!(
        answer.contains("the page") && answer.contains("ran-uid="),
        "an odd answer: {answer:?}"
    );
    Ok(())
}

const INETD: [(&str, &[&str], &str); 8] = [
    (
        "socat_script",
        &["socat"],
        "socat TCP-LISTEN:$P,bind=$H,reuseaddr EXEC:./serve,nofork",
    ),
    (
        "socat_bash_script",
        &["socat"],
        "exec socat TCP-LISTEN:$P,bind=$H,reuseaddr,fork EXEC:./bash-serve,nofork",
    ),
    (
        "socat_script_as_argument",
        &["socat"],
        "exec socat TCP-LISTEN:$P,bind=$H,reuseaddr EXEC:'bash serve',nofork",
    ),
    (
        "socat_one_liner",
        &["socat"],
        "socat TCP-LISTEN:$P,bind=$H,reuseaddr SYSTEM:'read -r request; cat page; id | sed s/^/ran-/',nofork",
    ),
    (
        "netcat_script",
        &["nc.traditional"],
        "nc.traditional -l -s $H -p $P -e ./serve",
    ),
    ("busybox_script", &["busybox"], "busybox nc -l -p $P $H -e ./serve"),
    (
        "python_exec",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import socket,os
l=socket.create_server((os.environ["H"],int(os.environ["P"])))
while True:
  s,_=l.accept()
  if os.fork()==0:
    [os.dup2(s.fileno(),fd) for fd in (0,1,2)]; os.execl("./serve","serve","x")
  s.close()'"#,
    ),
    (
        "perl_exec",
        &["perl"],
        r#"perl -MIO::Socket -e '$l=IO::Socket::INET->new(LocalAddr=>$ENV{H},LocalPort=>$ENV{P},Listen=>1,ReuseAddr=>1);
$c=$l->accept; open STDIN,"<&",$c; open STDOUT,">&",$c; exec "./bash-serve"'"#,
    ),
];

/// A server that keeps the connection for itself and answers with what a command printed.
fn popen(lab: &Lab<'_>) -> Result<()> {
    serve(
        lab,
        r#"exec /usr/bin/python3 -c 'import socket,os,subprocess
l=socket.create_server((os.environ["H"],int(os.environ["P"]))); s,_=l.accept(); f=s.makefile("rw"); f.readline()
f.write(subprocess.run("cat page; id | sed \"s/^/ran-/\"",shell=True,stdout=subprocess.PIPE,text=True).stdout)
f.flush()'"#,
    )
}

fn cgi(lab: &Lab<'_>) -> Result<()> {
    fs::create_dir(lab.path("cgi-bin"))?;
    let script = "#!/bin/sh\necho 'Content-Type: text/plain'\necho\nid | sed 's/^/ran-/'\n";
    fs::write(lab.path("cgi-bin/id"), script)?;
    fs::set_permissions(lab.path("cgi-bin/id"), fs::Permissions::from_mode(0o755))?;
    let port = free_port(V4)?;
    lab.bash(
        "exec /usr/bin/python3 -m http.server --cgi --bind 127.0.0.1 $P",
        &[("P", &port.to_string())],
    )?;
    let mut client = call((V4, port).into())?;
    client.send("GET /cgi-bin/id HTTP/1.0\r\n\r\n")?;
    let answer = String::from_utf8_lossy(&client.read_to_end()?).into_owned();
    ensure!(answer.contains("ran-uid="), "an odd answer: {answer:?}");
    Ok(())
}

/// FastCGI hands over a LISTENING socket as standard input; a shell script may well start the program.
fn listening_stdin(lab: &Lab<'_>, program: &str) -> Result<()> {
    let server = r#"exec /usr/bin/python3 -c 'import socket,os,sys
l=socket.create_server((os.environ["H"],int(os.environ["P"]))); os.dup2(l.fileno(),0)
os.execvp(sys.argv[1],sys.argv[1:])' "#;
    let worker = r#"/usr/bin/python3 -c 'import socket,subprocess
s,_=socket.socket(fileno=0).accept(); s.makefile().readline()
s.sendall(subprocess.run("cat page; id | sed \"s/^/ran-/\"",shell=True,stdout=subprocess.PIPE).stdout)'"#;
    fs::write(lab.path("worker"), format!("#!/bin/sh\n/bin/true\nexec {worker}\n"))?;
    fs::set_permissions(lab.path("worker"), fs::Permissions::from_mode(0o755))?;
    serve(lab, &format!("{server}{program}"))
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, server) in INETD {
        cases.push(Case::new(format!("inetd::{name}"), tools, move |lab| {
            serve(lab, server)
        }));
    }
    cases.push(Case::new("server::runs_a_command", &["python3"], popen));
    cases.push(Case::new("server::cgi_script", &["python3"], cgi));
    cases.push(Case::new("fastcgi::program", &["python3"], |lab| {
        listening_stdin(lab, "./worker")
    }));
    cases.push(Case::new("fastcgi::started_by_sh", &["python3"], |lab| {
        listening_stdin(lab, "sh -c './worker; true'")
    }));
    cases.push(Case::new("fastcgi::started_by_bash", &["python3"], |lab| {
        listening_stdin(lab, "bash -c 'ls >/dev/null; exec ./worker'")
    }));
    cases
}
