//! What the first argument of a shell or interpreter says about its commands.
//!
//! The kernel side asks this of every program that starts with a pipe for input. It may drop an exec only if the
//! program surely does not read its commands from there. User space, which knows each program's options, says of each
//! file what that takes ([`ProgramFile`]); the kernel side has no table of its own.
//!
//! For example `python -c TEXT`: the text is the program, so input is data and the exec is dropped. `ruby -r json` only
//! loads a library and then reads its program from input, so the exec goes on to user space.

use crate::record::file_kind;

/// Bytes of the arguments that the kernel side looks at. A power of two.
pub const LOOK: usize = 128;

/// What user space found out about an executed file: a value of the map `FILES`. It is one word, so that a torn value
/// does not exist: the kind in bits 0 to 2, [`ProgramFile::with_subcommands`] in bit 3, the letters from bit 4 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramFile(u32);

const KIND: u32 = 0b111;
const SUBCOMMANDS: u32 = 1 << 3;
const LETTERS: u32 = 4;

impl ProgramFile {
    /// A file of this `file_kind`. Nothing is known of its options, so none of them makes the kernel side drop an exec.
    #[inline(always)]
    #[must_use]
    pub const fn new(kind: u32) -> Self {
        Self(kind & KIND)
    }

    /// Adds options of one small letter after which the program never reads commands from its input, whatever follows.
    #[must_use]
    pub fn with_program_options(self, letters: &str) -> Self {
        let bits = letters.bytes().filter(u8::is_ascii_lowercase);
        Self(bits.fold(self.0, |word, letter| word | 1 << (LETTERS + u32::from(letter - b'a'))))
    }

    /// Notes that an operand may be a subcommand, such as `repl` of `deno repl`, instead of a script.
    #[must_use]
    pub const fn with_subcommands(self) -> Self {
        Self(self.0 | SUBCOMMANDS)
    }

    /// Takes a value of the map.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// Returns the value for the map.
    #[must_use]
    pub const fn word(self) -> u32 {
        self.0
    }

    /// Returns one of [`file_kind`].
    #[inline(always)]
    #[must_use]
    pub const fn kind(self) -> u32 {
        self.0 & KIND
    }

    /// Whether the program may read commands from its input, by the argument list of `length` bytes. `byte` returns one
    /// of its first [`LOOK`] bytes and takes any index.
    ///
    /// Returns true where the arguments do not tell: there is none, or it begins beyond what was looked at.
    #[inline(always)]
    pub fn may_read_commands(self, length: usize, byte: impl Fn(usize) -> u8) -> bool {
        if self.kind() == file_kind::UNKNOWN {
            return true;
        }
        let mut first = 0;
        for index in 0..LOOK - 4 {
            if byte(index) == 0 {
                first = index + 1;
                break;
            }
        }
        if first == 0 || first >= length {
            return true;
        }
        match (byte(first), byte(first + 1), byte(first + 2)) {
            (b'-', letter @ b'a'..=b'z', 0) => self.0 >> (LETTERS + u32::from(letter - b'a')) & 1 == 0,
            (b'-' | b'+', ..) => true,
            // `/dev/stdin`, `/proc/self/fd/0` and other spellings of them.
            (b'/', b'd' | b'p' | b'/' | b'.', _) => true,
            // A script, an applet of a program that is many, or a subcommand.
            _ => self.kind() == file_kind::MULTICALL || self.0 & SUBCOMMANDS != 0,
        }
    }
}
