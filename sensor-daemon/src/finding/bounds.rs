//! How much of each thing a finding shows, the same in every format: bytes of JSON where nothing else is said. Together they
//! leave room in a line for commands.

/// Of one finding as a line of JSON, in every format: journals and collectors split longer ones.
pub const LINE_MAX: usize = 47 * 1024;

pub(super) const SHELL_ARGUMENTS: usize = 4096;
pub(super) const SHELL_PATH: usize = 4096;
/// Of a command, of a process above the shell.
pub(super) const ARGUMENTS: usize = 512;
pub(super) const PATH: usize = 512;
/// Of the shell in OCSF: there the file's name is beside its path.
pub(super) const OCSF_SHELL_PATH: usize = 2048;
/// Of the path, and of the arguments, of a process in OCSF's list of ancestors, whose first is described in full elsewhere.
pub(super) const OCSF_ANCESTRY: usize = 256;
/// So many relays are evidences in OCSF.
pub(super) const OCSF_RELAYS: usize = 10;
pub(super) const WORKING_DIRECTORY: usize = 1024;
/// There may be ten relays.
pub(super) const RELAY_PATH: usize = 256;
/// Names of relays are part of it.
pub(super) const EVIDENCE: usize = 2048;
/// Why somebody closed a finding.
pub(super) const REASON: usize = 512;

/// Of processes, accounts, containers, places.
pub(super) const NAME: usize = 256;
pub(super) const IMAGE: usize = 512;
pub(super) const RESOURCE_NAME: usize = 512;
pub(super) const SECURITY_LABEL: usize = 512;
pub(super) const CGROUP: usize = 512;
/// SHA-256, in hexadecimal.
pub(super) const DIGEST: usize = 64;

/// Of all variables together, and of one.
pub(super) const ENVIRONMENT: usize = 2048;
pub(super) const VARIABLE: usize = 512;

/// So many: the kernel knows 41 capabilities, and the longest name of one has 22 letters.
pub(super) const CAPABILITIES: usize = 48;
pub(super) const CAPABILITY: usize = 24;
/// So many.
pub(super) const NAMESPACES: usize = 16;
/// So many: a machine can have thousands.
pub(super) const ADDRESSES: usize = 16;
