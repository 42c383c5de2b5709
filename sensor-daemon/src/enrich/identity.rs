//! What a program is: by the name of its file, and, where the name tells nothing, by the file itself.
//!
//! A POSIX shell has to know the variables OPTIND, PS4, IFS and PPID by name, so a file that holds all four is a shell,
//! whatever it is called: a copy, another build, a static one. Interpreters give themselves away likewise.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::Read as _,
    iter,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
};

use memchr::memmem;

use crate::model::{Exec, Program, ProgramKind, Text};

const SHELLS: &[&str] = &[
    "sh", "bash", "rbash", "dash", "ash", "hush", "zsh", "rzsh", "ksh", "ksh93", "rksh", "mksh", "lksh", "pdksh",
    "oksh", "yash", "posh", "fish", "csh", "tcsh", "rc", "es", "elvish", "nu", "xonsh", "pwsh", "sash", "ion", "oil",
    "osh", "ysh",
];

/// Names with a version behind them (`python3.11`, `lua5.4`) count as well.
const INTERPRETERS: &[&str] = &[
    "python", "pypy", "ipython", "perl", "ruby", "irb", "php", "lua", "luajit", "node", "nodejs", "bun", "deno",
    "tclsh", "wish", "expect", "jimsh", "guile", "racket", "julia", "groovy", "jshell", "erl", "iex", "ghci", "octave",
    "awk", "gawk", "mawk", "nawk", "sbcl",
];

/// One file, many programs: which one is the first argument's, or the second's after the file's own name.
const MULTICALL: &[&str] = &["busybox", "toybox"];

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
];

/// Bytes of a file that are searched. Shells are one or two megabytes; a static interpreter may be more.
const SEARCH_MAX: u64 = 16 << 20;
const CHUNK: usize = 64 << 10;
const CACHE_MAX: usize = 256;

/// A file as it was when it was searched.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FileKey {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// Tells programs apart, and remembers the files that it had to search.
#[derive(Default)]
pub struct Identities {
    searched: HashMap<FileKey, Option<(ProgramKind, &'static str)>>,
}

impl Identities {
    /// What a program that was just executed is.
    pub fn of_exec(&mut self, exec: &Exec) -> Program {
        let Exec {
            process,
            comm,
            executable,
            argv,
            ..
        } = exec;
        if executable.memfd {
            // A file that never was on disk, run with a socket for its streams: nothing to read, nothing to trust.
            let name = executable.path.as_ref().map_or(&b"memfd"[..], Text::file_name);
            return Program {
                kind: ProgramKind::Shell,
                name: String::from_utf8_lossy(name).into_owned(),
            };
        }
        self.identify(executable.path.as_ref(), comm, argv, || {
            // Through the process, so that its own mount namespace, a deleted file and a replaced one make no difference.
            // A program that is gone already was started from the same file system as its parent, as a rule; the inode
            // number tells whether a file is the one that was executed.
            let path = executable.path.as_ref().map(Text::as_bytes).unwrap_or_default();
            let parent = exec.parent().map(|parent| parent.process.pid);
            iter::once(format!("/proc/{}/exe", process.pid).into_bytes())
                .chain(parent.map(|pid| [format!("/proc/{pid}/root").as_bytes(), path].concat()))
                .chain(iter::once(path.to_vec()))
                .filter_map(|path| File::open(OsStr::from_bytes(&path)).ok())
                .find(|file| file.metadata().is_ok_and(|metadata| metadata.ino() == executable.inode))
        })
    }

    /// What a live process runs, by its path (by its short name, if there is none).
    pub fn of_process(&mut self, pid: u32, path: Option<&Text>, comm: &Text, argv: &[Text]) -> Program {
        self.identify(path, comm, argv, || File::open(format!("/proc/{pid}/exe")).ok())
    }

    fn identify(
        &mut self,
        path: Option<&Text>,
        comm: &Text,
        argv: &[Text],
        file: impl FnOnce() -> Option<File>,
    ) -> Program {
        let name = String::from_utf8_lossy(path.map_or(comm.as_bytes(), Text::file_name)).into_owned();
        if let Some(program) = by_name(&name, argv) {
            return program;
        }
        match file().and_then(|file| self.by_content(file)) {
            Some((_, multicall)) if MULTICALL.contains(&multicall) => applet(argv).unwrap_or(Program {
                kind: ProgramKind::Other,
                name,
            }),
            Some((kind, canonical)) => Program {
                kind,
                name: canonical.to_owned(),
            },
            None => Program {
                kind: ProgramKind::Other,
                name,
            },
        }
    }

    fn by_content(&mut self, file: File) -> Option<(ProgramKind, &'static str)> {
        let metadata = file.metadata().ok()?;
        let key = FileKey {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        if let Some(known) = self.searched.get(&key) {
            return *known;
        }
        if self.searched.len() >= CACHE_MAX {
            self.searched.clear();
        }
        let found = search(file);
        self.searched.insert(key, found);
        found
    }
}

fn by_name(name: &str, argv: &[Text]) -> Option<Program> {
    if MULTICALL
        .iter()
        .any(|multicall| name == *multicall || name.strip_suffix("-static") == Some(multicall))
    {
        return applet(argv).or_else(|| {
            Some(Program {
                kind: ProgramKind::Other,
                name: name.to_owned(),
            })
        });
    }
    let unversioned = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    let kind = if SHELLS.contains(&name) || SHELLS.contains(&unversioned) {
        ProgramKind::Shell
    } else if INTERPRETERS.contains(&unversioned) {
        ProgramKind::Interpreter
    } else {
        return None;
    };
    Some(Program {
        kind,
        name: name.to_owned(),
    })
}

/// The applet of a multi-call binary: its own name in `argv[0]`, or the argument after it.
fn applet(argv: &[Text]) -> Option<Program> {
    let name = |text: &Text| {
        String::from_utf8_lossy(text.file_name())
            .trim_start_matches('-')
            .to_owned()
    };
    let is_shell = |name: &str| SHELLS.contains(&name);
    let mut names = argv.iter().take(2).map(name);
    let (first, second) = (names.next()?, names.next());
    // A renamed copy's own name says nothing; the applet's name is then in the next argument.
    let applet = if is_shell(&first) { first } else { second? };
    let kind = if is_shell(&applet) {
        ProgramKind::Shell
    } else {
        ProgramKind::Other
    };
    Some(Program { kind, name: applet })
}

/// Whether the file at `path` is known by its content to be a shell (or a multi-call binary).
#[must_use]
pub fn recognises(path: &str) -> bool {
    let found = File::open(path).ok().and_then(search);
    found.is_some_and(|(kind, name)| kind == ProgramKind::Shell || MULTICALL.contains(&name))
}

/// Looks for every marker, chunk by chunk with an overlap, so that neither a large file nor a marker across a border matters.
fn search(mut file: File) -> Option<(ProgramKind, &'static str)> {
    let words: Vec<_> = MARKERS.iter().flat_map(|(words, ..)| *words).collect();
    let finders: Vec<_> = words.iter().map(|word| memmem::Finder::new(word.as_bytes())).collect();
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
        for (finder, found) in finders.iter().zip(&mut found) {
            *found = *found || finder.find(&buffer[..filled]).is_some();
        }
        kept = filled.min(overlap);
        buffer.copy_within(filled - kept..filled, 0);
    }
    let has = |word: &&str| words.iter().zip(&found).any(|(known, found)| *known == word && *found);
    MARKERS
        .iter()
        .find(|(words, ..)| words.iter().all(has))
        .map(|(_, kind, name)| (*kind, *name))
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    fn kind(name: &str, argv: &[&str]) -> Option<(ProgramKind, String)> {
        let argv: Vec<Text> = argv.iter().map(|arg| Text::from(*arg)).collect();
        by_name(name, &argv).map(|program| (program.kind, program.name))
    }

    #[test]
    fn names_with_and_without_versions() {
        use ProgramKind::{Interpreter, Shell};
        for (name, expected) in [
            ("bash", Some(Shell)),
            ("dash", Some(Shell)),
            ("ksh93", Some(Shell)),
            ("zsh-5.9", Some(Shell)),
            ("python3.11", Some(Interpreter)),
            ("perl5.36.0", Some(Interpreter)),
            ("lua5.4", Some(Interpreter)),
            ("cat", None),
            ("bashful", None),
            ("sshd", None),
            ("", None),
        ] {
            assert_eq!(kind(name, &[]).map(|(kind, _)| kind), expected, "{name}");
        }
    }

    #[test]
    fn applets_decide_what_a_multicall_binary_is() {
        use ProgramKind::{Other, Shell};
        for (argv, expected) in [
            (&["sh", "-i"][..], (Shell, "sh")),
            (&["busybox", "sh"], (Shell, "sh")),
            (&["/bin/busybox", "ash", "-c", "x"], (Shell, "ash")),
            (&["-sh"], (Shell, "sh")),
            (&["busybox", "cat"], (Other, "cat")),
            (&["busybox", "nc", "sh"], (Other, "nc")),
            (&["busybox"], (Other, "busybox")),
        ] {
            let (kind, name) = kind("busybox", argv).unwrap();
            assert_eq!((kind, name.as_str()), expected, "{argv:?}");
        }
    }

    /// Runs `/bin/sleep`-like commands from a copy under another name and asks what they are.
    fn identity_of_copy(original: &str, arguments: &[&str]) -> Program {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("kworker");
        fs::copy(original, &copy).unwrap();
        let mut child = Command::new(&copy)
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let path = Text::from(copy.to_str().unwrap());
        let argv: Vec<Text> = [copy.to_str().unwrap()]
            .iter()
            .chain(arguments)
            .map(|arg| Text::from(*arg))
            .collect();
        let program = Identities::default().of_process(child.id(), Some(&path), &"kworker".into(), &argv);
        child.kill().unwrap();
        child.wait().unwrap();
        program
    }

    #[test]
    fn a_renamed_shell_is_a_shell_and_a_renamed_cat_is_not() {
        assert_eq!(identity_of_copy("/bin/bash", &[]).name, "bash");
        assert_eq!(identity_of_copy("/bin/dash", &[]).kind, ProgramKind::Shell);
        assert_eq!(identity_of_copy("/usr/bin/perl", &[]).kind, ProgramKind::Interpreter);
        assert_eq!(
            identity_of_copy("/bin/cat", &[]),
            Program {
                kind: ProgramKind::Other,
                name: "kworker".into()
            }
        );
    }
}
