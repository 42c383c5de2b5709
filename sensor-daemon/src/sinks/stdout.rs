//! Standard output, behind a queue and a thread of its own: a reader that is slow or stuck never stops detection.
//!
//! While few lines wait, all are written. Once many do, a newer line of a finding takes the place of its older one, so
//! that the reader catches up with every finding's latest state instead of losing some findings altogether. What is not
//! written is counted. The queue is bounded in bytes; only beyond that are findings lost.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::oneshot;

/// Lines that wait before newer ones take the place of older ones.
const PLENTY: usize = 256;
/// Bytes that wait at most: some thousand findings.
const BYTES_MAX: usize = 16 << 20;

/// The queue's end that detection holds.
pub struct Stdout {
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    dropped: u64,
    closed: bool,
}

struct Line {
    /// Which finding it is of.
    finding: String,
    text: String,
}

impl Shared {
    /// A panic elsewhere leaves the queue as good as it was: every change to it is one step.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line; `None` when there will be none.
    fn next(&self) -> Option<Line> {
        let mut queue = self.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.text.len();
                return Some(line);
            }
            if queue.closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    fn push(&mut self, line: Line) {
        if self.lines.len() >= PLENTY
            && let Some(older) = self.lines.iter_mut().find(|older| older.finding == line.finding)
        {
            self.bytes = self.bytes - older.text.len() + line.text.len();
            *older = line;
            self.dropped += 1;
        } else if self.bytes + line.text.len() > BYTES_MAX {
            self.dropped += 1;
        } else {
            self.bytes += line.text.len();
            self.lines.push_back(line);
        }
    }
}

/// Starts the writer. The receiver resolves when standard output can't be written to any more.
///
/// # Errors
/// No thread can be started.
pub fn start() -> io::Result<(Stdout, oneshot::Receiver<io::Error>)> {
    let shared = Arc::new(Shared::default());
    let (failed, failure) = oneshot::channel();
    let lines = Arc::clone(&shared);
    let writer = std::thread::Builder::new().name("stdout".into()).spawn(move || {
        if let Err(error) = write_all(&lines) {
            // Nobody listens once the sensor is stopping; it then says itself that lines were lost.
            let _ = failed.send(error);
        }
    })?;
    Ok((Stdout { shared, writer }, failure))
}

fn write_all(lines: &Shared) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    while let Some(line) = lines.next() {
        stdout.write_all(line.text.as_bytes())?;
        stdout.flush()?;
    }
    Ok(())
}

impl Stdout {
    /// Queues what is to be written of a finding, newlines included. Never waits.
    pub fn send(&self, finding: String, text: String) {
        self.shared.lock().push(Line { finding, text });
        self.shared.changed.notify_one();
    }

    /// How often something was not written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }

    /// Waits until everything is out, but no longer than `patience`; returns whether it is.
    pub async fn finish(self, patience: Duration) -> bool {
        let Self { shared, writer } = self;
        shared.lock().closed = true;
        shared.changed.notify_one();
        let joined = tokio::task::spawn_blocking(move || writer.join());
        matches!(tokio::time::timeout(patience, joined).await, Ok(Ok(Ok(()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(finding: usize, text: &str) -> Line {
        Line {
            finding: finding.to_string(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn while_few_wait_every_line_is_kept() {
        let mut queue = Queue::default();
        for _ in 0..PLENTY {
            queue.push(line(1, "x"));
        }
        assert_eq!((queue.lines.len(), queue.bytes, queue.dropped), (PLENTY, PLENTY, 0));
    }

    #[test]
    fn when_many_wait_the_latest_state_of_each_finding_is_kept() {
        let mut queue = Queue::default();
        for finding in 0..2 * PLENTY {
            queue.push(line(finding, "new"));
        }
        for finding in 0..2 * PLENTY {
            queue.push(line(finding, "ended"));
        }
        assert_eq!((queue.lines.len(), queue.dropped), (2 * PLENTY, 2 * PLENTY as u64));
        assert!(queue.lines.iter().all(|line| line.text == "ended"));
        assert_eq!(queue.bytes, 2 * PLENTY * "ended".len());
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let mut queue = Queue::default();
        let long = "x".repeat(BYTES_MAX / 3);
        for finding in 0..5 {
            queue.push(line(finding, &long));
        }
        assert_eq!((queue.lines.len(), queue.dropped), (3, 2));
        assert!(queue.bytes <= BYTES_MAX);
    }
}
