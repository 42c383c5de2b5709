//! Networks of the tests' own: what is not loopback, without leaving the machine or touching its network.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{deadline::wait_for, lab::Lab, peer::Listener, process::command, tools};

/// The peer's address in a [`Network`]: reserved for documentation, so it can't be anybody's.
pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// Two network namespaces joined by a cable. They vanish with the case's processes.
pub struct Network {
    peer: u32,
    host: u32,
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// If namespaces can't be made here.
    pub fn new(lab: &Lab<'_>) -> Result<Self> {
        let network = Self {
            peer: namespace(lab)?,
            host: namespace(lab)?,
        };
        let (peer, host) = (network.peer.to_string(), network.host.to_string());
        ip(
            &format!("link add name cable netns {peer} type veth peer name cable netns {host}"),
            None,
        )?;
        for (holder, address) in [(&peer, "198.51.100.1/24"), (&host, "198.51.100.2/24")] {
            ip(&format!("address add {address} dev cable"), Some(holder))?;
            ip("link set cable up", Some(holder))?;
        }
        Ok(network)
    }

    /// A listener at [`PEER`].
    ///
    /// # Errors
    /// If the namespace is gone.
    pub fn listener(&self) -> Result<Listener> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.peer))?;
        // A thread of its own: the others stay where they are.
        let listener = thread::spawn(move || -> Result<Listener> {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Listener::tcp(PEER)
        });
        listener
            .join()
            .map_err(|_| anyhow!("listening in a namespace panicked"))?
    }

    /// A command that runs `program` at the other end of the cable.
    ///
    /// # Errors
    /// If nsenter is missing.
    pub fn command(&self, lab: &Lab<'_>, program: &str) -> Result<Command> {
        let mut command = lab.command(tools::find("nsenter")?)?;
        command.args(["--target", &self.host.to_string(), "--net", program]);
        Ok(command)
    }
}

/// Starts a process that holds a new network namespace.
fn namespace(lab: &Lab<'_>) -> Result<u32> {
    let mut unshare = lab.command(tools::find("unshare")?)?;
    let holder = lab.spawn(unshare.args(["--net", "sleep", "infinity"]))?.id();
    let ours = fs::read_link("/proc/self/ns/net")?;
    wait_for("a new network namespace", || {
        let theirs = fs::read_link(format!("/proc/{holder}/ns/net")).context("its holder is gone")?;
        Ok((theirs != ours).then_some(()))
    })?;
    Ok(holder)
}

/// Runs `ip`, in the network namespace of process `holder` if there is one.
fn ip(arguments: &str, holder: Option<&str>) -> Result<()> {
    let ip = tools::find("ip")?;
    let mut run = match holder {
        Some(holder) => {
            let mut nsenter = command(tools::find("nsenter")?);
            nsenter.args(["--target", holder, "--net"]).arg(ip);
            nsenter
        }
        None => command(ip),
    };
    let output = run.args(arguments.split(' ')).stderr(Stdio::piped()).output()?;
    ensure!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
