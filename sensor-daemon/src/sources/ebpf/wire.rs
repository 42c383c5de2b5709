//! Samples of what watched connections deliver. The program that takes them is attached while a connection is watched.

use std::{fs::File, io, os::fd::OwnedFd};

use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError},
    programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError, cgroup_skb::CgroupSkbLinkId},
};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use sensor_common::wire::{FlowKey, PACKETS, Sample};
use zerocopy::FromBytes as _;

use super::specs::WIRE;
use crate::model::{BootTime, Flow};

const _: () = assert!(size_of::<FlowKey>() == 20);

/// Where the unified hierarchy of control groups is mounted, as a rule: beside those of version 1, or alone.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

pub(super) struct Wire {
    loaded: bool,
    samples: HashMap<MapData, [u8; 20], [u8; size_of::<Sample>()]>,
    watched: Vec<Flow>,
    link: Option<CgroupSkbLinkId>,
}

/// Why a connection can't be watched.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No program that could.
    #[error("the program that samples connections is not attached: {0}")]
    Program(#[from] ProgramError),
    /// No room.
    #[error("the table of watched connections does not take another: {0}")]
    Table(#[from] MapError),
    /// No hierarchy to attach to.
    #[error("the unified control group hierarchy is neither at {} nor can it be mounted: {source}", ROOTS.join(" or "))]
    NoRoot {
        /// Why not.
        source: std::io::Error,
    },
}

impl Wire {
    pub(super) fn new(loaded: bool, samples: HashMap<MapData, [u8; 20], [u8; size_of::<Sample>()]>) -> Self {
        Self {
            loaded,
            samples,
            watched: Vec::new(),
            link: None,
        }
    }

    /// Begins to sample a flow; the program is attached with the first.
    ///
    /// # Errors
    /// The kernel lets nobody sample, or there is no room.
    pub(super) fn watch(&mut self, ebpf: &mut Ebpf, flow: Flow) -> Result<(), WireError> {
        if self.watched.contains(&flow) {
            return Ok(());
        }
        self.attach(ebpf)?;
        self.samples.insert(key(flow), [0; size_of::<Sample>()], 0)?;
        self.watched.push(flow);
        Ok(())
    }

    /// Stops sampling a flow; the program is detached with the last.
    pub(super) fn unwatch(&mut self, ebpf: &mut Ebpf, flow: Flow) {
        let before = self.watched.len();
        self.watched.retain(|watched| *watched != flow);
        if self.watched.len() == before {
            return;
        }
        // An error means that the entry is gone already.
        let _ = self.samples.remove(&key(flow));
        if self.watched.is_empty()
            && let Some(link) = self.link.take()
            && let Ok(program) = self.program(ebpf)
        {
            let _ = program.detach(link);
        }
    }

    /// The last packets with a payload that a flow delivered since it is watched, oldest first: when, and the beginning of
    /// each. `None` if the flow is not watched.
    #[must_use]
    pub(super) fn delivered(&self, flow: Flow) -> Option<Vec<(BootTime, Vec<u8>)>> {
        let bytes = self.samples.get(&key(flow), 0).ok()?;
        let sample = Sample::ref_from_bytes(&bytes).ok()?;
        let kept = sample.count.min(PACKETS as u64);
        let packets = (sample.count - kept..sample.count)
            .map(|number| &sample.packets[(number % PACKETS as u64) as usize])
            .map(|packet| {
                let length = (packet.length as usize).min(packet.data.len());
                (BootTime(packet.time_ns), packet.data[..length].to_vec())
            })
            .collect();
        Some(packets)
    }

    fn program<'a>(&self, ebpf: &'a mut Ebpf) -> Result<&'a mut CgroupSkb, ProgramError> {
        let program = ebpf.program_mut(WIRE.name).filter(|_| self.loaded);
        program.ok_or(ProgramError::NotLoaded)?.try_into()
    }

    fn attach(&mut self, ebpf: &mut Ebpf) -> Result<(), WireError> {
        if self.link.is_some() {
            return Ok(());
        }
        let root = root().map_err(|source| WireError::NoRoot { source })?;
        let program = self.program(ebpf)?;
        // A link never displaces other programs, and wants no mode.
        let link = program.attach(root, CgroupSkbAttachType::Ingress, CgroupAttachMode::Single)?;
        self.link = Some(link);
        Ok(())
    }
}

/// The root of the unified hierarchy. It is there even where nobody mounted it; then by a mount of our own that is in no
/// directory and goes away with its descriptor.
fn root() -> io::Result<OwnedFd> {
    for path in ROOTS {
        if let Ok(root) = File::open(path)
            && rustix::fs::fstatfs(&root)?.f_type == CGROUP2_SUPER_MAGIC
        {
            return Ok(root.into());
        }
    }
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    Ok(fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?)
}

/// include/uapi/linux/magic.h
const CGROUP2_SUPER_MAGIC: rustix::fs::FsWord = 0x6367_7270;

fn key(flow: Flow) -> [u8; 20] {
    let (address, port, inbound) = match flow.remote {
        Some(address) => (address.octets(), flow.port, 0),
        None => ([0; 16], flow.port, 1),
    };
    let key = FlowKey {
        address,
        port,
        protocol: flow.protocol,
        inbound,
    };
    zerocopy::transmute!(key)
}
