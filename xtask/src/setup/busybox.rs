//! A busybox that needs no libraries: tests copy it into places that have none.
//!
//! Debian has two packages with a `/bin/busybox`. The usual one is linked dynamically, and the static one can't be
//! installed beside it. Where the machine has no static one, it is unpacked into the cache directory, and what the machine
//! has stays as it is.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::debian;
use crate::vm::apt;

const PACKAGE: &str = "busybox-static";
/// Where the machine's own is.
const INSTALLED: &str = "/bin/busybox";

/// The directory with the unpacked one, for the front of the tests' PATH. It may not exist: see [`install`].
///
/// # Errors
/// If there is no cache directory.
pub(crate) fn directory() -> Result<PathBuf> {
    Ok(super::cache_dir()?.join("test-tools"))
}

/// Makes sure that there is one.
///
/// # Errors
/// If it can't be had; the message tells what a person can do.
pub(super) fn install() -> Result<()> {
    let path = directory()?.join("busybox");
    if is_static(Path::new(INSTALLED)) || is_static(&path) {
        return Ok(());
    }
    eprintln!(
        "unpacking {PACKAGE} into {}: the tests need a shell that needs no libraries",
        directory()?.display()
    );
    if debian::usable() && !debian::offers(PACKAGE) {
        debian::refresh();
    }
    let place = tempfile::tempdir()?;
    let content = apt::fetch(apt::command(), place.path(), PACKAGE, "*/busybox")
        .with_context(|| format!("put a statically linked busybox at {}", path.display()))?;
    write(&path, &content).with_context(|| format!("{} can't be written", path.display()))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    // An interrupted run leaves no half program behind.
    let part = path.with_extension("part");
    fs::write(&part, content)?;
    fs::set_permissions(&part, fs::Permissions::from_mode(0o755))?;
    fs::rename(&part, path)
}

/// Whether this is a 64-bit program that no interpreter (the dynamic loader) has to start.
fn is_static(program: &Path) -> bool {
    fs::read(program).is_ok_and(|bytes| needs_interpreter(&bytes) == Some(false))
}

/// None if this is no such program.
fn needs_interpreter(elf: &[u8]) -> Option<bool> {
    // elf(5): offsets in Elf64_Ehdr, and the type of a program header that names an interpreter.
    const HEADERS: usize = 32;
    const SIZE: usize = 54;
    const COUNT: usize = 56;
    const PT_INTERP: u32 = 3;
    let short = |at: usize| Some(u16::from_le_bytes(*elf.get(at..)?.first_chunk()?).into());
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (size, count): (usize, usize) = (short(SIZE)?, short(COUNT)?);
    let headers = usize::try_from(u64::from_le_bytes(*elf.get(HEADERS..)?.first_chunk()?)).ok()?;
    let kinds = elf.get(headers..)?.chunks(size.max(4)).take(count);
    Some(
        kinds
            .filter_map(|header| Some(u32::from_le_bytes(*header.first_chunk()?)))
            .any(|kind| kind == PT_INTERP),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::needs_interpreter;

    #[test]
    fn static_programs_are_told_from_dynamic_ones() {
        let shell = fs::read("/bin/sh").unwrap();
        assert_eq!(needs_interpreter(&shell), Some(true));
        // Its interpreter, by another kind of header.
        let headers = usize::try_from(u64::from_le_bytes(shell[32..40].try_into().unwrap())).unwrap();
        let mut other = shell.clone();
        for header in other[headers..].chunks_mut(56).take(usize::from(shell[56])) {
            if header[0] == 3 {
                header[0] = 4;
            }
        }
        assert_eq!(needs_interpreter(&other), Some(false));
        for end in [0, 4, 40, 57, headers] {
            assert_ne!(needs_interpreter(&shell[..end]), Some(true), "{end}");
        }
        assert_eq!(needs_interpreter(b"#!/bin/sh\n"), None);
    }
}
