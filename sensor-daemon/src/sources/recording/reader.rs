//! Reads a recording, turn by turn. It may come from anywhere: no line is read beyond a bound, and what makes no sense is one
//! error that names the line. Only its end may be missing, since a sensor can be killed and a disk be full.

use std::{
    fmt,
    io::{BufRead, Read as _},
};

use super::{Answer, Header, LINE_MAX, Line, Question, Turn, VERSION};
use crate::model::{Holder, Losses};

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
    /// A turn's line that was read with the turn before, and whether a deadline was missed before it.
    next: Option<(usize, Turn, bool)>,
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
        let (line, turn, missed) = match self.next.take() {
            Some(next) => next,
            None => match self.turn_line()? {
                Some(next) => next,
                None => return Ok(None),
            },
        };
        let mut recorded = RecordedTurn {
            line,
            turn,
            missed,
            losses: None,
            boot_unix_ns: None,
            answers: Vec::new(),
        };
        // Whether a deadline was missed before the turn that comes, and how many holders are still to come.
        let (mut missed, mut holders) = (false, 0_usize);
        while let Some(line) = self.next_line()? {
            if let Line::Holder(holder) = line {
                let Some(rest) = holders.checked_sub(1) else {
                    return Err(self.error("a holder that belongs to no question", DAMAGED));
                };
                holders = rest;
                push_holder(&mut recorded, holder);
                continue;
            }
            if holders > 0 {
                return Err(self.error(format!("{holders} holders are missing before this line"), DAMAGED));
            }
            match self.turn_of(line) {
                Ok(turn) => {
                    self.next = Some((self.line, turn, missed));
                    return Ok(Some(recorded));
                }
                Err(Line::Missed(_)) => missed = true,
                Err(_) if missed => return Err(self.error("a turn should begin here", DAMAGED)),
                Err(Line::Opposite { stream, holders: count }) => {
                    holders = count;
                    let answer = (Question::Opposite(stream), Answer::Holders(Vec::new()));
                    recorded.answers.push(answer);
                }
                Err(other) => note(&mut recorded, other),
            }
        }
        if matches!(recorded.turn, Turn::Finish(_)) && self.ending == Ending::Open {
            self.ending = Ending::Finished;
        }
        Ok(Some(recorded))
    }

    /// The first turn's line.
    fn turn_line(&mut self) -> Result<Option<(usize, Turn, bool)>, RecordingError> {
        let mut missed = false;
        while let Some(line) = self.next_line()? {
            match self.turn_of(line) {
                Ok(turn) => return Ok(Some((self.line, turn, missed))),
                Err(Line::Missed(_)) => missed = true,
                Err(_) => return Err(self.error("an answer before the first turn", DAMAGED)),
            }
        }
        Ok(None)
    }

    /// The line as a turn, else as it is.
    fn turn_of(&self, line: Line) -> Result<Turn, Line> {
        match line {
            Line::Observe(observation) => Ok(Turn::Observe(observation)),
            Line::Tick(now) => Ok(Turn::Tick(now)),
            Line::Finish(now) => Ok(Turn::Finish(now)),
            other => Err(other),
        }
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

fn push_holder(turn: &mut RecordedTurn, holder: Holder) {
    if let Some((_, Answer::Holders(holders))) = turn.answers.last_mut() {
        holders.push(holder);
    }
}

/// Takes a line that is neither a turn nor in several parts.
fn note(turn: &mut RecordedTurn, line: Line) {
    let answer = match line {
        Line::HoldsSocket { process, inode, answer } => (Question::HoldsSocket(process, inode), Answer::Is(answer)),
        Line::IsAlive { process, answer } => (Question::IsAlive(process), Answer::Is(answer)),
        Line::Delivered { flow, since: _, answer } => (Question::Delivered(flow), Answer::Delivery(answer)),
        Line::Losses(losses) => {
            turn.losses = Some(losses);
            return;
        }
        Line::Clock(boot_unix_ns) => {
            turn.boot_unix_ns = Some(boot_unix_ns);
            return;
        }
        Line::Observe(_)
        | Line::Tick(_)
        | Line::Finish(_)
        | Line::Missed(_)
        | Line::Opposite { .. }
        | Line::Holder(_) => return,
    };
    turn.answers.push(answer);
}
