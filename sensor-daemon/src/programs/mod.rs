//! What an executed file is: a shell, an interpreter, a relay or something else, and what its content hashes to.
//!
//! Owns the names and the marker words by which programs are told apart, and the caches of files that were searched. Does not judge
//! what it means that a program runs, which is `detect`'s business.
//!
//! Content counts before the name. For example, a copy of `/bin/bash` that is called `kworker` holds the words `BASH_VERSINFO` and
//! `OPTIND`, so it is bash; a file called `sh` in `/tmp` that holds no shell's words is none.
//!
//! A leaf: uses `procfs` and `model` alone.

mod ancestry;
mod content;
mod digest;
mod identity;
mod stamp;

pub use self::{
    ancestry::Ancestry, content::recognises, digest::Digests, identity::Identities, stamp::is_second_settled,
};
