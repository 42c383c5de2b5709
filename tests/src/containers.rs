//! Containers of Podman, and what is in them.

use std::{
    cell::RefCell,
    fs,
    os::unix::fs::{chown, symlink},
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};

use crate::{deadline::wait_for, lab::Lab, tools};

/// What every container here is run with. Limits of its own, since not everybody may raise those that Podman gives by default.
const RUN: &str = "run --detach --pull=never --network=host --log-driver=none --ulimit=nofile=1024:1024 \
    --ulimit=nproc=16384:16384";
/// Who owns no file and no other process.
pub const USER: u32 = 65534;

/// A tree that holds nothing but a busybox, as small images do: as a file `/opt/tools/ash` and as a link `/bin/sh`.
///
/// # Errors
/// If there is no busybox.
pub fn image(lab: &Lab<'_>) -> Result<PathBuf> {
    let root = lab.path("image");
    for dir in ["bin", "opt/tools", "tmp"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::copy(lab.copy("busybox", "busybox")?, root.join("bin/busybox"))?;
    fs::copy(root.join("bin/busybox"), root.join("opt/tools/ash"))?;
    symlink("busybox", root.join("bin/sh"))?;
    Ok(root)
}

/// Where containers and images are kept.
#[derive(Clone, Copy, Debug)]
pub enum Store {
    /// Where root has them.
    Default,
    /// In the case's directory.
    Own,
    /// Where another user has them, who is root inside.
    User,
}

/// Podman with an image of the case's own. Removes what it made.
pub struct Podman<'a> {
    lab: &'a Lab<'a>,
    /// The program and its first arguments.
    command: Vec<String>,
    /// The image's name.
    pub image: String,
    containers: RefCell<Vec<String>>,
}

impl<'a> Podman<'a> {
    /// Makes the image.
    ///
    /// # Errors
    /// If Podman can't.
    pub fn new(lab: &'a Lab<'a>, store: Store) -> Result<Self> {
        let place = |name: &str| lab.path(name).display().to_string();
        let mut command: Vec<String> = Vec::new();
        if matches!(store, Store::User) {
            let home = lab.path("home");
            fs::create_dir(&home)?;
            chown(&home, Some(USER), Some(USER))?;
            command.extend(["setpriv", "--clear-groups"].map(String::from));
            command.extend(["reuid", "regid"].map(|name| format!("--{name}={USER}")));
            command.extend(["env".into(), format!("HOME={}", place("home"))]);
            command.push(format!("XDG_RUNTIME_DIR={}", place("home")));
        }
        // runc, which manages control groups of any version; files, which need no systemd.
        let options = [
            "podman",
            "--runtime=runc",
            "--cgroup-manager=cgroupfs",
            "--events-backend=none",
        ];
        command.extend(options.map(String::from));
        if matches!(store, Store::Own) {
            command.extend([
                format!("--root={}", place("store")),
                format!("--runroot={}", place("run")),
                format!("--tmpdir={}", place("tmp")),
            ]);
        }
        if !matches!(store, Store::Default) {
            command.push("--storage-driver=vfs".into());
        }
        let podman = Self {
            lab,
            command,
            image: format!("localhost/sensor-test-{}:1", std::process::id()),
            containers: RefCell::default(),
        };
        let tree = image(lab)?;
        lab.bash_to_end("tar -C $TREE -cf image.tar .", &[("TREE", &tree.to_string_lossy())])?;
        podman.call(&["import", "image.tar", &podman.image])?;
        Ok(podman)
    }

    /// What it prints.
    ///
    /// # Errors
    /// If it fails.
    pub fn call(&self, arguments: &[&str]) -> Result<String> {
        let said = self.lab.path("said");
        let (program, options) = self.command.split_first().context("no command")?;
        let mut command = self.lab.command(tools::find(program)?)?;
        command.args(options).args(arguments).stdout(fs::File::create(&said)?);
        let mut child = self.lab.spawn(&mut command)?;
        let status = wait_for("the end of podman", || Ok(child.try_wait()?))?;
        ensure!(status.success(), "podman {} ended with {status}", arguments.join(" "));
        Ok(fs::read_to_string(&said)?.trim().to_owned())
    }

    /// Starts a container; gives its id.
    ///
    /// # Errors
    /// If Podman can't.
    pub fn run(&self, name: &str, options: &[&str], program: &[&str]) -> Result<String> {
        let own: Vec<&str> = RUN.split_whitespace().chain(["--name", name]).collect();
        self.containers.borrow_mut().push(name.to_owned());
        self.call(&[&own, options, &[self.image.as_str()], program].concat())
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        let containers = self.containers.borrow();
        let names = containers.iter().map(String::as_str);
        let remove: Vec<&str> = ["rm", "--force", "--time=0"].into_iter().chain(names).collect();
        for arguments in [&remove[..], &["rmi", "--force", &self.image]] {
            if let Err(error) = self.call(arguments) {
                eprintln!("{error:#}");
            }
        }
    }
}
