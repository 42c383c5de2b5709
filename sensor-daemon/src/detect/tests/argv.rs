use sensor_common::first_argument::LOOK;

use super::build::Build;
use crate::{
    detect::{argv::reads_commands, dialect, program_file, wire},
    model::{ProgramKind, Text},
};

fn reads(line: &str) -> bool {
    reads_commands(&Build::new(1, line).0)
}

#[test]
fn lines_that_read_commands_from_input() {
    for line in [
        "sh",
        "-sh",
        "bash -i",
        "/usr/bin/bash --norc -i",
        "bash --rcfile /tmp/rc",
        "bash --init-file /tmp/rc -i",
        "bash --login --noprofile",
        "bash -o pipefail",
        "bash -eo pipefail",
        "bash +o history -i",
        "bash +O extglob",
        "bash -O extglob -i",
        "bash -s",
        "bash -s script.sh argument",
        "sh -is argument",
        "bash --",
        "bash -",
        "bash -li",
        "sh /dev/stdin",
        "bash /proc/self/fd/0",
        "zsh -opipefail",
        "zsh -io pipefail",
        "zsh --emulate sh",
        "zsh -f +x",
        "ksh -i",
        "tcsh -f",
        "fish -C date",
        "fish --init-command date -i",
        "busybox sh",
        "busybox sh -i",
        "busybox busybox ash -i",
        "python3",
        "python3 -",
        "python3.11 -u -i",
        "python3 -i script.py",
        "python3 -ic pass",
        "python3 -W ignore -X utf8",
        "python3 -Wignore",
        "python /dev/stdin",
        "perl",
        "perl -w -",
        "perl -d -e 1",
        "perl -I lib -Mstrict",
        "ruby",
        "ruby -r socket -",
        "ruby --encoding utf-8",
        "php",
        "php -a",
        "php -d memory_limit=1 -c /etc/php.ini",
        "php -- argument",
        "php -f /dev/stdin",
        "lua",
        "lua5.3 -i",
        "lua -e x=1 -i script.lua",
        "lua -l socket -",
        "node",
        "node -i",
        "node -r module -",
        "node --require module",
        "node --input-type=module -",
        "tclsh",
        "expect -",
        "expect -f -",
        "deno",
        "deno repl",
        "deno run -A -",
        "awk -f -",
        "gawk -f/dev/stdin",
        "pwsh",
        "pwsh -NoProfile -Command -",
        "pwsh -ExecutionPolicy Bypass -",
        "erl",
        "irb -r socket",
        "irb -rsocket",
        "iex -e x",
        "ipython -i script.py",
        "julia -i script.jl",
    ] {
        assert!(reads(line), "{line}");
    }
}

#[test]
fn lines_with_a_program_of_their_own() {
    for line in [
        "sh -c id",
        "bash -ic id",
        "bash -ci id",
        "bash -i -c id",
        "bash -xc id",
        "bash -cs id",
        "bash --norc -c id",
        "bash -o pipefail -c id",
        "bash -eo pipefail script.sh",
        "bash -euxo pipefail -c id",
        "bash --rcfile rc script.sh",
        "bash script.sh",
        "bash -i script.sh",
        "bash -x script.sh -s",
        "bash -- script.sh",
        "bash - script.sh",
        "bash --version",
        "bash +x script.sh",
        "bash -O extglob script.sh",
        "zsh -opipefail script.zsh",
        "zsh -o pipefail script.zsh",
        "ksh -o vi script.ksh",
        "tcsh -c id",
        "fish -c id",
        "fish --command id",
        "fish --command=id",
        "fish -C date script.fish",
        "busybox sh -c id",
        "busybox sh script.sh",
        "busybox busybox ash script.sh",
        "python3 -c pass",
        "python3 -cpass",
        "python3 -m http.server",
        "python3 -um http.server",
        "python3 -c pass -i",
        "python3 -m pdb -i",
        "python3 script.py -i",
        "python3.11 -W ignore script.py",
        "python3 -Wignore script.py",
        "python3 --check-hash-based-pycs always script.py",
        "python3 -- script.py",
        "perl -e 1",
        "perl -we 1",
        "perl -ne print",
        "perl -MIO::Socket -e 1",
        "perl -d:NYTProf script.pl",
        "perl -I lib script.pl",
        "perl script.pl",
        "ruby -e 1",
        "ruby -rsocket -e 1",
        "ruby -r socket script.rb",
        "php -r 1;",
        "php script.php",
        "php -f script.php",
        "php --file=script.php",
        "php -S 0.0.0.0:80",
        "php-cgi",
        "php-cgi8.2",
        "lua -e x=1",
        "lua script.lua",
        "lua -l socket script.lua",
        "node -e 1",
        "node -pe 1",
        "node --eval 1",
        "node --eval=1",
        "node --require module server.js",
        "node --max-old-space-size=100 server.js",
        "node server.js",
        "tclsh script.tcl",
        "expect -c spawn",
        "expect script.exp",
        "deno eval 1",
        "deno run script.ts",
        "awk {print}",
        "gawk -F : {print}",
        "awk -f script.awk",
        "pwsh -NoProfile -Command id",
        "pwsh -enc AAAA",
        "pwsh script.ps1",
        "erl -eval halt().",
        "irb script.rb",
        "julia -e 1",
        "julia script.jl",
        // Not an interpreter at all.
        "cat",
        "id",
    ] {
        assert!(!reads(line), "{line}");
    }
}

#[test]
fn the_text_of_a_shell_is_found_behind_every_spelling_of_options() {
    for line in [
        "sh -c TEXT",
        "bash --norc -c TEXT",
        "bash --noprofile --norc -c TEXT",
        "bash --rcfile /tmp/rc -c TEXT",
        "bash --init-file /tmp/rc -ic TEXT",
        "bash -O extglob -c TEXT",
        "bash +O extglob -c TEXT",
        "bash -o pipefail -c TEXT",
        "bash -eo pipefail -c TEXT",
        "bash +o history -lc TEXT",
        "bash -lc TEXT",
        "bash -ic TEXT name argument",
        "bash -c -- TEXT",
        "bash -c -x TEXT",
        "bash -xc - TEXT",
        "dash -ec TEXT",
        "dash -o errexit -c TEXT",
        "zsh -o pipefail -c TEXT",
        "zsh -opipefail -fc TEXT",
        "zsh --emulate sh -c TEXT",
        "busybox sh -c TEXT",
        "busybox ash -lc TEXT",
        "python3 -u -c TEXT",
        "python3 -cTEXT",
        "pwsh -NoProfile -c TEXT",
    ] {
        let exec = Build::new(1, line).0;
        assert_eq!(wire::texts(&exec), ["TEXT".into()], "{line}");
    }
    for line in ["bash --norc script", "bash -x script -c TEXT", "/bin/id -c"] {
        let texts = wire::texts(&Build::new(1, line).0);
        assert_eq!(texts[0].to_text(), line);
    }
}

#[test]
fn a_script_is_a_program_of_its_own() {
    let mut build = Build::new(1, "sh /srv/cgi-bin/status");
    build.0.script = Some("/srv/cgi-bin/status".into());
    assert!(!reads_commands(&build.0));
    build.0.argv = vec![];
    assert!(!reads_commands(&build.0));
}

#[test]
fn arguments_that_tell_nothing_are_taken_for_none() {
    let mut build = Build::new(1, "bash");
    build.0.argv = vec![];
    assert!(reads_commands(&build.0), "no arguments at all");
    build.0.argv = vec!["bash".into(), "--rcfile".into()];
    build.0.argv_truncated = true;
    assert!(reads_commands(&build.0), "cut off before the script");
    build.0.argv = vec!["bash".into(), "-c".into()];
    assert!(!reads_commands(&build.0), "cut off, but -c is there");
    build.0.argv = vec!["".into(), Text::from(&b"\xff\xfe"[..])];
    assert!(!reads_commands(&build.0), "an operand of odd bytes is an operand");
}

#[test]
fn a_renamed_busybox_is_told_by_its_applet() {
    assert!(reads_commands(&Build::new(1, "./bb sh -i").program("sh").0));
    assert!(!reads_commands(&Build::new(1, "./bb sh -c id").program("sh").0));
    assert!(reads_commands(&Build::new(1, "busybox.static ash").program("sh").0));
    assert!(reads_commands(&Build::new(1, "toybox sh").program("sh").0));
    // A renamed bash is not one.
    assert!(reads_commands(&Build::new(1, "kworker -i").program("bash").0));
    assert!(!reads_commands(&Build::new(1, "kworker script").program("bash").0));
}

#[test]
fn a_shell_of_unknown_make_is_read_like_bash() {
    let mut build = Build::new(1, "x");
    build.0.program.kind = ProgramKind::Shell;
    build.0.executable.memfd = true;
    assert!(reads_commands(&build.0));
    build.0.argv.push("-c".into());
    assert!(!reads_commands(&build.0));
}

/// Whether the kernel side passes this exec on, as the program that its first word names.
fn passes(line: &str, multicall: bool) -> bool {
    let exec = Build::new(1, line).0;
    let mut bytes: Vec<u8> = line.split(' ').flat_map(|word| word.bytes().chain([0])).collect();
    let length = bytes.len();
    bytes.resize(LOOK.max(length), b'-');
    program_file(&exec.program, multicall).may_read_commands(length.min(LOOK), |index| bytes[index % LOOK])
}

#[test]
fn the_kernel_side_drops_nothing_that_reads_commands() {
    let options = (b'a'..=b'z')
        .chain(b'A'..=b'Z')
        .map(|letter| format!("-{}", char::from(letter)));
    let first: Vec<String> = options
        .chain(
            [
                "-",
                "--",
                "+x",
                "-ic",
                "--eval",
                "--file",
                "script",
                "/srv/script",
                "/dev/stdin",
                "repl",
                "run",
            ]
            .map(Into::into),
        )
        .chain(["/proc/self/fd/0", "/dev/fd/0", "/proc/thread-self/fd/0"].map(Into::into))
        .collect();
    let rest = [
        "",
        " x",
        " -",
        " x -i",
        " x -d",
        " x -a",
        " x -s",
        " x -f -",
        " x --interactive",
        " x --file -",
        " x /dev/stdin",
    ];
    let names = dialect::names().chain(["pwsh", "powershell", "scheme"]);
    let mut dropped = 0;
    for name in names {
        for line in first
            .iter()
            .flat_map(|first| rest.map(|rest| format!("{name} {first}{rest}")))
        {
            if !passes(&line, false) {
                dropped += 1;
                assert!(!reads(&line), "{line}");
            }
        }
    }
    assert!(dropped > 1000, "{dropped}");
}

#[test]
fn the_kernel_side_drops_what_is_executed_by_the_thousand() {
    for line in [
        "sh -c make",
        "bash script.sh",
        "sh /srv/script",
        "dash -c true",
        "python3 -c pass",
        "python3 -m pip",
        "perl script.pl",
    ] {
        assert!(!passes(line, false), "{line}");
    }
    assert!(!passes("sh -c true", true));
    for line in [
        "ruby -r json",
        "php -c .",
        "node -r fs",
        "deno repl",
        "perl -e 1 -d",
        "sh",
        "sh -",
        "bash -i",
        "python3",
    ] {
        assert!(passes(line, false), "{line}");
        assert!(line.starts_with("sh -") || reads(line), "{line}");
    }
    assert!(passes("busybox sh", true));
    let long = "x".repeat(LOOK);
    assert!(passes(&format!("/{long}/sh -c true"), false));
}
