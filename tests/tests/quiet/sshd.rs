//! Remote access as it is meant to be: a real sshd on loopback, with keys of its own.

use std::{
    fs,
    net::TcpStream,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use sensor_tests::{
    deadline::wait_for,
    lab::Lab,
    peer::{V4, free_port},
    process::command,
    suite::Case,
    tools,
};

const TOOLS: &[&str] = &["sshd", "ssh", "ssh-keygen"];

/// A running sshd that lets this user in.
struct Server {
    port: String,
}

impl Server {
    fn start(lab: &Lab<'_>) -> Result<Self> {
        for key in ["host", "user"] {
            let mut keygen = command(tools::find("ssh-keygen")?);
            let status = keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(lab.path(key))
                .status()?;
            ensure!(status.success(), "ssh-keygen ended with {status}");
        }
        // Where sshd looks for its unprivileged half's root; a package's service manager makes it.
        fs::create_dir_all("/run/sshd")?;
        let port = free_port(V4)?.to_string();
        let dir = lab.dir().display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
             PidFile none\nSubsystem sftp internal-sftp\n"
        );
        fs::write(lab.path("sshd_config"), config)?;
        // sshd executes itself for each connection, so it wants an absolute path.
        lab.spawn(
            lab.command(tools::find("sshd")?)?
                .args(["-D", "-e", "-f"])
                .arg(lab.path("sshd_config")),
        )?;
        wait_for("sshd", || Ok(TcpStream::connect(format!("127.0.0.1:{port}")).ok()))?;
        Ok(Self { port })
    }

    /// ssh's options for this server.
    fn options(&self, lab: &Lab<'_>) -> Vec<String> {
        let dir = lab.dir().display();
        let settings = [
            format!("IdentityFile={dir}/user"),
            format!("UserKnownHostsFile={dir}/known_hosts"),
            format!("Port={}", self.port),
            String::from("StrictHostKeyChecking=accept-new"),
            String::from("BatchMode=yes"),
            String::from("LogLevel=ERROR"),
        ];
        let options = settings.into_iter().flat_map(|setting| [String::from("-o"), setting]);
        [String::from("-F"), String::from("none")]
            .into_iter()
            .chain(options)
            .collect()
    }

    fn ssh(&self, lab: &Lab<'_>, arguments: &[&str]) -> Result<Command> {
        let mut ssh = lab.command(tools::find("ssh")?)?;
        ssh.args(self.options(lab)).args(arguments).stdout(Stdio::piped());
        Ok(ssh)
    }
}

/// Runs `ssh`, and gives what it printed.
fn said(lab: &Lab<'_>, ssh: &mut Command) -> Result<String> {
    let output = lab.spawn(ssh)?.wait_with_output()?;
    ensure!(output.status.success(), "ssh ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn one_command(lab: &Lab<'_>) -> Result<()> {
    let server = Server::start(lab)?;
    let said = said(
        lab,
        &mut server.ssh(lab, &["root@127.0.0.1", "id; hostname | cat; uname -r"])?,
    )?;
    ensure!(said.contains("uid=0"), "the command did not run: {said}");
    Ok(())
}

fn terminal(lab: &Lab<'_>) -> Result<()> {
    let server = Server::start(lab)?;
    fs::write(lab.path("typed"), "id\nls / | head -3\nexit\n")?;
    let mut ssh = server.ssh(lab, &["-tt", "root@127.0.0.1"])?;
    let said = said(lab, ssh.stdin(fs::File::open(lab.path("typed"))?))?;
    ensure!(said.contains("uid=0"), "the session did not run: {said}");
    Ok(())
}

/// A shell that reads its commands from the connection, but through sshd.
fn script_on_stdin(lab: &Lab<'_>) -> Result<()> {
    let server = Server::start(lab)?;
    fs::write(lab.path("script"), "id\nfor i in 1 2 3; do /bin/true; done\n")?;
    let mut ssh = server.ssh(lab, &["root@127.0.0.1", "bash -s"])?;
    let said = said(lab, ssh.stdin(fs::File::open(lab.path("script"))?))?;
    ensure!(said.contains("uid=0"), "the script did not run: {said}");
    Ok(())
}

fn git_over_ssh(lab: &Lab<'_>) -> Result<()> {
    let server = Server::start(lab)?;
    let quoted: Vec<String> = server.options(lab).iter().map(|option| format!("'{option}'")).collect();
    let script = r#"set -e
git init -q origin; cd origin; echo content >file; git add file
git -c user.name=n -c user.email=e commit -qm first; cd ..
git clone -q "ssh://root@127.0.0.1:$P$D/origin" clone; test -s clone/file"#;
    let ssh = format!("ssh {}", quoted.join(" "));
    lab.bash_to_end(
        script,
        &[
            ("P", &server.port),
            ("D", &lab.dir().to_string_lossy()),
            ("GIT_SSH_COMMAND", &ssh),
        ],
    )
}

fn copied_file(lab: &Lab<'_>) -> Result<()> {
    let server = Server::start(lab)?;
    fs::write(lab.path("original"), "content")?;
    let mut scp = lab.command(tools::find("scp")?)?;
    scp.args(server.options(lab))
        .arg("original")
        .arg(format!("root@127.0.0.1:{}/copy", lab.dir().display()));
    let status = lab.spawn(&mut scp)?.wait()?;
    ensure!(status.success(), "scp ended with {status}");
    let copy = fs::read_to_string(lab.path("copy")).context("no copy")?;
    ensure!(copy == "content", "another content: {copy}");
    Ok(())
}

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("sshd::command", TOOLS, one_command),
        Case::new("sshd::terminal", TOOLS, terminal),
        Case::new("sshd::script_on_stdin", TOOLS, script_on_stdin),
        Case::new("sshd::git", &["sshd", "ssh", "ssh-keygen", "git"], git_over_ssh),
        Case::new("sshd::copied_file", &["sshd", "ssh", "ssh-keygen", "scp"], copied_file),
    ]
}
