//! The kernel side, from user space: resolves its offsets, loads and attaches its programs, drains its ring buffer.
//! What the records mean is `decode`'s business; which prerequisites are missing when this fails is `health::doctor`'s.

pub mod btf;
#[cfg(test)]
mod calls;
pub mod decode;
pub mod descriptors;
pub mod missed;
mod source;
pub mod tables;
pub mod wire;

use std::{fs, io, os::fd::AsFd as _};

use aya::{
    Ebpf, EbpfError, EbpfLoader, VerifierLogLevel,
    maps::{MapData, MapError, PerCpuArray, ProgramArray, RingBuf},
    programs::{BtfTracePoint, Program, ProgramError},
};
use aya_log::EbpfLogger;
use sensor_common::counters::Counters;
use tokio::io::unix::AsyncFd;

use self::{
    btf::{Btf, BtfError, VMLINUX},
    missed::MissedRuns,
    source::Progress,
    tables::Tables,
    wire::Wire,
};

use crate::{model::Coverage, procfs};

/// The object that `build.rs` made of the crate `sensor-ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sensor-ebpf"));

/// A program of the kernel side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramSpec {
    /// Its function's name.
    pub name: &'static str,
    /// The tracepoint that it is for.
    pub tracepoint: &'static str,
    /// What it is good for, as the end of "without it …".
    pub without: &'static str,
    /// Attached to the tracepoint, or called as the tail of another program.
    attached: bool,
}

/// All of them, in the order of loading. Ends are followed before beginnings are seen, so that none is missed.
pub const PROGRAMS: [ProgramSpec; 7] = [
    ProgramSpec {
        name: "socket_state",
        tracepoint: "inet_sock_set_state",
        without: "nothing tells which connections this host opened and which it accepted",
        attached: true,
    },
    ProgramSpec {
        name: "process_exit",
        tracepoint: "sched_process_exit",
        without: "the end of a takeover is not seen",
        attached: true,
    },
    ProgramSpec {
        name: "exec_piped",
        tracepoint: "sched_process_exec",
        without: "relays are not seen through",
        attached: false,
    },
    ProgramSpec {
        name: "exec_process",
        tracepoint: "sched_process_exec",
        without: "no exec can be described",
        attached: false,
    },
    ProgramSpec {
        name: "exec_held",
        tracepoint: "sched_process_exec",
        without: "no exec can be described",
        attached: false,
    },
    ProgramSpec {
        name: "exec_program",
        tracepoint: "sched_process_exec",
        without: "no exec can be described",
        attached: false,
    },
    ProgramSpec {
        name: "exec_streams",
        tracepoint: "sched_process_exec",
        without: "nothing is seen at all",
        attached: true,
    },
];

/// A program that the sensor can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalSpec {
    /// Its function's name.
    pub name: &'static str,
    /// What it is good for, as the end of "without it …".
    pub without: &'static str,
}

/// All of them.
pub const OPTIONAL: [OptionalSpec; 3] = [
    OptionalSpec {
        name: "open_files",
        without: "who holds the other end of a shell's pipe is looked up in /proc, which takes longer",
    },
    OptionalSpec {
        name: "wire",
        without: "commands that a program receives and runs by itself count as LOW, since nothing shows that they were received",
    },
    OptionalSpec {
        name: "stream_moved",
        without: "a running program that puts a connection on its own streams is seen when it runs a command, else by a look \
             at all processes every five seconds, up to a minute where that takes long",
    },
];

/// Why the kernel side does not run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel's type information can't be read.
    #[error("{VMLINUX} can't be read: {0}")]
    NoBtf(#[source] io::Error),
    /// It can, but the sensor can't use it.
    #[error("{VMLINUX}: {0}")]
    Btf(#[from] BtfError),
    /// A map could not be made, or the object was refused as a whole.
    #[error("the kernel did not take the sensor's maps: {}", chain(.0))]
    Object(#[from] EbpfError),
    /// A map could not be used.
    #[error("the kernel did not let the sensor use its maps: {0}")]
    Map(#[from] MapError),
    /// A descriptor of the kernel's could not be waited for.
    #[error("the kernel side can't be waited for: {0}")]
    Wait(#[source] io::Error),
    /// A program was refused. The verifier's log is in the source error.
    #[error("the kernel refused the program {program}: {reason}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The kernel's reason in short.
        reason: String,
        /// The whole of it.
        #[source]
        source: Box<ProgramError>,
    },
}

/// An error with what caused it, since the outermost one often leaves out the kernel's own word.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        source = error.source();
    }
    text
}

impl LoadError {
    fn program(spec: &ProgramSpec, source: ProgramError) -> Self {
        let reason = match &source {
            ProgramError::LoadError { io_error, .. } => io_error.to_string(),
            ProgramError::SyscallError(error) => error.to_string(),
            other => other.to_string(),
        };
        Self::Program {
            program: spec.name,
            reason,
            source: Box::new(source),
        }
    }
}

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Let the kernel side write diagnostics.
    pub kernel_log: bool,
}

/// The kernel side with its maps made and none of its programs loaded.
pub struct Opened {
    ebpf: Ebpf,
    types: aya::Btf,
}

/// Resolves offsets and makes the maps.
///
/// # Errors
/// The kernel lacks type information or struct members, or refuses a map.
pub fn open(options: LoadOptions) -> Result<Opened, LoadError> {
    // A new loader parses the kernel's types for relocations, which the object has none of. First of all, so that the
    // memory is free again when they are parsed below: twice at once is the sensor's peak.
    let mut loader = EbpfLoader::new();
    loader.btf(None);

    let data = fs::read(VMLINUX).map_err(LoadError::NoBtf)?;
    let btf = Btf::parse(&data)?;
    let offsets = btf.offsets()?;
    let enums = [btf.enumerator("pids_cgrp_id"), btf.enumerator("memory_cgrp_id")];
    let types = aya::Btf::parse(&data, aya::Endianness::default()).map_err(EbpfError::from)?;
    drop(data);

    let log_level = if options.kernel_log {
        aya_log::Level::Trace as u8
    } else {
        0
    };
    let verifier_log = if options.kernel_log {
        VerifierLogLevel::VERBOSE | VerifierLogLevel::STATS
    } else {
        VerifierLogLevel::STATS
    };
    loader
        .verifier_log_level(verifier_log)
        .override_global("OFFSETS", offsets.as_slice(), true)
        .override_global("ENUMS", enums.as_slice(), true)
        .override_global(aya_log::LEVEL, &log_level, true)
        .map_max_entries("EVENTS", ring_size());
    if !options.kernel_log {
        loader.map_max_entries("AYA_LOGS", page_size());
    }
    let ebpf = loader.load(OBJECT)?;
    Ok(Opened { ebpf, types })
}

impl Opened {
    /// Loads one program.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn load(&mut self, spec: &ProgramSpec) -> Result<(), LoadError> {
        let Self { ebpf, types } = self;
        program(ebpf, spec)
            .and_then(|program| program.load(spec.tracepoint, types))
            .inspect_err(|error| tracing::debug!("the kernel refused the program {}: {error:?}", spec.name))
            .map_err(|source| LoadError::program(spec, source))
    }

    /// Loads and attaches all of them. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// The kernel refuses one.
    pub fn attach(mut self) -> Result<Attached, LoadError> {
        for spec in &PROGRAMS {
            self.load(spec)?;
        }
        let Self { mut ebpf, types } = self;
        let mut stages: ProgramArray<MapData> = take(&mut ebpf, "STAGES")?;
        for (index, spec) in (0..).zip(PROGRAMS.iter().filter(|spec| !spec.attached)) {
            let fd = program(&mut ebpf, spec).and_then(|program| Ok(program.fd()?.try_clone()?));
            stages.set(index, &fd.map_err(|source| LoadError::program(spec, source))?, 0)?;
        }
        let mut missed = MissedRuns::default();
        for spec in PROGRAMS.iter().filter(|spec| spec.attached) {
            program(&mut ebpf, spec)
                .and_then(|program| {
                    missed.watch(program.fd()?.as_fd());
                    program.attach()
                })
                .map_err(|source| LoadError::program(spec, source))?;
        }
        let mut moved_streams = false;
        if load_optional(&mut ebpf, &types, &OPTIONAL[2]).is_ok()
            && let Some(Program::FEntry(program)) = ebpf.program_mut(OPTIONAL[2].name)
        {
            match program.attach() {
                Ok(_) => moved_streams = true,
                Err(error) => tracing::debug!("the kernel loads but does not attach {}: {error:?}", OPTIONAL[2].name),
            }
        }
        let events: RingBuf<MapData> = take(&mut ebpf, "EVENTS")?;
        let counters = CounterMap(take(&mut ebpf, "COUNTERS")?);
        let programs = Programs {
            tables: Tables::take(&mut ebpf)?,
            lists_files: load_optional(&mut ebpf, &types, &OPTIONAL[0]).is_ok(),
            wire: Wire::new(
                load_optional(&mut ebpf, &types, &OPTIONAL[1]).is_ok(),
                take(&mut ebpf, "SAMPLES")?,
            ),
            ebpf,
            _stages: stages,
        };
        Ok(Attached {
            // SAFETY: the ring buffer owns the map whose descriptor it shows, and never exchanges it.
            events: unsafe { AsyncFd::register(events) }.map_err(|error| LoadError::Wait(error.into()))?,
            counters,
            missed,
            coverage: Coverage {
                // Without the programs that see these nothing is attached.
                execs: true,
                exits: true,
                connects: true,
                moved_streams,
                deliveries: programs.samples_connections(),
                process_numbers: procfs::sees_host_process_ids().unwrap_or(false),
            },
            progress: Progress::default(),
            programs,
        })
    }

    /// Loads a program that the sensor can do without.
    ///
    /// # Errors
    /// The kernel's word, if it refuses.
    pub fn load_optional(&mut self, spec: &OptionalSpec) -> Result<(), String> {
        load_optional(&mut self.ebpf, &self.types, spec)
    }
}

fn load_optional(ebpf: &mut Ebpf, types: &aya::Btf, spec: &OptionalSpec) -> Result<(), String> {
    let loaded = match ebpf.program_mut(spec.name) {
        Some(Program::Iter(program)) => program.load("task_file", types),
        Some(Program::CgroupSkb(program)) => program.load(),
        Some(Program::FEntry(program)) => program.load("do_dup2", types),
        _ => Err(ProgramError::NotLoaded),
    };
    loaded.map_err(|error| {
        tracing::debug!("the kernel refused the program {}: {error:?}", spec.name);
        chain(&error)
    })
}

fn program<'a>(ebpf: &'a mut Ebpf, spec: &ProgramSpec) -> Result<&'a mut BtfTracePoint, ProgramError> {
    ebpf.program_mut(spec.name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn take<T: TryFrom<aya::maps::Map, Error = MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<T, MapError> {
    ebpf.take_map(name)
        .ok_or_else(|| MapError::InvalidName { name: name.to_owned() })?
        .try_into()
}

/// The kernel side at work.
pub struct Attached {
    /// The ring buffer, to be waited for.
    events: AsyncFd<RingBuf<MapData>>,
    /// What was seen and lost.
    counters: CounterMap,
    /// What the kernel did not show to the programs.
    missed: MissedRuns,
    coverage: Coverage,
    progress: Progress,
    /// What has to stay.
    pub programs: Programs,
}

/// The programs and what both sides write; dropping it detaches them.
pub struct Programs {
    ebpf: Ebpf,
    tables: Tables,
    /// The iterator over open files is loaded.
    lists_files: bool,
    wire: Wire,
    /// An array without a descriptor in user space forgets its programs.
    _stages: ProgramArray<MapData>,
}

impl Programs {
    /// The kernel side's own diagnostics, to be waited for and flushed into the `log` crate. Silent unless
    /// [`LoadOptions::kernel_log`] was given.
    ///
    /// # Errors
    /// The log's map can't be read or waited for.
    pub fn log(&mut self) -> Result<AsyncFd<EbpfLogger<&'static dyn log::Log>>, LoadError> {
        let logger = EbpfLogger::init(&mut self.ebpf).map_err(|error| LoadError::Wait(io::Error::other(error)))?;
        // SAFETY: the logger owns the map whose descriptor it shows, and never exchanges it.
        unsafe { AsyncFd::register(logger) }.map_err(|error| LoadError::Wait(error.into()))
    }
}

/// The kernel side's counters.
pub struct CounterMap(PerCpuArray<MapData, [u64; Counters::COUNT]>);

impl CounterMap {
    /// Adds up all CPUs.
    ///
    /// # Errors
    /// The map can't be read, which happens on no kernel known.
    pub fn read(&self) -> Result<Counters, MapError> {
        let mut sum = Counters::default();
        for cpu in self.0.get(&0, 0)?.iter() {
            sum.add(&zerocopy::transmute!(*cpu));
        }
        Ok(sum)
    }
}

fn page_size() -> u32 {
    rustix::param::page_size() as u32
}

/// Two megabytes for each CPU, some 2,000 records: a CPU that does nothing but execute programs on sockets needs half a
/// second for so many, and the daemon may have to wait for its turn behind them. Pages count as the daemon's memory once
/// records were written to them. A power of two, as the kernel wants it.
fn ring_size() -> u32 {
    let cpus = aya::util::nr_cpus().unwrap_or(1) as u32;
    (cpus.saturating_mul(512 << 10))
        .next_power_of_two()
        .clamp(1 << 20, 32 << 20)
}
