//! Whether a shell or interpreter reads its commands from standard input, or was given a program of its own. Decides by
//! the argument list alone, as the program itself would read it. [`super::rule`] asks.

use crate::model::{Exec, ProgramKind, Text};

use super::dialect::{self, Dialect};

/// Whether the program executes what it reads from standard input.
///
/// Where the arguments don't tell (none at all, or cut off before anything decisive), it is taken to.
pub(super) fn reads_commands(exec: &Exec) -> bool {
    if !exec.program.executes_text() || exec.script.is_some() {
        return false;
    }
    let shell = exec.program.kind == ProgramKind::Shell;
    let arguments = operands_of_program(exec, shell);
    if dialect::is_powershell(&exec.program.name) {
        return powershell_reads_commands(arguments);
    }
    walk(arguments, &dialect::of(&exec.program.name, shell))
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
struct Seen {
    /// A program of its own.
    program: bool,
    /// An option that makes it read commands in any case.
    input: bool,
    /// Operands are parameters.
    parameters: bool,
}

fn walk(arguments: &[Text], dialect: &Dialect) -> bool {
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

impl Seen {
    fn decide(&self, operand: Option<&[u8]>) -> bool {
        self.input || !self.program && operand.is_none_or(|operand| self.parameters || names_input(operand))
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
    seen: &mut Seen,
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
    word: &[u8],
    rest: &mut impl Iterator<Item = &'a [u8]>,
    dialect: &Dialect,
    seen: &mut Seen,
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
            if dialect.code_stops {
                return false;
            }
            if !dialect.shell {
                if tail.is_empty() {
                    rest.next();
                }
                return true;
            }
        }
    }
    true
}

fn take_file(file: Option<&[u8]>, seen: &mut Seen) {
    if file.is_some_and(names_input) {
        seen.input = true;
    } else {
        seen.program = true;
    }
}

/// PowerShell's options are words of one dash, in any case, and may be shortened.
fn powershell_reads_commands(arguments: &[Text]) -> bool {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let word = argument.as_bytes().to_ascii_lowercase();
        let Some(name) = word.strip_prefix(b"-").filter(|name| !name.is_empty()) else {
            return names_input(&word);
        };
        let shortens = |option: &[u8]| option.starts_with(name);
        if shortens(b"command") || shortens(b"file") {
            return rest.next().is_some_and(|value| names_input(value.as_bytes()));
        }
        if shortens(b"encodedcommand") || name == b"ec" || shortens(b"version") || shortens(b"help") {
            return false;
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
    true
}
