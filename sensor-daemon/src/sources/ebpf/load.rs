//! Loads the kernel side: resolves its offsets, makes its maps, loads and attaches its programs.

use std::{fs, io, os::fd::AsFd as _};

use aya::{
    Ebpf, EbpfError, EbpfLoader, VerifierLogLevel,
    maps::{MapData, MapError, ProgramArray},
    programs::{BtfTracePoint, Program, ProgramError},
};

use super::{
    attach_types::attach_types,
    btf::{Btf, BtfError, VMLINUX},
    missed::MissedRuns,
    specs::{DUPLICATE, ITERATOR, OPEN_FILES, OptionalSpec, PROGRAMS, ProgramSpec, STREAM_MOVED, WIRE},
    tables::take,
};

/// The object that `build.rs` made of the crate `sensor-ebpf`.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sensor-ebpf"));

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
    /// Whether the sensor may not open as many files as it needs.
    #[must_use]
    pub fn is_descriptor_limit(&self) -> bool {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = source {
            let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
            if number == Some(libc::EMFILE) {
                return true;
            }
            source = error.source();
        }
        false
    }

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

/// The kernel side with its programs attached.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) missed: MissedRuns,
    /// The kernel empties a program array when the last descriptor of it is closed.
    pub(super) stages: ProgramArray<MapData>,
    /// [`OPEN_FILES`] is loaded.
    pub(super) open_files: bool,
    /// [`WIRE`] is loaded.
    pub(super) wire: bool,
    /// [`STREAM_MOVED`] is attached.
    pub(super) stream_moved: bool,
}

/// The beginning of loading.
pub struct Loader(EbpfLoader<'static>);

impl Default for Loader {
    /// aya parses all types of the kernel here, for relocations. That takes 19 MB for a moment, more than anything that the
    /// sensor does later, so the sensor begins with it while it is small itself. The object has no relocations.
    fn default() -> Self {
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        Self(loader)
    }
}

impl Loader {
    /// Resolves offsets and makes the maps.
    ///
    /// # Errors
    /// The kernel lacks type information or struct members, or refuses a map.
    pub fn open(self, options: LoadOptions) -> Result<Opened, LoadError> {
        let mut loader: EbpfLoader<'_> = self.0;
        let data = fs::read(VMLINUX).map_err(LoadError::NoBtf)?;
        let btf = Btf::parse(&data)?;
        let offsets = btf.offsets()?;
        let enums = [btf.enumerator("pids_cgrp_id"), btf.enumerator("memory_cgrp_id")];
        let types = attach_types(&btf);
        drop(btf);
        drop(data);
        let types = aya::Btf::parse(&types, aya::Endianness::default()).map_err(EbpfError::from)?;

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
            loader.map_max_entries("AYA_LOGS", rustix::param::page_size() as u32);
        }
        let ebpf = loader.load(OBJECT)?;
        Ok(Opened { ebpf, types })
    }
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

    /// Loads all programs and attaches those that are.
    pub(super) fn load_all(mut self) -> Result<Loaded, LoadError> {
        for spec in &PROGRAMS {
            self.load(spec)?;
        }
        let mut stages: ProgramArray<MapData> = take(&mut self.ebpf, "STAGES")?;
        let mut missed = MissedRuns::default();
        for spec in &PROGRAMS {
            let program = program(&mut self.ebpf, spec);
            match spec.stage {
                Some(stage) => program.and_then(|program| enter(&mut stages, stage as u32, program)),
                None => program.and_then(|program| {
                    missed.watch(program.fd()?.as_fd());
                    program.attach().map(drop)
                }),
            }
            .map_err(|source| LoadError::program(spec, source))?;
        }
        let stream_moved = self.load_optional(&STREAM_MOVED).is_ok() && self.attach_stream_moved();
        Ok(Loaded {
            open_files: self.load_optional(&OPEN_FILES).is_ok(),
            wire: self.load_optional(&WIRE).is_ok(),
            stream_moved,
            ebpf: self.ebpf,
            missed,
            stages,
        })
    }

    fn attach_stream_moved(&mut self) -> bool {
        let Some(Program::FEntry(program)) = self.ebpf.program_mut(STREAM_MOVED.name) else {
            return false;
        };
        let attached = program.attach();
        if let Err(error) = &attached {
            tracing::debug!("the kernel loads but does not attach {}: {error:?}", STREAM_MOVED.name);
        }
        attached.is_ok()
    }

    /// Loads a program that the sensor can do without.
    ///
    /// # Errors
    /// The kernel's word, if it refuses.
    pub fn load_optional(&mut self, spec: &OptionalSpec) -> Result<(), String> {
        let loaded = match self.ebpf.program_mut(spec.name) {
            Some(Program::Iter(program)) => program.load(ITERATOR, &self.types),
            Some(Program::CgroupSkb(program)) => program.load(),
            Some(Program::FEntry(program)) => program.load(DUPLICATE, &self.types),
            _ => Err(ProgramError::NotLoaded),
        };
        loaded.map_err(|error| {
            tracing::debug!("the kernel refused the program {}: {error:?}", spec.name);
            chain(&error)
        })
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, spec: &ProgramSpec) -> Result<&'a mut BtfTracePoint, ProgramError> {
    ebpf.program_mut(spec.name).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// Puts a program into its place among the stages.
fn enter(stages: &mut ProgramArray<MapData>, index: u32, program: &BtfTracePoint) -> Result<(), ProgramError> {
    stages.set(index, program.fd()?, 0)?;
    Ok(())
}

/// Half a megabyte for each CPU, which is some 500 records: a CPU that only executes programs on sockets needs an eighth of
/// a second for so many, and the daemon may have to wait for its turn behind them. Pages count as the daemon's memory once
/// records were written to them. The kernel wants a power of two.
fn ring_size() -> u32 {
    let cpus = aya::util::nr_cpus().unwrap_or(1) as u32;
    (cpus.saturating_mul(512 << 10))
        .next_power_of_two()
        .clamp(1 << 20, 32 << 20)
}
