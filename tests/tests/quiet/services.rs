//! Services that run commands: started for each connection, or for each request of a web client.

use sensor_tests::suite::Case;

use crate::script::{self, Program, Script};

const SERVE: &[Program] = &[
    ("serve", include_str!("programs/serve.sh")),
    ("ask.py", include_str!("programs/ask.py")),
];
const WORKER: &[Program] = &[
    ("worker.py", include_str!("programs/worker.py")),
    ("ask.py", include_str!("programs/ask.py")),
];
const PHP: &[Program] = &[
    ("server.php", include_str!("programs/server.php")),
    ("fastcgi.py", include_str!("programs/fastcgi.py")),
];

/// Starts `$server`, which serves $H:7000, and talks to it.
macro_rules! served {
    ($server:literal) => {
        concat!($server, " & up 7000; python3 ask.py $H 7000")
    };
}

/// Starts a web server at $H:8080 and asks it many times, over one connection and over many.
macro_rules! asked {
    ($server:literal) => {
        concat!(
            $server,
            r#" 2>log & up 8080
curl -sSf "http://$H:8080/?[1-20]" >said; test $(grep -c uid= said) = 20; test $(grep -c Linux said) = 20
for round in 1 2 3 4 5; do curl -sSf http://$H:8080/ | grep uid=; done
seq 50000 >sent; curl -sSf --data-binary @sent http://$H:8080/ | gzip -d | cmp - sent"#
        )
    };
}

const SCRIPTS: &[Script] = &[
    (
        "systemd_inetd",
        &["systemd-socket-activate", "python3"],
        SERVE,
        served!("systemd-socket-activate -l $H:7000 --accept --inetd ./serve"),
    ),
    (
        "systemd_connection",
        &["systemd-socket-activate", "python3"],
        WORKER,
        served!("systemd-socket-activate -l $H:7000 --accept python3 worker.py"),
    ),
    (
        "systemd_listener",
        &["systemd-socket-activate", "python3"],
        WORKER,
        served!("systemd-socket-activate -l $H:7000 python3 worker.py listening"),
    ),
    (
        "tcpserver",
        &["tcpserver", "python3"],
        SERVE,
        served!(
            r#"tcpserver -q $H 7001 sh -c 'read -r request; echo "$request"; uname -a; exec id' &
up 7001; python3 ask.py $H 7001
tcpserver -q $H 7000 ./serve"#
        ),
    ),
    (
        "socat",
        &["socat", "python3"],
        SERVE,
        r#"for way in EXEC:./serve 'EXEC:bash serve,pipes' 'SYSTEM:read -r request; echo $request; uname -a; id'; do
  socat TCP-LISTEN:7000,bind=$H,reuseaddr,fork "$way" & server=$!
  up 7000; python3 ask.py $H 7000; kill $server; wait $server || true
done"#,
    ),
    (
        "ncat",
        &["ncat", "python3"],
        SERVE,
        r#"ncat -lk $H 7000 -e ./serve & up 7000; python3 ask.py $H 7000 open
ncat -lk $H 7001 -c 'read -r request; echo "$request"; uname -a; id' & up 7001; python3 ask.py $H 7001 open"#,
    ),
    (
        "dispatcher",
        &["ncat", "nc.traditional"],
        &[],
        // The peer chooses among what is offered.
        r#"ncat -lk $H 7000 --recv-only | while read -r word; do
  case $word in who) id >who;; where) uname -a >where;; *) echo "$word" >>refused;; esac
done & up 7000
for word in who where 'rm -r /'; do echo "$word" | nc.traditional -q 0 $H 7000; done
until_said uid= who; until_said Linux where; until_said rm refused"#,
    ),
    (
        "netcat_with_fifo",
        &["nc.traditional", "mkfifo", "python3"],
        SERVE,
        // Somebody's web server: a program that serves, between two ends of a netcat.
        r#"mkfifo way
(for round in 1 2 3; do nc.traditional -l -s $H -p 7000 -q 0 <way | ./serve >way; done) &
for round in 1 2 3; do
  until python3 ask.py $H 7000 open once 2>refused; do grep -q ConnectionRefused refused; done
done"#,
    ),
    (
        "busybox_cgi",
        &["busybox", "curl"],
        SERVE,
        r#"mkdir -p www/cgi-bin
cgi() { printf '%s\n' '#!/bin/sh' 'echo Content-Type: text/plain; echo' "$2" >www/cgi-bin/$1; chmod +x www/cgi-bin/$1; }
cgi run 'id; uname -a'; cgi sum 'cat | sha256sum'
busybox httpd -f -p $H:8080 -h www & up 8080
curl -sSf "http://$H:8080/cgi-bin/run?[1-5]" >said; test $(grep -c uid= said) = 5
curl -sSf -d some-text http://$H:8080/cgi-bin/sum | grep $(printf some-text | sha256sum | cut -d' ' -f1)"#,
    ),
    (
        "php_fastcgi",
        &["php-cgi", "python3"],
        PHP,
        "PHP_FCGI_CHILDREN=2 php-cgi -b $H:7000 & up 7000; python3 fastcgi.py $H 7000 $PWD/server.php",
    ),
    (
        "php_web_server",
        &["php", "curl"],
        PHP,
        asked!("php -q -S $H:8080 server.php"),
    ),
    (
        "python_web_server",
        &["python3", "curl"],
        &[("server.py", include_str!("programs/server.py"))],
        asked!("python3 server.py $H 8080"),
    ),
    (
        "node_web_server",
        &["node", "curl"],
        &[("server.js", include_str!("programs/server.js"))],
        asked!("node server.js $H 8080"),
    ),
];

/// All cases of this family.
pub fn cases() -> Vec<Case> {
    script::cases("service", SCRIPTS)
}
