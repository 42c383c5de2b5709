//! Standard output: a finding is what its format makes of it, a line as a rule.

use std::io::{self, Write as _};

use super::Sink;
use crate::finding::Report;

/// What it is called.
pub const NAME: &str = "stdout";

/// Makes a report into what is written, newlines included.
pub type Format = Box<dyn Fn(&Report) -> String + Send>;

/// Writes to it.
pub struct Stdout {
    format: Format,
}

impl Stdout {
    /// In this format.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format }
    }
}

impl Sink for Stdout {
    fn name(&self) -> &str {
        NAME
    }

    fn deliver(&mut self, report: &Report) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all((self.format)(report).as_bytes())?;
        stdout.flush()
    }
}
