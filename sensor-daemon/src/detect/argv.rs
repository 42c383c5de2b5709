//! Whether a shell or interpreter reads its commands from standard input, or was given a program of its own. Decides by
//! the argument list alone, as the program itself would read it. [`super::rule`] asks.

use crate::model::{Exec, ProgramKind, Text};

use super::dialect::{self, Dialect};

/// Whether the program executes what it reads from standard input.
///
/// Where the arguments don't tell (none at all, or cut off before anything decisive), it is taken to.
pub(super) fn reads_commands(exec: &Exec) -> bool {
    read(exec).is_some_and(|reading| reading.reads_commands)
}

/// The text that a shell was told to run: `id` of `bash --norc -lc id`.
pub(super) fn program_text(exec: &Exec) -> Option<&[u8]> {
    read(exec)?.text
}

/// What the arguments of a shell or interpreter tell.
struct Reading<'a> {
    /// It executes what it reads from standard input.
    reads_commands: bool,
    /// The program text, where `-c` brings one.
    text: Option<&'a [u8]>,
}

fn read(exec: &Exec) -> Option<Reading<'_>> {
    if !exec.program.executes_text() || exec.script.is_some() {
        return None;
    }
    let shell = exec.program.kind == ProgramKind::Shell;
    let arguments = operands_of_program(exec, shell);
    let name = &exec.program.name;
    Some(if dialect::is_powershell(name) {
        read_powershell(arguments)
    } else {
        walk(arguments, &dialect::of(name, shell))
    })
}

/// The arguments after the program's own name; a busybox applet's name may be the second (`busybox sh -i`).
fn operands_of_program(exec: &Exec, shell: bool) -> &[Text] {
    let Some((own, mut rest)) = exec.argv.split_first() else {
        return &[];
    };
    let applet = exec.program.name.as_bytes();
    if own.file_name().starts_with(b"busybox") {
        while let Some((first, after)) = rest.split_first()
            && !first.as_bytes().starts_with(b"-")
        {
            rest = after;
            if first.file_name() != b"busybox" {
                break;
            }
        }
    } else if shell && own.file_name() != applet && rest.first().is_some_and(|first| first.as_bytes() == applet) {
        // A renamed busybox: the name that the file gives itself is the applet's.
        rest = &rest[1..];
    }
    rest
}

/// What the walk over the arguments has come upon.
#[derive(Default)]
struct Seen<'a> {
    /// A program of its own.
    program: bool,
    /// An option that makes it read commands in any case.
    input: bool,
    /// Operands are parameters.
    parameters: bool,
    /// The first operand is the program text: a shell's `-c` takes no value.
    text_is_operand: bool,
    /// The program text.
    text: Option<&'a [u8]>,
}

fn walk<'a>(arguments: &'a [Text], dialect: &Dialect) -> Reading<'a> {
    let mut seen = Seen {
        program: dialect.needs_program,
        ..Seen::default()
    };
    let mut rest = arguments.iter().map(Text::as_bytes);
    let mut first_operand = true;
    while let Some(argument) = rest.next() {
        let options_go_on = match argument {
            b"--" => {
                seen.parameters |= dialect.dashes_end_program;
                false
            }
            b"-" if dialect.shell => false,
            [b'-', b'-', ..] => long_option(argument, &mut rest, dialect, &mut seen),
            [b'-', _, ..] => short_options(&argument[1..], &mut rest, dialect, &mut seen),
            [b'+', _, ..] if dialect.shell => short_options(&argument[1..], &mut rest, dialect, &mut seen),
            operand if first_operand && dialect.subcommands.iter().any(|name| name.as_bytes() == operand) => {
                first_operand = false;
                true
            }
            operand => return seen.decide(Some(operand)),
        };
        if !options_go_on {
            return seen.decide(rest.next());
        }
    }
    seen.decide(None)
}

impl<'a> Seen<'a> {
    fn decide(&self, operand: Option<&'a [u8]>) -> Reading<'a> {
        let from_input = operand.is_none_or(|operand| self.parameters || names_input(operand));
        Reading {
            reads_commands: self.input || !self.program && from_input,
            text: self.text.or(operand.filter(|_| self.text_is_operand)),
        }
    }
}

/// Whether a script operand is standard input by another name.
fn names_input(operand: &[u8]) -> bool {
    matches!(
        operand,
        b"-" | b"/dev/stdin" | b"/dev/fd/0" | b"/proc/self/fd/0" | b"/proc/thread-self/fd/0"
    )
}

/// Takes one `--option`; whether options go on after it.
fn long_option<'a>(
    argument: &[u8],
    rest: &mut impl Iterator<Item = &'a [u8]>,
    dialect: &Dialect,
    seen: &mut Seen<'_>,
) -> bool {
    let mut halves = argument.splitn(2, |&byte| byte == b'=');
    let name = halves.next().unwrap_or_default();
    let attached = halves.next();
    let is = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
    if is(dialect.long_code) {
        seen.program = true;
    } else if is(dialect.long_file) {
        take_file(attached.or_else(|| rest.next()), seen);
    } else if is(dialect.long_input) {
        seen.input = true;
    } else if is(dialect.long_value) && attached.is_none() {
        rest.next();
    }
    true
}

/// Takes one word of single-letter options, its sign removed; whether options go on after it.
fn short_options<'a>(
    word: &'a [u8],
    rest: &mut impl Iterator<Item = &'a [u8]>,
    dialect: &Dialect,
    seen: &mut Seen<'a>,
) -> bool {
    let mut letters = word;
    while let Some((&letter, tail)) = letters.split_first() {
        letters = tail;
        let is = |set: &str| set.as_bytes().contains(&letter);
        if is(dialect.input) {
            // `perl -d:Profiler` is no debugger.
            if !tail.starts_with(b":") && !tail.starts_with(b"t:") {
                seen.input = true;
            }
        } else if is(dialect.parameters) {
            seen.parameters = true;
        } else if is(dialect.next) {
            rest.next();
        } else if is(dialect.rest) {
            return true;
        } else if is(dialect.value) {
            if tail.is_empty() {
                rest.next();
            }
            return true;
        } else if is(dialect.file) {
            let value = if tail.is_empty() { rest.next() } else { Some(tail) };
            take_file(value, seen);
            return true;
        } else if is(dialect.code) {
            seen.program = true;
            if dialect.shell {
                seen.text_is_operand = true;
                continue;
            }
            let value = if tail.is_empty() { rest.next() } else { Some(tail) };
            if letter == b'c' {
                seen.text = value;
            }
            return !dialect.code_stops;
        }
    }
    true
}

fn take_file(file: Option<&[u8]>, seen: &mut Seen<'_>) {
    if file.is_some_and(names_input) {
        seen.input = true;
    } else {
        seen.program = true;
    }
}

/// PowerShell's options are words of one dash, in any case, and may be shortened.
fn read_powershell(arguments: &[Text]) -> Reading<'_> {
    let reads = |reads_commands| Reading {
        reads_commands,
        text: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let word = argument.as_bytes().to_ascii_lowercase();
        let Some(name) = word.strip_prefix(b"-").filter(|name| !name.is_empty()) else {
            return reads(names_input(&word));
        };
        let shortens = |option: &[u8]| option.starts_with(name);
        if shortens(b"command") || shortens(b"file") {
            let value = rest.next().map(Text::as_bytes);
            return Reading {
                text: value.filter(|_| shortens(b"command")),
                ..reads(value.is_some_and(names_input))
            };
        }
        if shortens(b"encodedcommand") || name == b"ec" || shortens(b"version") || shortens(b"help") {
            return reads(false);
        }
        if [
            &b"executionpolicy"[..],
            b"ex",
            b"workingdirectory",
            b"wd",
            b"settingsfile",
            b"configurationname",
        ]
        .contains(&name)
        {
            rest.next();
        }
    }
    reads(true)
}
