//! Command-line dialects of shells and interpreters: which options bring a program along, which take a value. Owns the
//! tables only; [`super::argv`] walks an argument list by them.

use sensor_common::{first_argument::ProgramFile, record::file_kind};

use crate::model::{Program, ProgramKind};

/// How one family of programs reads its options. Single letters in the order in which `getopt` would meet them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// Program names, without version suffixes.
    names: &'static [&'static str],
    /// Letters that bring program text (or a module): input is then data.
    pub(super) code: &'static str,
    /// Letters whose value is a program file.
    pub(super) file: &'static str,
    /// Letters that take a value: the rest of the word, else the next argument.
    pub(super) value: &'static str,
    /// Letters whose optional value is the rest of the word.
    pub(super) rest: &'static str,
    /// Letters that take the next argument while the word goes on (`set -eo pipefail`).
    pub(super) next: &'static str,
    /// Letters after which commands are read from input whatever else there is (`python -i`).
    pub(super) input: &'static str,
    /// Letters after which operands are parameters, not a script (`sh -s`).
    pub(super) parameters: &'static str,
    /// Long options that bring program text or print something and end.
    pub(super) long_code: &'static [&'static str],
    /// Long options whose value is a program file.
    pub(super) long_file: &'static [&'static str],
    /// Long options that take the next argument.
    pub(super) long_value: &'static [&'static str],
    /// Long options like `input`.
    pub(super) long_input: &'static [&'static str],
    /// A program option ends the options (`python -c CODE ARGS`), and its value is not looked at.
    pub(super) code_stops: bool,
    /// `+x` is an option too, and `-` alone ends the options instead of naming input.
    pub(super) shell: bool,
    /// What follows `--` are parameters (`php -- ARGS` reads its program from input).
    pub(super) dashes_end_program: bool,
    /// Operands that are subcommands which read commands (`deno repl`, `deno run -`): the first is skipped.
    pub(super) subcommands: &'static [&'static str],
    /// It never takes its program from input unless a file option names input (awk).
    pub(super) needs_program: bool,
}

impl Dialect {
    /// Whether a program that was given by an option of [`Dialect::code`] stays the program whatever follows. `perl -e 1 -d`
    /// reads commands all the same.
    fn code_is_final(&self) -> bool {
        let letters = [self.input, self.file];
        let words = [self.long_input, self.long_file];
        self.code_stops || letters.iter().all(|set| set.is_empty()) && words.iter().all(|set| set.is_empty())
    }
}

const PLAIN: Dialect = Dialect {
    names: &[],
    code: "ce",
    file: "f",
    value: "",
    rest: "",
    next: "",
    input: "",
    parameters: "",
    long_code: &["--help", "--version", "--eval"],
    long_file: &["--file"],
    long_value: &[],
    long_input: &[],
    code_stops: false,
    shell: false,
    dashes_end_program: false,
    subcommands: &[],
    needs_program: false,
};

/// bash, and what a shell of unknown make is taken for.
const BOURNE: Dialect = Dialect {
    names: &["bash", "sh", "dash", "ash", "hush", "rbash"],
    code: "c",
    file: "",
    next: "oO",
    parameters: "s",
    long_code: &["--help", "--version", "--dump-strings", "--dump-po-strings"],
    long_file: &[],
    long_value: &["--rcfile", "--init-file"],
    shell: true,
    ..PLAIN
};

const DIALECTS: &[Dialect] = &[
    BOURNE,
    // Here the rest of the word is the option's name: `-opipefail`.
    Dialect {
        names: &["zsh", "rzsh", "ksh", "rksh", "mksh", "lksh", "oksh", "pdksh", "yash"],
        value: "oT",
        next: "",
        long_value: &["--emulate", "--rcfile", "--profile"],
        ..BOURNE
    },
    Dialect {
        names: &["csh", "tcsh", "bsd-csh"],
        next: "",
        ..BOURNE
    },
    Dialect {
        names: &["fish"],
        value: "CdofD",
        next: "",
        parameters: "",
        long_code: &["--command", "--help", "--version"],
        long_value: &["--init-command", "--debug", "--debug-output", "--features", "--profile"],
        ..BOURNE
    },
    Dialect {
        names: &["python", "pypy", "micropython"],
        code: "cmhV",
        file: "",
        value: "WXQ",
        input: "i",
        long_code: &["--help", "--version"],
        long_file: &[],
        long_value: &["--check-hash-based-pycs"],
        code_stops: true,
        ..PLAIN
    },
    Dialect {
        names: &["perl"],
        code: "eEvVh",
        file: "",
        value: "I",
        rest: "CDFMmilx0",
        // The debugger takes commands: `perl -de 1`.
        input: "d",
        ..PLAIN
    },
    Dialect {
        names: &["ruby", "jruby", "truffleruby"],
        code: "ehc",
        file: "",
        value: "ICrE",
        rest: "FKTWix0",
        long_value: &["--encoding", "--external-encoding", "--internal-encoding"],
        ..PLAIN
    },
    Dialect {
        names: &["php"],
        code: "rBRESimvhslw",
        file: "fF",
        value: "dctz",
        input: "a",
        long_code: &[
            "--run",
            "--process-code",
            "--process-begin",
            "--server",
            "--info",
            "--version",
            "--help",
        ],
        long_file: &["--file", "--process-file"],
        long_value: &["--define", "--php-ini", "--docroot"],
        long_input: &["--interactive"],
        dashes_end_program: true,
        ..PLAIN
    },
    // Both take the script from the server, in the environment.
    Dialect {
        names: &["php-cgi", "php-fpm"],
        needs_program: true,
        ..PLAIN
    },
    Dialect {
        names: &["lua", "luajit", "texlua"],
        code: "e",
        file: "",
        value: "lj",
        rest: "O",
        input: "i",
        ..PLAIN
    },
    Dialect {
        names: &["node", "nodejs"],
        code: "epcvh",
        file: "",
        value: "rC",
        input: "i",
        long_code: &["--eval", "--print", "--check", "--test", "--version", "--help"],
        long_file: &[],
        long_value: &[
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "--conditions",
            "--env-file",
        ],
        long_input: &["--interactive"],
        ..PLAIN
    },
    Dialect {
        names: &["deno", "bun"],
        code: "ep",
        value: "",
        subcommands: &["repl", "run"],
        ..PLAIN
    },
    Dialect {
        names: &["tclsh", "wish", "jimsh"],
        code: "",
        file: "",
        long_code: &[],
        ..PLAIN
    },
    Dialect {
        names: &["ipython", "julia", "racket"],
        input: "i",
        ..PLAIN
    },
    // Interactive by nature: options only prepare the session.
    Dialect {
        names: &["irb", "iex", "jshell"],
        code: "",
        file: "",
        value: "reImpS",
        long_code: &["--help", "--version"],
        ..PLAIN
    },
    Dialect {
        names: &["expect"],
        code: "cvh",
        file: "fb",
        value: "",
        input: "i",
        ..PLAIN
    },
    Dialect {
        names: &["awk", "gawk", "mawk", "nawk", "original-awk"],
        code: "eh",
        file: "fE",
        value: "Fvil",
        needs_program: true,
        ..PLAIN
    },
];

/// Whether this is PowerShell, whose options are words of one dash that no dialect describes.
pub(super) fn is_powershell(name: &str) -> bool {
    matches!(name, "pwsh" | "powershell")
}

/// What the kernel side has to know of a program's file, so that it may drop execs that surely read no commands.
#[must_use]
pub fn program_file(program: &Program, multicall: bool) -> ProgramFile {
    let file = ProgramFile::new(match program.kind {
        _ if multicall => file_kind::MULTICALL,
        ProgramKind::Shell => file_kind::SHELL,
        ProgramKind::Interpreter => file_kind::INTERPRETER,
        ProgramKind::Relay | ProgramKind::Other => file_kind::OTHER,
    });
    if is_powershell(&program.name) || !multicall && !program.executes_text() {
        return file;
    }
    // Of the programs in a multicall file only shells know `-c`.
    let dialect = if multicall {
        BOURNE
    } else {
        of(&program.name, program.kind == ProgramKind::Shell)
    };
    let file = if dialect.code_is_final() {
        file.with_program_options(dialect.code)
    } else {
        file
    };
    if dialect.subcommands.is_empty() {
        file
    } else {
        file.with_subcommands()
    }
}

/// The dialect of the program with this name: its own, else that of a bash (`shell`) or a plain one.
pub(super) fn of(name: &str, shell: bool) -> Dialect {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    let known = |name: &str| DIALECTS.iter().find(|dialect| dialect.names.contains(&name));
    known(name)
        .or_else(|| known(base))
        .copied()
        .unwrap_or(if shell { BOURNE } else { PLAIN })
}

/// Every name that has a dialect.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    DIALECTS.iter().flat_map(|dialect| dialect.names.iter().copied())
}
