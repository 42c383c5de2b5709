//! What came of each check, one line each, on the second serial line: the kernel's own messages can't get in between.
//!
//! `kernel RELEASE` first, then `ok NAME SECONDS` or `failed NAME WHY` for each check, `note TEXT` in between, and
//! `end PASSED FAILED`. The host takes a machine that ends without the last line for failed.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    time::Instant,
};

use anyhow::{Context, Result};

const LINE: &str = "/dev/ttyS1";

/// The line to the host, and the score.
pub struct Report {
    line: File,
    passed: u32,
    failed: u32,
}

impl Report {
    /// Opens it and says which kernel runs.
    ///
    /// # Errors
    /// If the machine has no second serial line.
    pub fn open() -> Result<Self> {
        let line = OpenOptions::new().write(true).open(LINE).context(LINE)?;
        let mut report = Self {
            line,
            passed: 0,
            failed: 0,
        };
        let uname = rustix::system::uname();
        report.say(&format!("kernel {}", uname.release().to_string_lossy()))?;
        Ok(report)
    }

    /// Runs a check and says what came of it; gives its result if it passed.
    ///
    /// # Errors
    /// If the host can't be told.
    pub fn check<T>(&mut self, name: &str, check: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let start = Instant::now();
        match check() {
            Ok(value) => {
                self.passed += 1;
                self.say(&format!("ok {name} {:.1}", start.elapsed().as_secs_f64()))?;
                Ok(Some(value))
            }
            Err(error) => {
                self.failed += 1;
                let whole = format!("{error:#}");
                eprintln!("{name}: {whole}");
                let first = whole.lines().next().unwrap_or_default();
                self.say(&format!("failed {name} {first}"))?;
                Ok(None)
            }
        }
    }

    /// Says something that people may want to know.
    ///
    /// # Errors
    /// If the host can't be told.
    pub fn note(&mut self, text: &str) -> Result<()> {
        self.say(&format!("note {text}"))
    }

    /// Says that this was all.
    ///
    /// # Errors
    /// If the host can't be told.
    pub fn finish(mut self) -> Result<()> {
        self.say(&format!("end {} {}", self.passed, self.failed))?;
        // What is still in the kernel's buffer would be lost with the machine.
        Ok(rustix::termios::tcdrain(&self.line)?)
    }

    fn say(&mut self, line: &str) -> Result<()> {
        self.line
            .write_all(format!("{line}\n").as_bytes())
            .context("telling the host")
    }
}
