//! The configuration file: what the sensor can be told for good. Owns its form (TOML), its place, and everything that can be
//! wrong with it; what it says goes to `detect/`, and to whoever starts sinks and the record of findings.
//!
//! Every problem of a file is reported at once, each with its line and what to do, since whoever reads it has an incident to
//! deal with. There is no such thing as a file that is half in force.

mod delivery;
mod enrichment;
mod exception;
mod problem;
mod reader;
mod store;
#[cfg(test)]
mod tests;
mod users;

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use toml::de::{DeTable, DeValue};

pub use self::delivery::Delivery;
pub use self::enrichment::{Enrichment, is_fit};
pub use self::problem::{Problem, Problems};
use self::reader::{Document, FIELDS, Key, Value, nearest};
pub use self::store::Store;
pub use self::users::{HostUsers, Users};
use crate::detect::{
    Severity,
    exceptions::{Exception, Exceptions, Origin},
};

/// Where the file is if nothing else is said. It need not be there.
pub const DEFAULT_PATH: &str = "/etc/sensor-daemon/config.toml";
/// Largest file that is read.
const SIZE_MAX: usize = 1 << 20;
const BUILT_IN: &str = include_str!("../detect/exceptions.toml");

/// What the file says, together with what is built in.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The file, if there was one.
    pub path: Option<PathBuf>,
    /// Findings below it are not reported; `None` leaves it to the default.
    pub min_severity: Option<Severity>,
    /// Where findings go.
    pub delivery: Delivery,
    /// Where they are kept, and for how long.
    pub store: Store,
    /// The built-in exceptions, then the file's.
    pub exceptions: Exceptions,
    /// What findings say beside the evidence.
    pub enrichment: Enrichment,
}

/// Reads the file at `explicit`, or else the one at [`DEFAULT_PATH`] if that exists.
///
/// # Errors
/// The file can't be read, or says something that makes no sense: then the error lists all of it, a line each.
pub fn load(explicit: Option<&Path>) -> anyhow::Result<Config> {
    let path = explicit.unwrap_or(Path::new(DEFAULT_PATH));
    let text = match read(path) {
        Ok(text) => text,
        Err(ReadError::Io(error)) if explicit.is_none() && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Config {
                exceptions: Exceptions::new(built_in()?),
                ..Config::default()
            });
        }
        Err(ReadError::Io(error)) => {
            let what = format!("the configuration file {} can't be read", path.display());
            return Err(error).context(what);
        }
        Err(ReadError::Problem(problem)) => {
            return Err(Problems::new(&path.display().to_string(), vec![problem]).into());
        }
    };
    let config = parse(&path.display().to_string(), &text, &HostUsers)?;
    Ok(Config {
        path: Some(path.to_owned()),
        ..config
    })
}

/// Reads a file's text; `name` is what problems call the file.
///
/// # Errors
/// What is wrong with it.
pub fn parse(name: &str, text: &str, users: &dyn Users) -> Result<Config, Problems> {
    let mut exceptions = built_in()?;
    let (root, syntax) = DeTable::parse_recoverable(text);
    let mut document = Document::new(text, syntax);
    let mut config = Config::default();
    // Where each id of the file is.
    let mut ids: HashMap<String, usize> = HashMap::new();
    let mut disable = vec![];
    for (key, value) in root.get_ref() {
        match key.get_ref().as_ref() {
            "min_severity" => config.min_severity = severity(&mut document, value),
            "output" => config.delivery.destinations = delivery::destinations(&mut document, key, value),
            "format" => config.delivery.format = delivery::format(&mut document, value),
            "cloud_logging" => config.delivery.cloud_logging = enrichment::switch(&mut document, key, value),
            "store" => config.store = store::read(&mut document, value),
            "environment" => config.enrichment.environment = enrichment::switch(&mut document, key, value),
            "arguments" => config.enrichment.arguments = enrichment::switch(&mut document, key, value),
            "unmasked_arguments" => {
                config.enrichment.unmasked_arguments = enrichment::switch(&mut document, key, value);
            }
            "metadata" => config.enrichment.metadata = enrichment::switch(&mut document, key, value),
            "resource" => config.enrichment.resource = enrichment::resource(&mut document, value),
            "disable_exceptions" => disable = disabled(&mut document, key, value),
            "exception" => {
                for exception in exception::read_all(&mut document, key, value, Origin::User, users) {
                    register(&mut document, &mut ids, &exceptions, &exception);
                    exceptions.push(exception.exception);
                }
            }
            // Below a header that could not be read, this is no mistake of its own.
            below if exception::FIELDS.contains(&below) => document.missing(
                key.span(),
                format!("`{below}` is a field of an exception, not of the file"),
                "begin the exception with a line [[exception]]",
            ),
            unknown => document.unknown_field(key.span(), unknown, "the file", FIELDS),
        }
    }
    for (span, id) in disable {
        let mut named = exceptions.iter_mut().filter(|exception| exception.id == id).peekable();
        if named.peek().is_none() {
            let known: Vec<&str> = exceptions.iter().map(|exception| exception.id.as_str()).collect();
            let remedy = nearest(&id, &known).map_or_else(
                || "`sensor-daemon exceptions` lists them".to_owned(),
                |near| format!("did you mean `{near}`? `sensor-daemon exceptions` lists them"),
            );
            document.problem(span, format!("there is no exception `{id}` to disable"), remedy);
            continue;
        }
        named.for_each(|exception| exception.disabled = true);
    }
    config.exceptions = Exceptions::new(exceptions);
    document.finish(name).map(|()| config)
}

/// The built-in exceptions.
///
/// # Errors
/// Never, in a build that passed its tests.
pub fn built_in() -> Result<Vec<Exception>, Problems> {
    let (root, syntax) = DeTable::parse_recoverable(BUILT_IN);
    let mut document = Document::new(BUILT_IN, syntax);
    let mut exceptions = vec![];
    for (key, value) in root.get_ref() {
        for read in exception::read_all(&mut document, key, value, Origin::BuiltIn, &HostUsers) {
            exceptions.push(read.exception);
        }
    }
    document.finish("(built in)").map(|()| exceptions)
}

/// Notes an exception's id, and that it is the only one.
fn register(
    document: &mut Document<'_>,
    ids: &mut HashMap<String, usize>,
    before: &[Exception],
    read: &exception::Read,
) {
    let Exception { id, .. } = &read.exception;
    let line = document.line(read.id_span.start);
    let taken = match ids.get(id) {
        Some(first) => Some(format!("the exception of line {first} has the id `{id}` too")),
        None => before
            .iter()
            .any(|other| other.origin == Origin::BuiltIn && other.id == *id)
            .then(|| format!("`{id}` is the id of a built-in exception")),
    };
    match taken {
        Some(what) => document.problem(read.id_span.clone(), what, "choose another id"),
        None => {
            ids.insert(id.clone(), line);
        }
    }
}

fn severity(document: &mut Document<'_>, value: &Value<'_>) -> Option<Severity> {
    const NAMES: &[&str] = &["low", "medium", "high", "critical"];
    const REMEDY: &str = "write \"low\", \"medium\", \"high\" or \"critical\"";
    let DeValue::String(name) = value.get_ref() else {
        let what = format!("`min_severity` is {}, not a string", reader::kind(value));
        document.problem(value.span(), what, REMEDY);
        return None;
    };
    match name.to_ascii_lowercase().as_str() {
        "low" => Some(Severity::Low),
        "medium" => Some(Severity::Medium),
        "high" => Some(Severity::High),
        "critical" => Some(Severity::Critical),
        other => {
            let remedy = nearest(other, NAMES).map_or_else(
                || REMEDY.to_owned(),
                |near| format!("did you mean \"{near}\"? {REMEDY}"),
            );
            document.problem(value.span(), format!("there is no severity `{name}`"), remedy);
            None
        }
    }
}

fn disabled(document: &mut Document<'_>, key: &Key<'_>, value: &Value<'_>) -> Vec<(std::ops::Range<usize>, String)> {
    document.list(
        key,
        value,
        "a string or a list of strings, the ids of exceptions",
        |_, value| value.get_ref().as_str().map(|id| Some((value.span(), id.to_owned()))),
    )
}

enum ReadError {
    Io(io::Error),
    Problem(Problem),
}

fn read(path: &Path) -> Result<String, ReadError> {
    // A FIFO is opened at once, also if nobody writes to it.
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).map_err(ReadError::Io)?;
    let metadata = file.metadata().map_err(ReadError::Io)?;
    if !metadata.is_file() {
        return Err(ReadError::Problem(Problem {
            line: None,
            what: "this is not a regular file".into(),
            remedy: "name a file that holds the configuration".into(),
        }));
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(ReadError::Problem(Problem {
            line: None,
            what: "everybody on this host may write to the file, and so silence the sensor".into(),
            remedy: "chmod o-w".into(),
        }));
    }
    let mut bytes = vec![];
    file.take(SIZE_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    if bytes.len() > SIZE_MAX {
        return Err(ReadError::Problem(Problem {
            line: None,
            what: format!("the file is larger than {SIZE_MAX} bytes"),
            remedy: "is it the right one? Use wildcards instead of long lists".into(),
        }));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        ReadError::Problem(Problem {
            line: Some(1 + before.iter().filter(|&&byte| byte == b'\n').count()),
            what: "the text is not UTF-8".into(),
            remedy: "save it as UTF-8; in a pattern, `?` matches a byte that is not".into(),
        })
    })
}
