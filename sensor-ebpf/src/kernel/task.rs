//! Processes: `task_struct` and what hangs on it, and the program that one is about to run.

use core::ptr;

use aya_ebpf::helpers::generated::bpf_get_current_task;
use sensor_common::offsets::MISSING;

use super::{
    file::{File, Files, TypedFile},
    path::Path,
    read::{ENUMS, Fault, direct, offset, probe, probe_or_zero},
};

/// `struct task_struct`, typed.
#[derive(Clone, Copy)]
pub struct Task(*const u8);

impl Task {
    #[inline(always)]
    pub fn from_context(pointer: *const u8) -> Self {
        Self(pointer)
    }

    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub fn tgid(self) -> u32 {
        direct(self.0, offset!(task_tgid))
    }

    /// Start of this thread; of the process, if this is the group leader (as a thread that exec'd always is).
    #[inline(always)]
    pub fn start_ns(self) -> u64 {
        direct(self.0, offset!(task_start_boottime))
    }

    #[inline(always)]
    pub fn exit_code(self) -> u32 {
        direct(self.0, offset!(task_exit_code))
    }

    /// `signal->live`: threads that have not begun to exit.
    #[inline(always)]
    pub fn live_threads(self) -> u32 {
        direct(direct(self.0, offset!(task_signal)), offset!(signal_live))
    }

    #[inline(always)]
    pub fn parent(self) -> Self {
        Self(direct(self.0, offset!(task_real_parent)))
    }

    #[inline(always)]
    pub fn group_leader(self) -> Self {
        Self(direct(self.0, offset!(task_group_leader)))
    }

    #[inline(always)]
    pub fn comm(self) -> [u8; 16] {
        probe_or_zero(self.0 as u64, offset!(task_comm))
    }

    #[inline(always)]
    pub fn files(self) -> Files {
        Files(direct(self.0, offset!(task_files)))
    }

    #[inline(always)]
    pub fn cred(self) -> Cred {
        Cred(direct(self.0, offset!(task_cred)))
    }

    /// First and one-past-last address of the arguments.
    #[inline(always)]
    pub fn arguments(self) -> (u64, u64) {
        let mm: *const u8 = direct(self.0, offset!(task_mm));
        (direct(mm, offset!(mm_arg_start)), direct(mm, offset!(mm_arg_end)))
    }

    /// The file that this process runs. None for a kernel thread.
    #[inline(always)]
    pub fn executable(self) -> Option<TypedFile> {
        let mm: *const u8 = direct(self.0, offset!(task_mm));
        if mm.is_null() {
            return None;
        }
        let file: *const u8 = direct(mm, offset!(mm_exe_file));
        (!file.is_null()).then_some(TypedFile(file))
    }

    /// The root directory of this process.
    #[inline(always)]
    pub fn root(self) -> Result<Path, Fault> {
        let fs: *const u8 = direct(self.0, offset!(task_fs));
        Path::read(fs as u64, offset!(fs_root))
    }

    /// The working directory of this process.
    #[inline(always)]
    pub fn cwd(self) -> Result<Path, Fault> {
        let fs: *const u8 = direct(self.0, offset!(task_fs));
        Path::read(fs as u64, offset!(fs_pwd))
    }

    /// Mount, PID and network namespace, by inode number.
    #[inline(always)]
    pub fn namespaces(self) -> (u32, u32, u32) {
        let proxy: *const u8 = direct(self.0, offset!(task_nsproxy));
        let mnt: *const u8 = direct(proxy, offset!(nsproxy_mnt));
        let pid: *const u8 = direct(proxy, offset!(nsproxy_pid));
        let net: *const u8 = direct(proxy, offset!(nsproxy_net));
        (
            probe_or_zero(mnt as u64, offset!(mnt_ns_inum)),
            probe_or_zero(pid as u64, offset!(pid_ns_inum)),
            probe_or_zero(net as u64, offset!(net_inum)),
        )
    }

    /// The process's cgroup: of the unified hierarchy, or, where that one is not used for containers (cgroup v1 and
    /// hybrid hosts leave everything in its root), of the pids or memory controller.
    #[inline(always)]
    pub fn cgroup(self) -> Option<CgroupNode> {
        let css_set: *const u8 = direct(self.0, offset!(task_cgroups));
        let css_set = css_set as u64;
        let unified = CgroupNode::of(probe(css_set, offset!(css_set_dfl_cgrp)).ok()?)?;
        if !unified.is_root() {
            return Some(unified);
        }
        // SAFETY: a static of this very type, aligned and initialised.
        let (pids, memory) = unsafe {
            (
                ptr::read_volatile(&raw const ENUMS.pids_cgroup),
                ptr::read_volatile(&raw const ENUMS.memory_cgroup),
            )
        };
        let index = if pids != MISSING { pids } else { memory };
        if index == MISSING {
            return Some(unified);
        }
        let css: u64 = probe(css_set, offset!(css_set_subsys) + index * 8).ok()?;
        CgroupNode::of(probe(css, offset!(css_cgroup)).ok()?)
    }
}

/// The process that a program runs in the context of: `struct task_struct`, by address, since the helper that gives it
/// typed came with 5.11.
#[derive(Clone, Copy)]
pub struct Current(u64);

impl Current {
    #[inline(always)]
    pub fn get() -> Self {
        // SAFETY: a helper without arguments.
        Self(unsafe { bpf_get_current_task() })
    }

    #[inline(always)]
    pub fn tgid(self) -> u32 {
        probe_or_zero(self.0, offset!(task_tgid))
    }

    /// Start of the process.
    #[inline(always)]
    pub fn start_ns(self) -> u64 {
        match probe::<u64>(self.0, offset!(task_group_leader)) {
            Ok(leader) => probe_or_zero(leader, offset!(task_start_boottime)),
            Err(Fault) => 0,
        }
    }

    /// Descriptors 0, 1 and 2; null where closed.
    #[inline(always)]
    pub fn standard_streams(self) -> Result<[File; 3], Fault> {
        let files: u64 = probe(self.0, offset!(task_files))?;
        let table: u64 = probe(files, offset!(files_fdt))?;
        let descriptors: u64 = probe(table, offset!(fdt_fd))?;
        probe(descriptors, 0)
    }
}

/// `struct kernfs_node` of a cgroup directory, by address.
#[derive(Clone, Copy)]
pub struct CgroupNode(u64);

impl CgroupNode {
    #[inline(always)]
    fn of(cgroup: u64) -> Option<Self> {
        probe(cgroup, offset!(cgroup_kn)).ok().map(Self)
    }

    #[inline(always)]
    fn is_root(self) -> bool {
        self.parent().is_none()
    }

    #[inline(always)]
    pub fn parent(self) -> Option<Self> {
        match probe::<u64>(self.0, offset!(kernfs_parent)) {
            Ok(parent) if parent != 0 => Some(Self(parent)),
            _ => None,
        }
    }

    #[inline(always)]
    pub fn id(self) -> u64 {
        probe_or_zero(self.0, offset!(kernfs_id))
    }

    /// Address of its NUL-terminated name.
    #[inline(always)]
    pub fn name(self) -> Result<u64, Fault> {
        probe(self.0, offset!(kernfs_name))
    }
}

/// `struct cred`, typed.
#[derive(Clone, Copy)]
pub struct Cred(*const u8);

impl Cred {
    #[inline(always)]
    pub fn uid(self) -> u32 {
        direct(self.0, offset!(cred_uid))
    }

    #[inline(always)]
    pub fn gid(self) -> u32 {
        direct(self.0, offset!(cred_gid))
    }

    #[inline(always)]
    pub fn euid(self) -> u32 {
        direct(self.0, offset!(cred_euid))
    }

    #[inline(always)]
    pub fn egid(self) -> u32 {
        direct(self.0, offset!(cred_egid))
    }

    /// `kernel_cap_t` was an array of two words up to 6.2 and is one long since; little endian makes them the same.
    #[inline(always)]
    pub fn cap_effective(self) -> u64 {
        probe_or_zero(self.0 as u64, offset!(cred_cap_effective))
    }

    #[inline(always)]
    pub fn user_ns(self) -> u32 {
        let user_ns: *const u8 = direct(self.0, offset!(cred_user_ns));
        probe_or_zero(user_ns as u64, offset!(user_ns_inum))
    }
}

/// `struct linux_binprm`, typed.
#[derive(Clone, Copy)]
pub struct Bprm(*const u8);

impl Bprm {
    #[inline(always)]
    pub fn from_context(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// The file that runs: for a script, its interpreter.
    #[inline(always)]
    pub fn file(self) -> File {
        File(direct(self.0, offset!(bprm_file)))
    }

    /// The same, typed.
    #[inline(always)]
    pub fn executable(self) -> TypedFile {
        TypedFile(direct(self.0, offset!(bprm_file)))
    }

    /// Address of the name given to exec, if another file runs than that name says (`#!`, binfmt_misc).
    #[inline(always)]
    pub fn script_name(self) -> Option<u64> {
        let filename: u64 = direct(self.0, offset!(bprm_filename));
        let interpreter: u64 = direct(self.0, offset!(bprm_interp));
        (filename != interpreter).then_some(filename)
    }
}
