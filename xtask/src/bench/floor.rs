//! A program that does nothing, on the same tracepoints as the sensor's: what the kernel's statistics show for it is what
//! taking the time twice costs, which differs between machines by a factor of ten.
//!
//! Loaded by the system call itself, since no library takes two bare instructions.

use std::{
    ffi::CStr,
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context, Result};

// include/uapi/linux/bpf.h
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const BPF_PROG_TYPE_RAW_TRACEPOINT: u32 = 17;

/// `r0 = 0; exit`
static INSTRUCTIONS: [u64; 2] = [0xb7, 0x95];

/// The beginning of `union bpf_attr` for BPF_PROG_LOAD; the kernel takes the rest to be zero.
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log: [u64; 2],
}

#[repr(C)]
struct OpenAttributes {
    name: u64,
    program: u32,
    padding: u32,
}

/// An empty program at work.
pub(super) struct Floor {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Floor {
    /// Attaches an empty program to a tracepoint.
    pub(super) fn attach(tracepoint: &CStr) -> Result<Self> {
        let program = bpf(
            BPF_PROG_LOAD,
            &LoadAttributes {
                kind: BPF_PROG_TYPE_RAW_TRACEPOINT,
                instruction_count: 2,
                instructions: INSTRUCTIONS.as_ptr() as u64,
                license: c"GPL".as_ptr() as u64,
                log: [0; 2],
            },
        )
        .context("the empty program to compare with could not be loaded")?;
        let link = bpf(
            BPF_RAW_TRACEPOINT_OPEN,
            &OpenAttributes {
                name: tracepoint.as_ptr() as u64,
                program: program.as_raw_fd().cast_unsigned(),
                padding: 0,
            },
        )
        .context("the empty program to compare with could not be attached")?;
        Ok(Self { program, _link: link })
    }

    /// Mean nanoseconds of a run, while statistics are on.
    pub(super) fn mean(&self) -> Result<f64> {
        let path = format!("/proc/self/fdinfo/{}", self.program.as_raw_fd());
        let text = fs::read_to_string(&path).context(path)?;
        let number = |name: &str| -> Option<f64> {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        let time = number("run_time_ns:").context("the kernel shows no run_time_ns")?;
        let runs = number("run_cnt:").context("the kernel shows no run_cnt")?;
        Ok(time / runs.max(1.0))
    }
}

/// The system call; those used here return a descriptor.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes, and the addresses among them are of static data.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
