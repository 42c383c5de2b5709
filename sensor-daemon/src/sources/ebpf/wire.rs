//! Samples of what watched connections deliver. The program that takes them is attached while somebody is watched, and
//! detached when nobody is any more.

use std::{fs::File, io, os::fd::OwnedFd};

use aya::{
    maps::{HashMap, MapData, MapError},
    programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError, cgroup_skb::CgroupSkbLinkId},
};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use sensor_common::wire::{FlowKey, PACKETS, Sample};
use zerocopy::FromBytes as _;

use super::Programs;
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

impl Wire {
    pub(super) fn new(loaded: bool, samples: HashMap<MapData, [u8; 20], [u8; size_of::<Sample>()]>) -> Self {
        Self {
            loaded,
            samples,
            watched: Vec::new(),
            link: None,
        }
    }
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

impl Programs {
    /// Begins to sample a flow; the program is attached with the first.
    ///
    /// # Errors
    /// The kernel lets nobody sample, or there is no room.
    pub fn watch(&mut self, flow: Flow) -> Result<(), WireError> {
        if self.wire.watched.contains(&flow) {
            return Ok(());
        }
        self.attach_wire()?;
        self.wire.samples.insert(key(flow), [0; size_of::<Sample>()], 0)?;
        self.wire.watched.push(flow);
        Ok(())
    }

    /// Ends that; the program is detached with the last.
    pub fn unwatch(&mut self, flow: Flow) {
        let before = self.wire.watched.len();
        self.wire.watched.retain(|watched| *watched != flow);
        if self.wire.watched.len() == before {
            return;
        }
        // An entry that is gone already is as good.
        let _ = self.wire.samples.remove(&key(flow));
        if self.wire.watched.is_empty()
            && let Some(link) = self.wire.link.take()
            && let Ok(program) = self.wire_program()
        {
            let _ = program.detach(link);
        }
    }

    /// The last packets with a payload that a flow delivered since it is watched, oldest first: when, and the beginning of
    /// each. `None` if the flow is not watched.
    #[must_use]
    pub fn delivered(&self, flow: Flow) -> Option<Vec<(BootTime, Vec<u8>)>> {
        let bytes = self.wire.samples.get(&key(flow), 0).ok()?;
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

    /// Whether connections can be sampled at all.
    #[must_use]
    pub fn samples_connections(&self) -> bool {
        self.wire.loaded
    }

    fn wire_program(&mut self) -> Result<&mut CgroupSkb, ProgramError> {
        let loaded = self.wire.loaded;
        let program = self.ebpf.program_mut("wire").filter(|_| loaded);
        program.ok_or(ProgramError::NotLoaded)?.try_into()
    }

    fn attach_wire(&mut self) -> Result<(), WireError> {
        if self.wire.link.is_some() {
            return Ok(());
        }
        let root = root().map_err(|source| WireError::NoRoot { source })?;
        let program = self.wire_program()?;
        // A link never displaces other programs, and wants no mode.
        let link = program.attach(root, CgroupSkbAttachType::Ingress, CgroupAttachMode::Single)?;
        self.wire.link = Some(link);
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
