//! The executed file's path, as its process sees it.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    lab::{Lab, REVERSE},
    peer::{Listener, V4},
};

use super::{Case, Session, start};

pub const CASES: &[Case] = &[
    ("places::chroot", |lab| {
        let script = "exec chroot $ROOT /bin/busybox nc 127.0.0.1 $P -e /opt/tools/ash";
        contained(lab, script, "/opt/tools/ash")
    }),
    ("places::chroot_through_a_link", |lab| {
        contained(
            lab,
            "exec chroot $ROOT /bin/busybox nc 127.0.0.1 $P -e /bin/sh",
            "/bin/busybox",
        )
    }),
    ("places::mount_namespace_and_chroot", |lab| {
        let script = "exec unshare -m -p -f chroot $ROOT /bin/busybox nc 127.0.0.1 $P -e /opt/tools/ash";
        contained(lab, script, "/opt/tools/ash")
    }),
    // The path crosses a file system that only this namespace has mounted.
    ("places::mounted_file_system", |lab| {
        let script = "exec unshare -m sh -c 'mount -t tmpfs none $ROOT/tmp && mkdir $ROOT/tmp/inner && \
            cp $ROOT/bin/busybox $ROOT/tmp/inner/ash && exec busybox nc 127.0.0.1 $P -e $ROOT/tmp/inner/ash'";
        let path = lab.path("image/tmp/inner/ash");
        contained(lab, script, &path.to_string_lossy())
    }),
    ("places::bind_mount", |lab| {
        let script = "exec unshare -m sh -c 'mount -o bind $ROOT/opt $ROOT/tmp && \
            exec busybox nc 127.0.0.1 $P -e $ROOT/tmp/tools/ash'";
        let path = lab.path("image/tmp/tools/ash");
        contained(lab, script, &path.to_string_lossy())
    }),
    ("places::relative_path_of_a_short_life", short_life),
    ("places::memfd", memfd),
];

/// A tree that holds nothing but a busybox, as small images do: as a file `/opt/tools/ash` and as a link `/bin/sh`.
fn image(lab: &Lab<'_>) -> Result<PathBuf> {
    let root = lab.path("image");
    for dir in ["bin", "opt/tools", "tmp"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    fs::copy("/bin/busybox", root.join("opt/tools/ash"))?;
    symlink("busybox", root.join("bin/sh"))?;
    Ok(root)
}

/// Runs `script` with $ROOT, the [`image`], and demands that the finding has the path that the shell itself sees.
fn contained(lab: &Lab<'_>, script: &str, path: &str) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let root = image(lab)?;
    let mut shell = lab.command("/bin/sh")?;
    shell
        .args(["-c", script])
        .env("P", listener.port()?.to_string())
        .env("ROOT", root);
    lab.spawn(&mut shell)?;
    let mut peer = listener.accept()?;
    peer.id()?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    let processes = finding.processes()?;
    let first = processes.first().context("no process")?;
    ensure!(first.path == path, "the shell's path is not {path} but {}", first.path);
    peer.send("exit\n")?;
    lab.ended(&finding)?;
    Ok(())
}

/// Gone a millisecond after they were started by relative paths: the finding has the absolute ones.
fn short_life(lab: &Lab<'_>) -> Result<()> {
    fs::create_dir(lab.path("sub"))?;
    fs::copy("/bin/busybox", lab.path("sub/true"))?;
    fs::copy("/bin/busybox", lab.path("ash"))?;
    let listener = Listener::tcp(V4)?;
    let address = format!("127.0.0.1:{}", listener.port()?);
    let mut session = Session::open(lab, &listener, REVERSE, &["tcp", &address, "sss", "./ash"])?;
    session.run("cd sub; ./true; ../sub/./true; rm true")?;
    let last = session.exit(lab)?;
    let path = lab.path("sub/true").to_string_lossy().into_owned();
    let found = last
        .processes()?
        .into_iter()
        .filter(|process| process.path == path)
        .count();
    ensure!(found == 2, "{found} of 2 processes have the path {path}: {last}");
    Ok(())
}

fn memfd(lab: &Lab<'_>) -> Result<()> {
    let listener = Listener::tcp(V4)?;
    let address = format!("127.0.0.1:{}", listener.port()?);
    start(lab, &["memfd", &address, "jit-cache", "/bin/busybox", "sh"])?;
    let mut peer = listener.accept()?;
    let shell = peer.shell()?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    let first = finding.processes()?.into_iter().next().context("no process")?;
    ensure!(
        first.pid == shell.pid && first.args == shell.args && first.path.contains("memfd:jit-cache"),
        "the first process is not {shell:?}: {finding}"
    );
    peer.send("exit\n")?;
    lab.ended(&finding)?;
    Ok(())
}
