//! Reads a recording, turn by turn. It may come from anywhere: no line is read beyond a bound, and what makes no sense is one
//! error that names the line. Only its end may be missing, since a sensor can be killed and a disk be full.

use std::{
    fmt,
    io::{BufRead, Read as _},
};

use super::{Answer, Header, LINE_MAX, Line, Question, Turn, VERSION};
use crate::model::Losses;

/// What is wrong with a recording.
#[derive(Debug)]
pub struct RecordingError {
    name: String,
    /// From 1.
    line: usize,
    what: String,
    /// What to do.
    remedy: &'static str,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.name, self.line, self.what, self.remedy)
    }
}

impl std::error::Error for RecordingError {}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With the sensor's end.
    Finished,
    /// Before the sensor's end, after a whole line.
    Open,
    /// In the middle of this line.
    Torn(usize),
}

/// A turn with everything that was noted of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedTurn {
    /// The line that it is on.
    pub line: usize,
    /// The turn.
    pub turn: Turn,
    /// A deadline of the engine had been missed by then.
    pub missed: bool,
    /// What was lost until then, if that was noted.
    pub losses: Option<Losses>,
    /// Unix time of boot from then on, if that changed.
    pub boot_unix_ns: Option<i64>,
    /// The engine's questions and what it was told.
    pub(super) answers: Vec<(Question, Answer)>,
}

const OTHER_FILE: &str = "give a file that `sensor-daemon record` wrote";
const OTHER_VERSION: &str = "replay it with the version of the sensor that recorded it";
const DAMAGED: &str = "the file was damaged or changed; what is before that line can be replayed by itself";

/// A recording that is being read.
pub struct Reader<R> {
    name: String,
    input: R,
    header: Header,
    /// Lines taken so far.
    line: usize,
    /// A turn whose first line was read with the turn before.
    next: Option<RecordedTurn>,
    ending: Ending,
    buffer: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Begins to read; `name` is what errors call the file.
    ///
    /// # Errors
    /// It is no recording, or none of this version.
    pub fn open(name: &str, input: R) -> Result<Self, RecordingError> {
        let mut reader = Self {
            name: name.to_owned(),
            input,
            header: Header {
                sensor_recording: VERSION,
                sensor: String::new(),
                min_severity: String::new(),
                host: crate::model::Host::default(),
                coverage: None,
            },
            line: 0,
            next: None,
            ending: Ending::Open,
            buffer: Vec::new(),
        };
        if !reader.read_line()? {
            reader.line = 1;
            return Err(reader.error("this is no recording: it is empty", OTHER_FILE));
        }
        /// What every version has.
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Any {
            sensor_recording: u32,
        }
        let Ok(Any { sensor_recording }) = serde_json::from_slice(&reader.buffer) else {
            return Err(reader.error("this is no recording: its first line does not say so", OTHER_FILE));
        };
        if sensor_recording != VERSION {
            let what = format!("this recording has format {sensor_recording}, and this sensor reads format {VERSION}");
            return Err(reader.error(what, OTHER_VERSION));
        }
        reader.header = serde_json::from_slice(&reader.buffer)
            .map_err(|error| reader.error(format!("the first line can't be read: {error}"), DAMAGED))?;
        Ok(reader)
    }

    /// What the first line says.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How it ends, once there are no more turns.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// The next turn; `None` at the end.
    ///
    /// # Errors
    /// A line makes no sense, or can't be read.
    pub fn next_turn(&mut self) -> Result<Option<RecordedTurn>, RecordingError> {
        let mut current = self.next.take();
        // Whether a deadline was missed before the turn that comes, and how many holders are still to come.
        let (mut missed, mut holders) = (false, 0_usize);
        while let Some(line) = self.next_line()? {
            if holders > 0 && !matches!(line, Line::Holder(_)) {
                return Err(self.error(format!("{holders} more holders should come before this line"), DAMAGED));
            }
            let turn = match line {
                Line::Observe(observation) => Turn::Observe(observation),
                Line::Tick(now) => Turn::Tick(now),
                Line::Denied(now, request) => Turn::Denied(now, request),
                Line::Finish(now) => Turn::Finish(now),
                Line::Missed(_) => {
                    missed = true;
                    continue;
                }
                _ if missed => return Err(self.error("a turn should begin here", DAMAGED)),
                other => {
                    let Some(current) = &mut current else {
                        return Err(self.error("an answer before the first turn", DAMAGED));
                    };
                    if let Line::Opposite { holders: count, .. } = other {
                        holders = count;
                    } else if let Line::Holder(_) = other {
                        holders = holders
                            .checked_sub(1)
                            .ok_or_else(|| self.error("a holder that belongs to no question", DAMAGED))?;
                    }
                    current.note(other);
                    continue;
                }
            };
            let begun = RecordedTurn {
                line: self.line,
                turn,
                missed: std::mem::take(&mut missed),
                losses: None,
                boot_unix_ns: None,
                answers: Vec::new(),
            };
            if current.is_some() {
                self.next = Some(begun);
                return Ok(current);
            }
            current = Some(begun);
        }
        if let Some(last) = &current
            && matches!(last.turn, Turn::Finish(_))
            && self.ending == Ending::Open
        {
            self.ending = Ending::Finished;
        }
        Ok(current)
    }

    /// The next line; `None` at the end, or where the end is missing.
    fn next_line(&mut self) -> Result<Option<Line>, RecordingError> {
        if !self.read_line()? {
            return Ok(None);
        }
        match serde_json::from_slice(&self.buffer) {
            Ok(line) => Ok(Some(line)),
            Err(_) if self.buffer.last() != Some(&b'\n') => {
                self.ending = Ending::Torn(self.line);
                Ok(None)
            }
            Err(error) if error.is_data() && error.to_string().starts_with("unknown variant") => {
                let what = format!(
                    "a kind of line that this sensor does not know (sensor {} recorded it): {error}",
                    self.header.sensor
                );
                Err(self.error(what, OTHER_VERSION))
            }
            Err(error) => Err(self.error(format!("the line can't be read: {error}"), DAMAGED)),
        }
    }

    /// Takes a line that is not blank into the buffer; whether there was one.
    fn read_line(&mut self) -> Result<bool, RecordingError> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let mut bounded = self.input.by_ref().take(LINE_MAX as u64 + 1);
            match bounded.read_until(b'\n', &mut self.buffer) {
                Ok(0) => {
                    self.line -= 1;
                    return Ok(false);
                }
                Ok(_) if self.buffer.len() > LINE_MAX => {
                    return Err(self.error(format!("the line is longer than {LINE_MAX} bytes"), OTHER_FILE));
                }
                Ok(_) if self.buffer.trim_ascii().is_empty() => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(self.error(format!("it can't be read: {error}"), OTHER_FILE)),
            }
        }
    }

    fn error(&self, what: impl Into<String>, remedy: &'static str) -> RecordingError {
        RecordingError {
            name: self.name.clone(),
            line: self.line,
            what: what.into(),
            remedy,
        }
    }
}

impl RecordedTurn {
    /// Takes a line that begins no turn.
    fn note(&mut self, line: Line) {
        let answer = match line {
            Line::HoldsSocket { process, inode, answer } => (Question::HoldsSocket(process, inode), Answer::Is(answer)),
            Line::IsAlive { process, answer } => (Question::IsAlive(process), Answer::Is(answer)),
            Line::Opposite { stream, holders: _ } => (Question::Opposite(stream), Answer::Holders(Vec::new())),
            Line::Holder(holder) => {
                if let Some((_, Answer::Holders(holders))) = self.answers.last_mut() {
                    holders.push(holder);
                }
                return;
            }
            Line::Delivered { flow, since: _, answer } => (Question::Delivered(flow), Answer::Delivery(answer)),
            Line::Losses(losses) => {
                self.losses = Some(losses);
                return;
            }
            Line::Clock(boot_unix_ns) => {
                self.boot_unix_ns = Some(boot_unix_ns);
                return;
            }
            Line::Observe(_) | Line::Tick(_) | Line::Denied(..) | Line::Finish(_) | Line::Missed(_) => return,
        };
        self.answers.push(answer);
    }
}
