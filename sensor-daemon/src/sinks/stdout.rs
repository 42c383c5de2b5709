//! Standard output, behind a bounded queue and a thread of its own: a reader that is slow or stuck never stops
//! detection. What does not fit is dropped, whole lines only, and counted.

use std::{
    io::{self, Write as _},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::oneshot;

/// Lines that wait at most. One is 2 to 60 KB.
const QUEUE_MAX: usize = 256;

/// The queue's end that detection holds.
pub struct Stdout {
    queue: SyncSender<String>,
    writer: JoinHandle<()>,
    dropped: u64,
}

/// Starts the writer. The receiver resolves when standard output can't be written to any more.
///
/// # Errors
/// No thread can be started.
pub fn start() -> io::Result<(Stdout, oneshot::Receiver<io::Error>)> {
    let (queue, lines) = sync_channel(QUEUE_MAX);
    let (failed, failure) = oneshot::channel();
    let writer = std::thread::Builder::new().name("stdout".into()).spawn(move || {
        if let Err(error) = write_all(&lines) {
            // Nobody listens once the sensor is stopping; it then says itself that lines were lost.
            let _ = failed.send(error);
        }
    })?;
    Ok((
        Stdout {
            queue,
            writer,
            dropped: 0,
        },
        failure,
    ))
}

fn write_all(lines: &Receiver<String>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    while let Ok(line) = lines.recv() {
        stdout.write_all(line.as_bytes())?;
        stdout.flush()?;
    }
    Ok(())
}

impl Stdout {
    /// Queues a line (or several; with their newlines). Never waits.
    pub fn send(&mut self, line: String) {
        match self.queue.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped += 1,
        }
    }

    /// Lines dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Waits until all lines are out, but no longer than `patience`; returns whether they are.
    pub async fn finish(self, patience: Duration) -> bool {
        let Self {
            queue,
            writer,
            dropped: _,
        } = self;
        drop(queue);
        let joined = tokio::task::spawn_blocking(move || writer.join());
        matches!(tokio::time::timeout(patience, joined).await, Ok(Ok(Ok(()))))
    }
}
