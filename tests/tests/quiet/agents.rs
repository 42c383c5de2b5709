//! Agents and monitors: programs that hold a connection and run commands beside it.

use sensor_tests::suite::Case;

use crate::script::{self, Program, Script};

const WEB: Program = ("web.py", include_str!("programs/web.py"));
const COLLECT: Program = ("collect.py", include_str!("programs/collect.py"));
const AGENT: &[Program] = &[WEB, ("agent.py", include_str!("programs/agent.py"))];
const AGENT_JS: &[Program] = &[WEB, ("agent.js", include_str!("programs/agent.js"))];
const PERIODIC: &[Program] = &[WEB, ("periodic.py", include_str!("programs/periodic.py"))];
const PERIODIC_JS: &[Program] = &[WEB, ("periodic.js", include_str!("programs/periodic.js"))];
const MONITOR: &[Program] = &[COLLECT, ("monitor.py", include_str!("programs/monitor.py"))];
const REDIS: &[Program] = &[("redis.py", include_str!("programs/redis.py"))];

/// A certificate, and a TLS server that has it.
macro_rules! tls {
    ($script:literal) => {
        concat!(
            "certificate service; python3 web.py $H 8443 tls 2>log & up 8443\n",
            $script,
            "\ngrep -q uid= results; grep -q Linux results"
        )
    };
}

/// A web server without TLS.
macro_rules! plain {
    ($script:literal) => {
        concat!(
            "python3 web.py $H 8080 2>log & up 8080\n",
            $script,
            "\ngrep -q uid= results; grep -q Linux results"
        )
    };
}

macro_rules! collector {
    ($script:literal) => {
        concat!(
            "python3 collect.py $H 2003 & up 2003\n",
            $script,
            "\nuntil_said uid= collected"
        )
    };
}

const SCRIPTS: &[Script] = &[
    (
        "python_shell_beside_https",
        &["python3", "openssl"],
        AGENT,
        tls!("python3 agent.py https://$H:8443 connection pipes"),
    ),
    (
        "python_shell_before_https",
        &["python3", "openssl"],
        AGENT,
        tls!("python3 agent.py https://$H:8443 shell pipes"),
    ),
    (
        "python_terminal_beside_https",
        &["python3", "openssl"],
        AGENT,
        tls!("python3 agent.py https://$H:8443 connection terminal"),
    ),
    (
        "node_shell_beside_https",
        &["python3", "openssl", "node"],
        AGENT_JS,
        tls!("node agent.js $H 8443 connection"),
    ),
    (
        "node_shell_before_https",
        &["python3", "openssl", "node"],
        AGENT_JS,
        tls!("node agent.js $H 8443 shell"),
    ),
    (
        "own_commands_beside_https",
        &["python3", "openssl"],
        PERIODIC,
        tls!("python3 periodic.py https://$H:8443 system"),
    ),
    (
        "own_commands_in_a_shell_beside_http",
        &["python3"],
        PERIODIC,
        plain!("python3 periodic.py http://$H:8080 bash"),
    ),
    (
        "own_commands_beside_http",
        &["python3"],
        PERIODIC,
        plain!("for way in run system; do python3 periodic.py http://$H:8080 $way; done"),
    ),
    (
        "node_own_commands_beside_http",
        &["python3", "node"],
        PERIODIC_JS,
        plain!("node periodic.js $H 8080"),
    ),
    (
        "python_monitor",
        &["python3"],
        MONITOR,
        collector!("python3 monitor.py $H 2003; python3 monitor.py $H 2003 shell"),
    ),
    (
        "bash_monitor_on_one_connection",
        &["python3"],
        MONITOR,
        collector!(
            r#"exec 3>/dev/tcp/$H/2003
for round in 1 2 3; do
  echo "load $(cut -d' ' -f1 /proc/loadavg)" >&3
  echo "owner $(id)" >&3
  echo "space $(df / | tail -1)" >&3
done"#
        ),
    ),
    (
        "bash_monitor_that_waits_for_answers",
        &["python3"],
        MONITOR,
        collector!(
            r#"exec 3<>/dev/tcp/$H/2003
for round in 1 2 3; do
  for command in uptime id 'df /'; do
    echo "${command%% *} $($command | tail -1)" >&3
    read -r answer <&3; test "$answer" = ok
  done
done"#
        ),
    ),
    (
        "bash_monitor_over_http",
        &["python3"],
        &[WEB],
        plain!(
            r#"for command in uptime id 'uname -a'; do
  said=$($command)
  exec 3<>/dev/tcp/$H/8080
  printf 'POST /metrics HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n' $H >&3
  printf 'Content-Length: %s\r\n\r\n%s' ${#said} "$said" >&3
  read -r _ status _ <&3; test $status = 200
  exec 3>&-
done"#
        ),
    ),
    (
        "curl_monitor",
        &["python3", "curl"],
        &[WEB],
        plain!(
            "for command in uptime id 'uname -a'; do $command | curl -sf --data-binary @- http://$H:8080/metrics; done"
        ),
    ),
    (
        "redis_worker",
        &["python3", "redis-check-rdb", "redis-cli"],
        REDIS,
        // The server is the same file under another name; the package with its own name would start a service.
        r#"ln -s "$(command -v redis-check-rdb)" redis-server
./redis-server --bind $H --port 6379 --save '' --protected-mode no >log & up 6379
python3 redis.py $H 6379
for round in 1 2 3; do id | redis-cli -h $H -x set owner; done
redis-cli -h $H get owner | grep uid="#,
    ),
];

/// All cases of this family.
pub fn cases() -> Vec<Case> {
    script::cases("agent", SCRIPTS)
}
