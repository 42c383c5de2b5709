//! What is needed from the distribution: each package, the file that proves it is there, and why it is needed.

use std::path::Path;

/// A row of the tables below.
pub(super) struct Package {
    pub(super) name: &'static str,
    /// Any of these files proves that it is there, whichever package brought it: so only files that will do from any
    /// package. (busybox would not, see `busybox`.) `*` stands for one directory's name.
    pub(super) proof: &'static [&'static str],
    pub(super) why: &'static str,
}

/// A package that is to be installed.
pub(super) struct Needed {
    pub(super) name: String,
    pub(super) why: String,
}

impl From<&Package> for Needed {
    fn from(package: &Package) -> Self {
        Self {
            name: package.name.into(),
            why: package.why.into(),
        }
    }
}

/// What building bpf-linker takes, besides LLVM.
pub(super) const BUILD: &[Package] = &[
    Package {
        name: "build-essential",
        proof: &["/usr/bin/c++"],
        why: "a C compiler and linker, which Rust links programs with",
    },
    Package {
        name: "libzstd-dev",
        proof: &["/usr/lib/*/libzstd.so", "/usr/lib/libzstd.so", "/usr/lib64/libzstd.so"],
        why: "LLVM needs it; bpf-linker links LLVM",
    },
    Package {
        name: "zlib1g-dev",
        proof: &["/usr/lib/*/libz.so", "/usr/lib/libz.so", "/usr/lib64/libz.so"],
        why: "LLVM needs it; bpf-linker links LLVM",
    },
];

/// The distribution's compiler, for where no rustup toolchain will do.
pub(super) const COMPILER: &[Package] = &[
    Package {
        name: "rustc-web",
        proof: &[],
        why: "a Rust compiler whose library sources can be had here",
    },
    Package {
        name: "cargo-web",
        proof: &[],
        why: "the cargo that goes with it",
    },
    Package {
        name: "rust-web-src",
        proof: &[],
        why: "its library sources: `core` is built for the BPF target",
    },
];

/// What the end-to-end tests attack with, and what they prove the sensor to be quiet about.
pub(super) const TESTS: &[Package] = &[
    Package {
        name: "netcat-traditional",
        proof: &["/usr/bin/nc.traditional", "/bin/nc.traditional"],
        why: "nc -e",
    },
    Package {
        name: "ncat",
        proof: &["/usr/bin/ncat"],
        why: "ncat -e, which relays through pipes",
    },
    Package {
        name: "socat",
        proof: &["/usr/bin/socat"],
        why: "shells behind a socketpair or a pty",
    },
    Package {
        name: "netcat-openbsd",
        proof: &["/usr/bin/nc.openbsd", "/bin/nc.openbsd"],
        why: "nc without -e, which relays through a FIFO",
    },
    Package {
        name: "telnet",
        proof: &["/usr/bin/telnet"],
        why: "telnet as a relay",
    },
    Package {
        name: "openssl",
        proof: &["/usr/bin/openssl"],
        why: "a relay that encrypts",
    },
    Package {
        name: "zsh",
        proof: &["/usr/bin/zsh", "/bin/zsh"],
        why: "a shell with sockets of its own (ztcp)",
    },
    Package {
        name: "php-cli",
        proof: &["/usr/bin/php"],
        why: "a PHP reverse shell",
    },
    Package {
        name: "ruby",
        proof: &["/usr/bin/ruby"],
        why: "a Ruby reverse shell",
    },
    Package {
        name: "perl",
        proof: &["/usr/bin/perl"],
        why: "a Perl reverse shell",
    },
    Package {
        name: "python3",
        proof: &["/usr/bin/python3"],
        why: "a Python reverse shell, and the parser of findings",
    },
    Package {
        name: "python3-venv",
        proof: &["/usr/lib/*/ensurepip/__main__.py", "/usr/lib64/*/ensurepip/__main__.py"],
        why: "a place of its own for the parser of findings",
    },
    Package {
        name: "libio-pty-perl",
        proof: &["/usr/lib/x86_64-linux-gnu/perl5/*/IO/Pty.pm"],
        why: "a Perl shell on a terminal of its own",
    },
    Package {
        name: "nodejs",
        proof: &["/usr/bin/node"],
        why: "shells behind the pipes of Node.js",
    },
    Package {
        name: "default-jdk-headless",
        proof: &["/usr/bin/javac"],
        why: "shells behind the pipes of Java (a runtime alone runs no source files)",
    },
    Package {
        name: "tcl",
        proof: &["/usr/bin/tclsh"],
        why: "shells behind the pipes of Tcl",
    },
    Package {
        name: "expect",
        proof: &["/usr/bin/expect"],
        why: "shells on the terminals of Expect",
    },
    Package {
        name: "lua-socket",
        proof: &["/usr/share/lua/5.4/socket.lua"],
        why: "connections of Lua",
    },
    Package {
        name: "lua5.4",
        proof: &["/usr/bin/lua5.4"],
        why: "commands run by Lua",
    },
    Package {
        name: "gawk",
        proof: &["/usr/bin/gawk"],
        why: "commands run by awk, which has connections of its own",
    },
    Package {
        name: "bsdutils",
        proof: &["/usr/bin/script"],
        why: "a terminal for a shell that has none",
    },
    Package {
        name: "gcc",
        proof: &["/usr/bin/gcc"],
        why: "attackers written in C",
    },
    Package {
        name: "golang-go",
        proof: &["/usr/bin/go"],
        why: "a static attacker written in Go",
    },
    Package {
        name: "openssh-server",
        proof: &["/usr/sbin/sshd"],
        why: "real logins that must raise nothing (Debian also starts its ssh service)",
    },
    Package {
        name: "openssh-client",
        proof: &["/usr/bin/ssh"],
        why: "the other end of those logins",
    },
    Package {
        name: "git",
        proof: &["/usr/bin/git"],
        why: "clones over ssh and http that must raise nothing",
    },
    Package {
        name: "curl",
        proof: &["/usr/bin/curl"],
        why: "an HTTP client that must raise nothing",
    },
    Package {
        name: "make",
        proof: &["/usr/bin/make"],
        why: "a build that must raise nothing",
    },
    Package {
        name: "iproute2",
        proof: &["/sbin/ip", "/usr/sbin/ip", "/usr/bin/ip"],
        why: "network namespaces",
    },
    Package {
        name: "redis-tools",
        proof: &["/usr/bin/redis-check-rdb"],
        why: "a database that programs keep connections to (its server is the same file)",
    },
    Package {
        name: "rsync",
        proof: &["/usr/bin/rsync"],
        why: "copies over ssh that must raise nothing",
    },
    Package {
        name: "systemd",
        proof: &["/usr/bin/systemd-socket-activate"],
        why: "services that are started for a connection, and a journal that findings go to",
    },
    Package {
        name: "rsyslog",
        proof: &["/usr/sbin/rsyslogd"],
        why: "a collector of findings over syslog (Debian also starts its service)",
    },
    Package {
        name: "ucspi-tcp",
        proof: &["/usr/bin/tcpserver"],
        why: "an inetd without a service of its own",
    },
    Package {
        name: "php-cgi",
        proof: &["/usr/bin/php-cgi"],
        why: "FastCGI",
    },
    Package {
        name: "wget",
        proof: &["/usr/bin/wget"],
        why: "downloads that must raise nothing",
    },
    Package {
        name: "tmux",
        proof: &["/usr/bin/tmux"],
        why: "terminals that must raise nothing",
    },
    Package {
        name: "screen",
        proof: &["/usr/bin/screen"],
        why: "terminals that must raise nothing",
    },
    Package {
        name: "runc",
        proof: &["/usr/sbin/runc"],
        why: "containers that are entered",
    },
    Package {
        name: "chromium-driver",
        proof: &["/usr/bin/chromedriver"],
        why: "the browser in which the page of a finding is looked at",
    },
    Package {
        name: "podman",
        proof: &["/usr/bin/podman"],
        why: "containers that are taken over (they are run by runc)",
    },
    Package {
        name: "dropbear-bin",
        proof: &["/usr/sbin/dropbear"],
        why: "another ssh server",
    },
    Package {
        name: "npm",
        proof: &["/usr/bin/npm"],
        why: "an installation that must raise nothing",
    },
];

/// The rows of `table` that nothing proves.
pub(super) fn missing(table: &[Package]) -> Vec<Needed> {
    table
        .iter()
        .filter(|package| !package.proof.iter().any(|path| exists(path)))
        .map(Needed::from)
        .collect()
}

/// The package with the headers and libraries of an LLVM.
pub(super) fn llvm(major: u32) -> String {
    format!("llvm-{major}-dev")
}

/// The same as a row.
pub(super) fn llvm_needed(major: u32) -> Needed {
    Needed {
        name: llvm(major),
        why: format!("bpf-linker has to use the compiler's LLVM, which is {major}"),
    }
}

fn exists(pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once("/*/") else {
        return Path::new(pattern).exists();
    };
    let entries = Path::new(before).read_dir().into_iter().flatten();
    entries
        .filter_map(Result::ok)
        .any(|entry| entry.path().join(after).exists())
}

#[cfg(test)]
mod tests {
    use super::exists;

    #[test]
    fn a_star_stands_for_one_directory() {
        assert!(exists("/proc/*/status"));
        assert!(exists("/proc/self/status"));
        assert!(!exists("/proc/*/no such file"));
        assert!(!exists("/no such directory/*/status"));
    }
}
