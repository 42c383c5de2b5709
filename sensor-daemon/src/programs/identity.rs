//! What a program is: by the name of its file, and, where the name tells nothing, by the file itself, which `content`
//! looks into.

use std::iter;

use super::content::{Found, MULTICALL, Reader};
use crate::model::{Exec, Program, ProgramKind, Text};

const SHELLS: &[&str] = &[
    "sh", "bash", "rbash", "dash", "ash", "hush", "zsh", "rzsh", "ksh", "ksh93", "rksh", "mksh", "lksh", "pdksh",
    "oksh", "yash", "posh", "fish", "csh", "tcsh", "rc", "es", "elvish", "nu", "xonsh", "pwsh", "sash", "ion", "oil",
    "osh", "ysh",
];

/// Those that a look into the file recognises for sure.
const POSIX_SHELLS: &[&str] = &[
    "sh", "bash", "rbash", "dash", "ash", "zsh", "rzsh", "ksh", "ksh93", "rksh", "mksh", "lksh",
];

/// Names with a version behind them (`python3.11`, `lua5.4`) count as well.
const INTERPRETERS: &[&str] = &[
    "python", "pypy", "ipython", "perl", "ruby", "irb", "php", "lua", "luajit", "node", "nodejs", "bun", "deno",
    "tclsh", "wish", "expect", "jimsh", "guile", "racket", "julia", "groovy", "jshell", "erl", "iex", "ghci", "octave",
    "awk", "gawk", "mawk", "nawk", "sbcl",
];

/// Programs made to carry bytes between their input and output and a network.
const RELAYS: &[&str] = &[
    "nc",
    "ncat",
    "netcat",
    "nc.openbsd",
    "nc.traditional",
    "socat",
    "socat1",
    "telnet",
    "telnet.netkit",
    "inetutils-telnet",
    "openssl",
    "curl",
    "cryptcat",
    "sbd",
    "dbd",
    "rcat",
    "rustcat",
    "websocat",
    "stunnel",
    "stunnel4",
    "gs-netcat",
    "ncat.openssl",
];

/// Tells programs apart.
#[derive(Default)]
pub struct Identities {
    reader: Reader,
}

impl Identities {
    /// What a program that was just executed is, and whether its file is many programs.
    pub fn of_exec(&mut self, exec: &Exec) -> (Program, bool) {
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
            let program = Program {
                kind: ProgramKind::Shell,
                name: String::from_utf8_lossy(name).into_owned(),
            };
            return (program, false);
        }
        self.identify(executable.path.as_ref(), comm, argv, |reader| {
            // Through the process, so that its own mount namespace, a deleted file and a replaced one make no difference.
            // A program that is gone already was started from the same file system as its parent, as a rule; the inode
            // number tells whether a file is the one that was executed.
            let path = executable.path.as_ref().map(Text::as_bytes).unwrap_or_default();
            let parent = exec.parent().map(|parent| parent.process.pid);
            let places = iter::once(format!("/proc/{}/exe", process.pid).into_bytes())
                .chain(parent.map(|pid| [format!("/proc/{pid}/root").as_bytes(), path].concat()))
                .chain(iter::once(path.to_vec()));
            reader.ask(places, Some(executable.inode))
        })
    }

    /// What a live process runs, by its path (by its short name, if there is none).
    pub fn of_process(&mut self, pid: u32, path: Option<&Text>, comm: &Text, argv: &[Text]) -> Program {
        self.identify(path, comm, argv, |reader| {
            reader.ask([format!("/proc/{pid}/exe").into_bytes()], None)
        })
        .0
    }

    /// What its name says it runs, without a look into its file.
    #[must_use]
    pub fn by_name(path: Option<&Text>, comm: &Text, argv: &[Text]) -> Program {
        let name = String::from_utf8_lossy(path.map_or(comm.as_bytes(), Text::file_name)).into_owned();
        by_name(&name, argv).unwrap_or(Program {
            kind: ProgramKind::Other,
            name,
        })
    }

    fn identify(
        &mut self,
        path: Option<&Text>,
        comm: &Text,
        argv: &[Text],
        content: impl FnOnce(&mut Reader) -> Option<Option<Found>>,
    ) -> (Program, bool) {
        let name = String::from_utf8_lossy(path.map_or(comm.as_bytes(), Text::file_name)).into_owned();
        let other = |name| Program {
            kind: ProgramKind::Other,
            name,
        };
        if let Some(program) = by_name(&name, argv) {
            // Where programs are installed, a name is what it says. Elsewhere anything may be called `sh`.
            let claims = POSIX_SHELLS.contains(&name.as_str()) && !path.is_some_and(is_installed);
            if claims && content(&mut self.reader) == Some(None) {
                return (other(name), false);
            }
            return (program, is_multicall(&name));
        }
        match content(&mut self.reader).flatten() {
            Some((_, multicall)) if MULTICALL.contains(&multicall) => {
                (applet(argv).unwrap_or_else(|| other(name)), true)
            }
            Some((kind, canonical)) => {
                let name = canonical.to_owned();
                (Program { kind, name }, false)
            }
            None => (other(name), false),
        }
    }
}

/// Whether a file lies where the system's programs are installed.
fn is_installed(path: &Text) -> bool {
    let directories: [&[u8]; 6] = [
        b"/bin/",
        b"/sbin/",
        b"/usr/bin/",
        b"/usr/sbin/",
        b"/usr/local/bin/",
        b"/nix/store/",
    ];
    directories
        .iter()
        .any(|directory| path.as_bytes().starts_with(directory))
}

fn is_multicall(name: &str) -> bool {
    MULTICALL
        .iter()
        .any(|multicall| name == *multicall || name.strip_suffix("-static") == Some(multicall))
}

fn by_name(name: &str, argv: &[Text]) -> Option<Program> {
    if is_multicall(name) {
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
    } else if RELAYS.contains(&name) {
        ProgramKind::Relay
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
    } else if RELAYS.contains(&applet.as_str()) {
        ProgramKind::Relay
    } else {
        ProgramKind::Other
    };
    Some(Program { kind, name: applet })
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
        use ProgramKind::{Other, Relay, Shell};
        for (argv, expected) in [
            (&["sh", "-i"][..], (Shell, "sh")),
            (&["busybox", "sh"], (Shell, "sh")),
            (&["/bin/busybox", "ash", "-c", "x"], (Shell, "ash")),
            (&["-sh"], (Shell, "sh")),
            (&["busybox", "cat"], (Other, "cat")),
            (&["busybox", "nc", "sh"], (Relay, "nc")),
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
    fn what_is_called_sh_and_is_no_shell_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let identify = |original: &str| {
            let copy = directory.path().join("sh");
            fs::copy(original, &copy).unwrap();
            let mut child = Command::new(&copy).stdin(std::process::Stdio::piped()).spawn().unwrap();
            let path = Text::from(copy.to_str().unwrap());
            let program = Identities::default().of_process(child.id(), Some(&path), &"sh".into(), &["sh".into()]);
            child.kill().unwrap();
            child.wait().unwrap();
            program.kind
        };
        assert_eq!(identify("/bin/cat"), ProgramKind::Other);
        assert_eq!(identify("/bin/dash"), ProgramKind::Shell);
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
