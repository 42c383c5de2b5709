//! The one table of kernel struct offsets. User space fills it from the running kernel's BTF before load; the kernel
//! side reads it as constants of its frozen `.rodata`. No offset is written down anywhere else.
//!
//! Rust emits no CO-RE relocations, hence this table. A field that the kernel lacks stays [`MISSING`]; the loader
//! refuses to start when a required one is missing, and names it.

/// The value of an offset that was not resolved. Far outside any kernel struct, so that a type-checked read through it
/// is refused by the verifier instead of returning another field.
pub const MISSING: u32 = 0x7fff_fff0;

/// Where user space finds one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name in [`Offsets`].
    pub name: &'static str,
    /// `(struct, member path)` alternatives; the first one that the kernel's BTF knows is taken.
    pub candidates: &'static [(&'static str, &'static str)],
    /// Whether the sensor can't work without it.
    pub required: bool,
    /// Whether it is a bit-field: then the value is [`bitfield`].
    pub bitfield: bool,
}

/// Packs the place of a bit-field: the byte that holds its first bit, and that bit's number in it.
#[must_use]
pub const fn bitfield(byte: u32, shift: u32) -> u32 {
    shift << 24 | byte
}

/// Takes apart what [`bitfield`] packed: byte offset, shift.
#[must_use]
pub const fn bitfield_parts(packed: u32) -> (u32, u32) {
    (packed & 0x00ff_ffff, packed >> 24)
}

macro_rules! offsets {
    ($( $name:ident : $need:ident $( $structure:literal . $path:literal )|+ ; )+) => {
        /// Byte offsets of the kernel struct members that the kernel side reads.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each field is documented by its entry in FIELDS")]
        pub struct Offsets { $( pub $name: u32, )+ }

        /// One entry for each `u32` of [`Offsets`], in the same order.
        pub const FIELDS: &[Field] = &[ $( Field {
            name: stringify!($name),
            candidates: &[ $( ($structure, $path) ),+ ],
            required: offsets!(@required $need),
            bitfield: offsets!(@bitfield $need),
        } ),+ ];

        impl Offsets {
            /// Every offset unresolved.
            pub const POISONED: Self = Self { $( $name: MISSING, )+ };

            /// Takes resolved values in the order of [`FIELDS`].
            #[must_use]
            pub const fn from_values(values: &[u32; FIELDS.len()]) -> Self {
                let mut at = 0;
                $( let $name = values[at]; at += 1; )+
                let _ = at;
                Self { $( $name, )+ }
            }
        }
    };
    (@required required) => { true };
    (@required $other:ident) => { false };
    (@bitfield bitfield) => { true };
    (@bitfield $other:ident) => { false };
}

// Alternatives are for renames: kernfs_node.parent became __parent in 6.15; inode.i_ctime became __i_ctime in 6.6 and
// two members in 6.11; `skc_v6_*` exist with CONFIG_IPV6 only;
// vsock is often a module, whose types are not in the kernel's own BTF.
offsets! {
    task_pid: required "task_struct"."pid";
    task_tgid: required "task_struct"."tgid";
    task_comm: required "task_struct"."comm";
    task_start_boottime: required "task_struct"."start_boottime" | "task_struct"."real_start_time";
    task_real_parent: required "task_struct"."real_parent";
    task_group_leader: required "task_struct"."group_leader";
    task_files: required "task_struct"."files";
    task_fs: required "task_struct"."fs";
    task_mm: required "task_struct"."mm";
    task_cred: required "task_struct"."cred";
    task_nsproxy: required "task_struct"."nsproxy";
    task_cgroups: required "task_struct"."cgroups";
    task_signal: required "task_struct"."signal";
    task_exit_code: required "task_struct"."exit_code";
    signal_live: required "signal_struct"."live.counter";
    files_fdt: required "files_struct"."fdt";
    files_fd_array: required "files_struct"."fd_array";
    files_open_fds: required "files_struct"."open_fds_init";
    fdt_fd: required "fdtable"."fd";
    fdt_max_fds: required "fdtable"."max_fds";
    fdt_open_fds: required "fdtable"."open_fds";
    file_inode: required "file"."f_inode";
    file_op: required "file"."f_op";
    file_mode: required "file"."f_mode";
    file_private_data: required "file"."private_data";
    file_path: required "file"."f_path";
    path_mnt: required "path"."mnt";
    path_dentry: required "path"."dentry";
    inode_mode: required "inode"."i_mode";
    inode_ino: required "inode"."i_ino";
    inode_rdev: required "inode"."i_rdev";
    inode_nlink: required "inode"."i_nlink";
    inode_sb: required "inode"."i_sb";
    inode_uid: required "inode"."i_uid.val";
    inode_size: required "inode"."i_size";
    inode_changed: required "inode"."i_ctime_sec" | "inode"."__i_ctime.tv_sec" | "inode"."i_ctime.tv_sec";
    sb_dev: required "super_block"."s_dev";
    sb_magic: required "super_block"."s_magic";
    dentry_inode: required "dentry"."d_inode";
    dentry_parent: required "dentry"."d_parent";
    dentry_name: required "dentry"."d_name.name";
    mount_mnt: required "mount"."mnt";
    mount_parent: required "mount"."mnt_parent";
    mount_mountpoint: required "mount"."mnt_mountpoint";
    vfsmount_root: required "vfsmount"."mnt_root";
    fs_root: required "fs_struct"."root";
    fs_pwd: required "fs_struct"."pwd";
    bprm_file: required "linux_binprm"."file";
    bprm_filename: required "linux_binprm"."filename";
    bprm_interp: required "linux_binprm"."interp";
    mm_exe_file: required "mm_struct"."exe_file";
    mm_arg_start: required "mm_struct"."arg_start";
    mm_arg_end: required "mm_struct"."arg_end";
    cred_uid: required "cred"."uid.val";
    cred_gid: required "cred"."gid.val";
    cred_euid: required "cred"."euid.val";
    cred_egid: required "cred"."egid.val";
    cred_cap_effective: required "cred"."cap_effective";
    cred_user_ns: required "cred"."user_ns";
    nsproxy_mnt: required "nsproxy"."mnt_ns";
    nsproxy_pid: required "nsproxy"."pid_ns_for_children";
    nsproxy_net: required "nsproxy"."net_ns";
    mnt_ns_inum: required "mnt_namespace"."ns.inum";
    pid_ns_inum: required "pid_namespace"."ns.inum";
    net_inum: required "net"."ns.inum";
    user_ns_inum: required "user_namespace"."ns.inum";
    css_set_dfl_cgrp: required "css_set"."dfl_cgrp";
    css_set_subsys: required "css_set"."subsys";
    css_cgroup: required "cgroup_subsys_state"."cgroup";
    cgroup_kn: required "cgroup"."kn";
    kernfs_name: required "kernfs_node"."name";
    kernfs_parent: required "kernfs_node"."__parent" | "kernfs_node"."parent";
    kernfs_id: required "kernfs_node"."id";
    tty_of_file: required "tty_file_private"."tty";
    tty_link: required "tty_struct"."link";
    tty_driver_data: required "tty_struct"."driver_data";
    seq_of_iterator: required "bpf_iter_meta"."seq";
    socket_sk: required "socket"."sk";
    socket_file: required "socket"."file";
    sk_family: required "sock"."__sk_common.skc_family";
    sk_state: required "sock"."__sk_common.skc_state";
    sk_daddr: required "sock"."__sk_common.skc_daddr";
    sk_rcv_saddr: required "sock"."__sk_common.skc_rcv_saddr";
    sk_dport: required "sock"."__sk_common.skc_dport";
    sk_num: required "sock"."__sk_common.skc_num";
    sk_net: required "sock"."__sk_common.skc_net.net";
    sk_cookie: required "sock"."__sk_common.skc_cookie";
    sk_v6_daddr: optional "sock"."__sk_common.skc_v6_daddr";
    sk_v6_rcv_saddr: optional "sock"."__sk_common.skc_v6_rcv_saddr";
    sk_type: required "sock"."sk_type";
    sk_protocol: required "sock"."sk_protocol";
    sk_userlocks: bitfield "sock"."sk_userlocks";
    sk_socket: required "sock"."sk_socket";
    tcp_bytes_sent: optional "tcp_sock"."bytes_sent";
    tcp_bytes_received: optional "tcp_sock"."bytes_received";
    unix_peer: optional "unix_sock"."peer";
    vsock_local_port: optional "vsock_sock"."local_addr.svm_port";
    vsock_local_cid: optional "vsock_sock"."local_addr.svm_cid";
    vsock_remote_port: optional "vsock_sock"."remote_addr.svm_port";
    vsock_remote_cid: optional "vsock_sock"."remote_addr.svm_cid";
}

/// Values of kernel enumerations that differ between kernel configurations; resolved from BTF like the offsets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnumValues {
    /// `pids_cgrp_id` of `enum cgroup_subsys_id`: an index into `css_set.subsys`, [`MISSING`] without CONFIG_CGROUP_PIDS.
    pub pids_cgroup: u32,
    /// `memory_cgrp_id`, likewise.
    pub memory_cgroup: u32,
}

const _: () = assert!(size_of::<Offsets>() == FIELDS.len() * 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_land_in_the_field_of_the_same_place() {
        let mut values = [0; FIELDS.len()];
        for (at, value) in values.iter_mut().enumerate() {
            *value = at as u32;
        }
        let offsets = Offsets::from_values(&values);
        let position = |name| FIELDS.iter().position(|field| field.name == name).unwrap() as u32;
        assert_eq!(offsets.task_pid, position("task_pid"));
        assert_eq!(offsets.sk_cookie, position("sk_cookie"));
        assert_eq!(offsets.vsock_remote_cid, position("vsock_remote_cid"));
    }
}
