//! The last stage of an exec: appends the program, its arguments, its working directory and its cgroup to the record, and
//! sends it.

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use sensor_common::record::{ARGV_MAX, HELD_MAX, NAME_MAX, TEXT_MAX, exec_flag};

use crate::{
    kernel::{Bprm, CgroupNode, Fault, Task},
    maps,
    path::{self, End},
    tail::Tail,
};

// include/uapi/linux/stat.h, include/uapi/linux/magic.h
const S_ISUID: u16 = 0o4000;
const S_ISGID: u16 = 0o2000;
const TMPFS_MAGIC: u64 = 0x0102_1994;
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

/// Last stage: describes the program, its arguments and its place, then sends the record.
#[inline(always)]
pub fn describe(ctx: &BtfTracePointContext, task: Task, bprm: Bprm) {
    let Some(scratch) = maps::scratch() else { return };
    let tail = Tail::of(scratch);
    tail.clear();
    let record = tail.record();
    record.flags = 0;
    record.path_len = 0;
    record.cwd_len = 0;
    bprm.executable().key(&mut record.exe_key);
    record.exe_inode = 0;
    record.exe_dev = 0;
    record.exe_uid = 0;
    // In the order of the record's lengths. The walks come first, since whatever branches before a loop multiplies it.
    if executable(&tail, task, bprm).is_err() {
        maps::count(|counters| counters.read_failed_path += 1);
        record.flags |= exec_flag::PATH_TRUNCATED;
    }
    if working_directory(&tail, task).is_err() {
        maps::count(|counters| counters.read_failed_path += 1);
        record.flags |= exec_flag::CWD_TRUNCATED;
    }
    arguments(&tail, task);
    script(&tail, bprm);
    cgroup(&tail, task);
    held(&tail);
    debug!(
        ctx,
        "process {} executed a program with a network socket as a standard stream", record.tgid
    );
    maps::send_exec(scratch);
}

/// Appends the path of the executed file and notes what else it is.
#[inline(always)]
fn executable(tail: &Tail, task: Task, bprm: Bprm) -> Result<(), Fault> {
    let record = tail.record();
    let file = bprm.file();
    let end = path::append(tail, file.path()?, task.root()?);
    record.path_len = tail.len() as u32;

    let inode = file.inode()?;
    let (device, magic) = inode.file_system()?;
    let mode = inode.mode()?;
    record.exe_inode = inode.number();
    record.exe_dev = device;
    record.exe_uid = inode.owner();
    if mode & S_ISUID != 0 {
        record.flags |= exec_flag::SETUID;
    }
    if mode & S_ISGID != 0 {
        record.flags |= exec_flag::SETGID;
    }
    if end == End::Detached && matches!(magic, TMPFS_MAGIC | HUGETLBFS_MAGIC) {
        record.flags |= exec_flag::MEMFD;
    } else if inode.links()? == 0 {
        record.flags |= exec_flag::DELETED;
    }
    match end {
        End::Root | End::Detached => {}
        End::Truncated => record.flags |= exec_flag::PATH_TRUNCATED,
        End::Fault => return Err(Fault),
    }
    Ok(())
}

/// Appends the working directory.
#[inline(always)]
fn working_directory(tail: &Tail, task: Task) -> Result<(), Fault> {
    let before = tail.len();
    let end = path::append(tail, task.cwd()?, task.root()?);
    tail.record().cwd_len = (tail.len() - before) as u32;
    match end {
        End::Root | End::Detached => {}
        End::Truncated => tail.record().flags |= exec_flag::CWD_TRUNCATED,
        End::Fault => return Err(Fault),
    }
    Ok(())
}

/// Appends the arguments.
#[inline(always)]
fn arguments(tail: &Tail, task: Task) {
    let record = tail.record();
    let (start, end) = task.arguments();
    let mut length = end.saturating_sub(start);
    if length > ARGV_MAX as u64 {
        length = ARGV_MAX as u64;
        record.flags |= exec_flag::ARGV_TRUNCATED;
    }
    let before = tail.len();
    if tail.append_user::<ARGV_MAX>(start, length).is_err() {
        maps::count(|counters| counters.read_failed_argv += 1);
        record.flags |= exec_flag::ARGV_TRUNCATED;
    }
    record.argv_len = (tail.len() - before) as u32;
}

/// Appends the name given to exec, if an interpreter runs a script of that name.
#[inline(always)]
fn script(tail: &Tail, bprm: Bprm) {
    let before = tail.len();
    if let Some(name) = bprm.script_name() {
        tail.record().flags |= exec_flag::SCRIPT;
        if tail.append_str::<TEXT_MAX>(name).is_err() {
            maps::count(|counters| counters.read_failed_path += 1);
        }
    }
    tail.record().script_len = (tail.len() - before) as u32;
}

/// Appends the names of the cgroup and of the one above it.
#[inline(always)]
fn cgroup(tail: &Tail, task: Task) {
    let record = tail.record();
    record.cgroup_id = 0;
    record.cgroup_len = 0;
    record.cgroup_parent_len = 0;
    let Some(node) = task.cgroup() else { return };
    record.cgroup_id = node.id();
    record.cgroup_len = cgroup_name(tail, node);
    if let Some(parent) = node.parent() {
        record.cgroup_parent_len = cgroup_name(tail, parent);
    }
}

/// Appends the records of the parent's connections.
#[inline(always)]
fn held(tail: &Tail) {
    let before = tail.len();
    for index in 0..HELD_MAX {
        let appended = (index as u32) < tail.held_count() && tail.append_held(index).is_ok();
        if !appended {
            break;
        }
    }
    tail.record().held_len = (tail.len() - before) as u32;
    tail.record().reserved = 0;
}

#[inline(always)]
fn cgroup_name(tail: &Tail, node: CgroupNode) -> u32 {
    let before = tail.len();
    if node.name().and_then(|name| tail.append_str::<NAME_MAX>(name)).is_err() {
        maps::count(|counters| counters.read_failed_path += 1);
    }
    (tail.len() - before) as u32
}
