//! Gives back memory: what only the start needed is several times that of the rest of the run, and a look at all open files of a
//! large machine takes some megabytes.

use procfs::process::{MMPermissions, MMapPath, Process};

/// Gives back what was freed and the C library keeps for the next, and the pages of the own program. Those that are needed are
/// mapped again from the page cache as they are touched, which a sensor at rest does with few.
pub(super) fn release() {
    trim();
    for (start, end) in own_pages() {
        // SAFETY: a private mapping of a file that nobody can have written to: it is not writable now, and relocations are
        // applied to writable segments alone. What is dropped is read from the file again.
        unsafe {
            libc::madvise(start as *mut libc::c_void, (end - start) as usize, libc::MADV_DONTNEED);
        }
    }
}

/// Gives back what was freed and the C library keeps for the next.
pub(super) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: has no precondition.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Where the program's code is, and its constants: the first segment of the file.
fn own_pages() -> Vec<(u64, u64)> {
    let Ok(process) = Process::myself() else {
        return Vec::new();
    };
    let (Ok(executable), Ok(maps)) = (process.exe(), process.maps()) else {
        return Vec::new();
    };
    let code = MMPermissions::READ | MMPermissions::EXECUTE | MMPermissions::PRIVATE;
    let constants = MMPermissions::READ | MMPermissions::PRIVATE;
    maps.into_iter()
        .filter(|map| matches!(&map.pathname, MMapPath::Path(path) if *path == executable))
        .filter(|map| map.perms == code || map.perms == constants && map.offset == 0)
        .map(|map| map.address)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_without_its_pages() {
        let pages = own_pages();
        assert!(pages.iter().any(|(start, end)| {
            let here = the_program_goes_on_without_its_pages as *const () as u64;
            (*start..*end).contains(&here)
        }));
        release();
        assert_eq!(own_pages(), pages);
    }
}
