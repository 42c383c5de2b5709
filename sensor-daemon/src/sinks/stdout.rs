//! Standard output: findings in the encoding that was asked for.

use std::{fs::File, io, os::fd::AsFd as _};

use super::Sink;
use crate::finding::{Encoding, Report};

/// What it is called.
pub const NAME: &str = "stdout";

/// Writes to it.
pub struct Stdout {
    encoding: Encoding,
    /// Not the standard library's, whose buffer would not say how much of it was written.
    out: File,
    rest: Rest,
}

impl Stdout {
    /// In this encoding.
    ///
    /// # Errors
    /// It is closed.
    pub fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(Self {
            encoding,
            out: io::stdout().as_fd().try_clone_to_owned()?.into(),
            rest: Rest::default(),
        })
    }
}

impl Sink for Stdout {
    fn name(&self) -> &str {
        NAME
    }

    fn deliver(&mut self, report: &Report) -> io::Result<()> {
        self.rest.write(&mut self.out, || self.encoding.text(report))
    }
}

/// What is left to be written of a report: after a failure the same one is handed over again, and goes on where it was torn.
#[derive(Default)]
struct Rest(Vec<u8>);

impl Rest {
    fn write(&mut self, to: &mut impl io::Write, text: impl FnOnce() -> String) -> io::Result<()> {
        if self.0.is_empty() {
            self.0 = text().into_bytes();
        }
        while !self.0.is_empty() {
            match to.write(&self.0) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.0.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Takes three bytes at a time, and is full after so many.
    struct Pipe {
        room: usize,
        got: Vec<u8>,
    }

    impl io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(3).min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.got.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_torn_line_goes_on_where_it_was_torn() {
        let mut pipe = Pipe {
            room: 0,
            got: Vec::new(),
        };
        let mut rest = Rest::default();
        // Room for four bytes more before each try.
        for (line, tries) in [("first line\n", 3), ("second\n", 2)] {
            for number in 1..=tries {
                pipe.room += 4;
                let written = rest.write(&mut pipe, || line.to_owned());
                assert_eq!(written.is_ok(), number == tries, "{line} {number}");
            }
        }
        assert_eq!(pipe.got, b"first line\nsecond\n");
    }
}
