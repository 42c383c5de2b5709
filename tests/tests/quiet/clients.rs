//! Programs that use the network, shells among them, without being driven by it.

use std::fs;

use anyhow::{Result, anyhow, ensure};
use sensor_tests::{
    lab::Lab,
    peer::{Listener, V4, free_port},
    suite::Case,
};

use crate::http;

/// Has bash fetch a page from $P with `script`, which has to print it.
fn fetch(lab: &Lab<'_>, script: &str) -> Result<()> {
    let (port, server) = http::serve("a page of text\n")?;
    lab.bash_to_end(script, &[("P", &port.to_string())])?;
    let request = server.join().map_err(|_| anyhow!("the server panicked"))??;
    ensure!(request.starts_with("GET /"), "an odd request: {request}");
    ensure!(
        lab.output().contains("a page of text"),
        "the page did not arrive: {}",
        lab.output()
    );
    Ok(())
}

const FETCH: [(&str, &[&str], &str); 5] = [
    (
        "bash_http_client",
        &["bash"],
        r#"exec 3<>/dev/tcp/127.0.0.1/$P; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3"#,
    ),
    (
        "bash_http_client_line_by_line",
        &["bash"],
        r#"exec 3<>/dev/tcp/127.0.0.1/$P; printf 'GET / HTTP/1.0\r\n\r\n' >&3
while read -r line; do /bin/echo "$line"; done <&3"#,
    ),
    ("curl", &["curl"], "curl -s http://127.0.0.1:$P/"),
    (
        "curl_in_a_pipeline",
        &["curl"],
        "curl -s http://127.0.0.1:$P/ | tee page | sort; test -s page",
    ),
    (
        "python_http_client",
        &["python3"],
        r#"/usr/bin/python3 -c 'import urllib.request,os,subprocess
page=urllib.request.urlopen("http://127.0.0.1:%s/" % os.environ["P"]).read()
subprocess.run(["cat"],input=page,check=True)'"#,
    ),
];

fn port_probe(lab: &Lab<'_>) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let script = "timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/$P' && timeout 20 bash -c '</dev/tcp/127.0.0.1/$P'";
    lab.bash_to_end(script, &[("P", &listener.port()?.to_string())])?;
    for _ in 0..2 {
        listener.accept()?;
    }
    // Nobody there.
    let script = "! timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/$P'";
    lab.bash_to_end(script, &[("P", &free_port(V4)?.to_string())])
}

/// Sends what commands print, but takes no orders: the peer never says a word.
fn upload(lab: &Lab<'_>) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let script = "exec 3>/dev/tcp/127.0.0.1/$P; date >&3; tar -c output >&3; id >&3";
    lab.bash_to_end(script, &[("P", &listener.port()?.to_string())])?;
    let said = listener.accept()?.read_to_end()?;
    ensure!(said.windows(4).any(|window| window == b"uid="), "nothing was sent");
    Ok(())
}

/// On loopback, programs talk to each other all day: only shells count there.
fn command_on_loopback(lab: &Lab<'_>) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let script = "exec 3<>/dev/tcp/127.0.0.1/$P; id <&3 >&3 2>&3; cat <&3 >copy";
    let mut bash = lab.bash(script, &[("P", &listener.port()?.to_string())])?;
    let mut peer = listener.accept()?;
    peer.read_until("uid=")?;
    peer.send("content\n")?;
    drop(peer);
    ensure!(bash.wait()?.success(), "the client failed");
    ensure!(fs::read_to_string(lab.path("copy"))? == "content\n", "the copy differs");
    Ok(())
}

/// Copies a file through $P.
fn transfer(lab: &Lab<'_>, script: &str) -> Result<()> {
    fs::write(lab.path("original"), "content\n".repeat(10_000))?;
    lab.bash_to_end(script, &[("P", &free_port(V4)?.to_string())])?;
    ensure!(
        fs::read(lab.path("original"))? == fs::read(lab.path("copy"))?,
        "the copy differs"
    );
    Ok(())
}

const TRANSFERS: [(&str, &[&str], &str); 4] = [
    (
        "netcat_transfer",
        &["nc.traditional"],
        "nc.traditional -l -s 127.0.0.1 -p $P >copy & until nc.traditional -q 0 127.0.0.1 $P <original; do :; done; wait",
    ),
    (
        "ncat_transfer",
        &["ncat"],
        "ncat -l 127.0.0.1 $P --recv-only >copy & until ncat --send-only 127.0.0.1 $P <original; do :; done; wait",
    ),
    (
        "tar_through_netcat",
        &["nc.traditional", "tar"],
        "mkdir to; nc.traditional -l -s 127.0.0.1 -p $P | tar -x -C to & tar -c original >archive
until nc.traditional -q 0 127.0.0.1 $P <archive; do :; done; wait; mv to/original copy",
    ),
    (
        "socat_transfer",
        &["socat"],
        "socat -u TCP-LISTEN:$P,bind=127.0.0.1,reuseaddr OPEN:copy,create & \
until socat -u FILE:original TCP:127.0.0.1:$P; do :; done; wait",
    ),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, script) in FETCH {
        cases.push(Case::new(format!("client::{name}"), tools, move |lab| {
            fetch(lab, script)
        }));
    }
    for (name, tools, script) in TRANSFERS {
        cases.push(Case::new(format!("client::{name}"), tools, move |lab| {
            transfer(lab, script)
        }));
    }
    cases.push(Case::new("client::port_probe", &["bash"], port_probe));
    cases.push(Case::new("client::command_on_loopback", &["bash"], command_on_loopback));
    cases.push(Case::new("client::upload", &["bash", "tar"], upload));
    cases
}
