//! A takeover whose shell has chosen everything it can choose so that whoever shows it is harmed: its arguments, its name, its
//! file and directory, its environment, the commands that it runs.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{process::command, takeover::Takeover, tools};

/// What comes out of the shell's arguments as text that markup would act on.
pub const MARKUP: &str = "<img src=x onerror=alert(1)>";

/// The arguments: fields and entries of a journal, escapes of a terminal, bytes that are no UTF-8 (one of each kind), markup,
/// structured data and messages of syslog, what reorders and hides text, what looks quoted, nothing, every control character.
const ARGUMENTS: [&[u8]; 9] = [
    b"two\nlines\nFINDING_SEVERITY=LOW\nINJECTED=1\n\nMESSAGE=evil\n",
    b"\x1b[2J\x1b]0;owned\x07\x1b[8m\x9b31m\r\x08\x7f\xc2\x9b8m\xc2\x85",
    b"caf\xe9 \xff\xfe\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x80",
    b"</script><img src=x onerror=alert(1)><!-- ]]> &lt; ' \"",
    b"\"] [injected@32473 id=\"evil\"] \\\" \\ \xe2\x80\xa6\n<0>1 - evil - - - x 12 <0>1",
    "\u{202e}gpj\u{2066}\u{2069}\u{200b}\u{2028}\u{2029}\u{feff}\u{e0041}\u{fe0f}\u{5d0} 1 \u{627} 2".as_bytes(),
    b"$'quoted\\x41\\'",
    b"",
    b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f",
];
/// The name of the shell's file, and as much as fits the name of its process.
const NAME: &[u8] = b"\x1b[2J\n]\"\\\xff<b>\xe2\x80\xae\nFINDING_ID=evil";
const VARIABLE: &[u8] = b"A\nFINDING_UPDATE\x1b[2J\xff<i>";
const VALUE: &[u8] = b"x\nFINDING_STATE=INACTIVE\n\x1b[2J\xff\xe2\x80\xae</script>\"]\\";
/// Longer than anything keeps.
const LONG: usize = 100_000;

/// One that goes on.
pub struct Hostile {
    /// The takeover.
    pub takeover: Takeover,
    /// The shell's arguments that are kept whole, its own name first.
    pub arguments: Vec<Vec<u8>>,
    /// The last one, which is longer than anything keeps.
    pub long: Vec<u8>,
    /// The shell's file.
    pub path: PathBuf,
    /// Its directory.
    pub directory: PathBuf,
    /// A variable of its environment.
    pub variable: (&'static [u8], &'static [u8]),
    _dir: TempDir,
}

impl Hostile {
    /// Starts one, has its shell prove that it answers, and run a command as hostile as itself.
    ///
    /// # Errors
    /// If the shell does not answer.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("sensor-test.").tempdir()?;
        // With the slash between both, they are markup.
        let directory = dir
            .path()
            .join(OsStr::from_bytes(
                b"\nFINDING_SEVERITY=LOW\n\x1b[2J\xff\xe2\x80\xae\xd7\x90\"]\\<",
            ))
            .join(format!("script>{MARKUP}"));
        fs::create_dir_all(&directory)?;
        let path = directory.join(OsStr::from_bytes(NAME));
        fs::copy(tools::find("dash")?, &path)?;
        let mut arguments = vec![NAME.to_vec(), b"-s".to_vec(), b"--".to_vec()];
        arguments.extend(ARGUMENTS.map(<[u8]>::to_vec));
        let long = vec![b'x'; LONG];

        let mut shell: Command = command(&path);
        shell
            .arg0(OsStr::from_bytes(NAME))
            .args(
                arguments
                    .iter()
                    .skip(1)
                    .chain([&long])
                    .map(|argument| OsStr::from_bytes(argument)),
            )
            .env(OsStr::from_bytes(VARIABLE), OsStr::from_bytes(VALUE))
            .env("SHELL", &path)
            .current_dir(&directory);
        let mut takeover = Takeover::start_as(shell)?;
        let peer = takeover.peer();
        let shell = peer.shell()?;
        ensure!(shell.exe == path, "the shell is {shell:?}");
        peer.send("\"$SHELL\" -c : \"$@\"; echo ran-$((6*7))\n")?;
        peer.read_until("ran-42")?;
        Ok(Self {
            takeover,
            arguments,
            long,
            path,
            directory,
            variable: (VARIABLE, VALUE),
            _dir: dir,
        })
    }
}

/// The bytes of a text in a finding: itself, or what a `$'…'` quotes.
///
/// # Errors
/// If it is no proper quotation.
pub fn bytes_of(text: &str) -> Result<Vec<u8>> {
    let Some(quoted) = text.strip_prefix("$'") else {
        return Ok(text.as_bytes().to_vec());
    };
    let quoted = quoted.strip_suffix('\'').context("a quotation without an end")?;
    let mut bytes = Vec::new();
    let mut rest = quoted.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            ensure!(byte != b'\'', "a quotation that ends before its end: {text:?}");
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(escaped @ (b'\\' | b'\'')) => bytes.push(escaped),
            Some(b'x') => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?);
            }
            other => bail!("an escape \\{other:?} in {text:?}"),
        }
    }
    Ok(bytes)
}

/// The words of a command line of a finding, as a real shell takes them.
///
/// # Errors
/// If the shell refuses them.
pub fn words_of(command_line: &str) -> Result<Vec<Vec<u8>>> {
    let mut bash = Command::new(tools::find("bash")?);
    let output = bash
        // What is not quoted is no pattern.
        .args(["-f", "-c", &format!("printf '%s\\0' {command_line}")])
        .output()?;
    ensure!(
        output.status.success() && output.stderr.is_empty(),
        "{}: {command_line:?}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut words: Vec<Vec<u8>> = output.stdout.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    // What follows the last NUL.
    words.pop();
    Ok(words)
}

/// Demands of bytes that go to a terminal that they do nothing but move to the next line and, if it may be, set the sensor's
/// own colours.
///
/// # Errors
/// What else they would do.
pub fn harmless(shown: &[u8], colours: bool) -> Result<()> {
    const OWN: [&str; 7] = ["0", "1", "2", "36", "1;31", "1;33", "1;97;41"];
    let text = std::str::from_utf8(shown)?;
    let mut parts = text.split('\u{1b}');
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let sequence = part.strip_prefix('[').and_then(|part| part.split_once('m'));
        let Some((_, after)) = sequence.filter(|(number, _)| colours && OWN.contains(number)) else {
            bail!("an escape sequence before {part:?}");
        };
        rest.push_str(after);
    }
    let acts = |c: char| acts_unseen(c) || matches!(c, '\u{5d0}' | '\u{627}');
    match rest.find(acts) {
        Some(at) => bail!("{:?} acts on a terminal", rest.get(at..)),
        None => Ok(()),
    }
}

/// Whether a terminal does something else than to draw a sign for this character of [`Hostile`]'s.
#[must_use]
pub fn acts_unseen(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fe0f}' | '\u{feff}' | '\u{e0041}')
}
