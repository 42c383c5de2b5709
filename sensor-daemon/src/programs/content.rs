//! What a file is by its content: looks for words that certain programs have to hold.
//!
//! A POSIX shell has to know the variables OPTIND, PS4, IFS and PPID by name, so a file that holds all four is a shell,
//! whatever it is called: a copy, another build, a static one. Interpreters give themselves away likewise.
//!
//! The files are those of watched processes, who may have put anything in their place since, a FIFO or a device, so they
//! are opened only once they are known to be regular files.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::Read as _,
    os::{
        fd::AsRawFd as _,
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    sync::LazyLock,
    time::SystemTime,
};

use aho_corasick::AhoCorasick;
use rustix::fs::{Mode, OFlags};

use super::stamp::Stamp;
use crate::model::ProgramKind;

/// What a file was found to be, and that program's usual name.
pub(super) type Found = (ProgramKind, &'static str);

/// All of a row's words in a file make it that program.
const MARKERS: &[(&[&str], ProgramKind, &str)] = &[
    (&["BusyBox v", "applet not found"], ProgramKind::Other, "busybox"),
    (&["BASH_VERSINFO", "OPTIND"], ProgramKind::Shell, "bash"),
    (&["ZSH_VERSION", "OPTIND"], ProgramKind::Shell, "zsh"),
    (&["OPTIND", "PS4", "IFS", "PPID"], ProgramKind::Shell, "sh"),
    (&["PYTHONSTARTUP", "PYTHONPATH"], ProgramKind::Interpreter, "python"),
    (&["PERL5LIB", "PERL5DB"], ProgramKind::Interpreter, "perl"),
    (&["ruby_run_node"], ProgramKind::Interpreter, "ruby"),
    (&["LUA_INIT", "LUA_PATH"], ProgramKind::Interpreter, "lua"),
    (&["PHP_INI_SCAN_DIR"], ProgramKind::Interpreter, "php"),
    (&["NCAT_REMOTE_ADDR", "NCAT_LOCAL_PORT"], ProgramKind::Relay, "ncat"),
    (&["socat by Gerhard Rieger"], ProgramKind::Relay, "socat"),
];

/// One file, many programs: which one is the first argument's, or the second's after the file's own name.
pub(super) const MULTICALL: &[&str] = &["busybox", "toybox"];

/// Bytes of a file that are searched. Shells are one or two megabytes; a static interpreter may be more.
const SEARCH_MAX: u64 = 16 << 20;
const CHUNK: usize = 64 << 10;
const CACHE_MAX: usize = 256;

/// Looks into files, and remembers those that it had to search.
#[derive(Default)]
pub(super) struct Reader {
    searched: HashMap<Stamp, Option<Found>>,
}

impl Reader {
    /// Looks into the first of `places` that is a regular file, with this inode number if one is given. `None` if there is
    /// none, `Some(None)` if it is none of the known programs.
    pub(super) fn ask(
        &mut self,
        places: impl IntoIterator<Item = Vec<u8>>,
        inode: Option<u64>,
    ) -> Option<Option<Found>> {
        let file = places.into_iter().find_map(|place| open(&place, inode))?;
        Some(look(file, &mut self.searched))
    }
}

/// Opens a regular file. First without opening it for real (`O_PATH`): opening a FIFO waits, opening a device acts.
fn open(place: &[u8], inode: Option<u64>) -> Option<File> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let handle = File::from(rustix::fs::open(OsStr::from_bytes(place), flags, Mode::empty()).ok()?);
    let metadata = handle.metadata().ok()?;
    if !metadata.is_file() || inode.is_some_and(|inode| inode != metadata.ino()) {
        return None;
    }
    File::open(format!("/proc/self/fd/{}", handle.as_raw_fd())).ok()
}

fn look(file: File, searched: &mut HashMap<Stamp, Option<Found>>) -> Option<Found> {
    let now = SystemTime::now();
    let stamp = Stamp::of(&file.metadata().ok()?);
    if let Some(known) = searched.get(&stamp) {
        return *known;
    }
    let found = search(file);
    if stamp.is_settled(now) {
        if searched.len() >= CACHE_MAX {
            searched.clear();
        }
        searched.insert(stamp, found);
    }
    found
}

/// Whether the file at `path` is known by its content to be a shell (or a multi-call binary).
#[must_use]
pub fn recognises(path: &str) -> bool {
    let found = File::open(path).ok().and_then(search);
    found.is_some_and(|(kind, name)| kind == ProgramKind::Shell || MULTICALL.contains(&name))
}

/// All words of all markers, to be looked for in one pass.
struct Words {
    words: Vec<&'static str>,
    searcher: AhoCorasick,
}

static WORDS: LazyLock<Option<Words>> = LazyLock::new(|| {
    let words: Vec<&str> = MARKERS.iter().flat_map(|(words, ..)| *words).copied().collect();
    // Fails for patterns of gigabytes only.
    let searcher = AhoCorasick::new(&words).ok()?;
    Some(Words { words, searcher })
});

/// Looks for every marker, chunk by chunk with an overlap, so that neither a large file nor a marker across a border matters.
fn search(mut file: File) -> Option<Found> {
    let Words { words, searcher } = WORDS.as_ref()?;
    let overlap = words.iter().map(|word| word.len()).max().unwrap_or(0);
    let mut found = vec![false; words.len()];
    let mut buffer = vec![0; overlap + CHUNK];
    let mut kept = 0;
    let mut searched = 0;
    while searched < SEARCH_MAX {
        let read = file.read(&mut buffer[kept..]).ok()?;
        if read == 0 {
            break;
        }
        searched += read as u64;
        let filled = kept + read;
        for hit in searcher.find_overlapping_iter(&buffer[..filled]) {
            found[hit.pattern().as_usize()] = true;
        }
        kept = filled.min(overlap);
        buffer.copy_within(filled - kept..filled, 0);
    }
    let has = |word: &&str| words.iter().zip(&found).any(|(known, found)| known == word && *found);
    MARKERS
        .iter()
        .find(|(words, ..)| words.iter().all(has))
        .map(|(_, kind, name)| (*kind, *name))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, process::Command};

    use super::*;

    #[test]
    fn only_regular_files_with_the_right_number_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let mut reader = Reader::default();
        let place = |path: &std::path::Path| path.as_os_str().as_bytes().to_vec();
        // Opening it would wait for a writer for good.
        assert_eq!(reader.ask(vec![place(&fifo)], None), None);
        let shell = fs::canonicalize("/bin/sh").unwrap();
        let inode = fs::metadata(&shell).unwrap().ino();
        assert_eq!(reader.ask(vec![place(&shell)], Some(inode + 1)), None);
        let found = reader.ask(vec![place(&fifo), place(&shell)], Some(inode));
        assert_eq!(found.flatten().map(|(kind, _)| kind), Some(ProgramKind::Shell));
    }

    #[test]
    fn a_file_that_becomes_a_shell_is_seen_whatever_its_times_and_length_say() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("it");
        let shell = fs::read("/bin/sh").unwrap();
        let place = || vec![path.as_os_str().as_bytes().to_vec()];
        let mut reader = Reader::default();
        // Within one tick of the file system's clock and after it.
        for settled in [false, true] {
            fs::write(&path, vec![b'.'; shell.len()]).unwrap();
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            let stamp = Stamp::of(&fs::metadata(&path).unwrap());
            while settled && !stamp.is_settled(SystemTime::now()) {
                std::thread::yield_now();
            }
            assert_eq!(reader.ask(place(), None), Some(None));
            let mut file = File::options().write(true).open(&path).unwrap();
            file.write_all(&shell).unwrap();
            file.set_modified(modified).unwrap();
            let found = reader.ask(place(), None).flatten();
            assert_eq!(found.map(|(kind, _)| kind), Some(ProgramKind::Shell), "{settled}");
        }
        assert_eq!(reader.searched.len(), 1, "only what has settled is remembered");
    }
}
