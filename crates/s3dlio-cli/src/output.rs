//! Standard output, and how values look on it.
//!
//! A thread of its own writes, so that a reader who does not read cannot keep a command from being cancelled. Between
//! the two is a short queue: memory stays flat, and a full pipe slows the command down.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use s3dlio::{CancellationToken, Error, Operation};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::failure::NobodyReads;

/// Chunks that wait to be written.
const QUEUE: usize = 4;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Output {
    gathered: String,
    queue: mpsc::Sender<Bytes>,
    written: oneshot::Receiver<io::Result<()>>,
    cancel: CancellationToken,
}

impl Output {
    /// The process's standard output. What is written to it after `cancel` is lost.
    pub(crate) fn new(cancel: CancellationToken) -> Self {
        let (queue, mut chunks) = mpsc::channel::<Bytes>(QUEUE);
        let (tell, written) = oneshot::channel();
        std::thread::spawn(move || {
            let mut stdout = io::stdout().lock();
            let mut result = Ok(());
            while let Some(chunk) = chunks.blocking_recv() {
                result = stdout.write_all(&chunk).and_then(|()| stdout.flush());
                if result.is_err() {
                    break;
                }
            }
            // Nobody waits for the answer of a command that failed on its own.
            let _ = tell.send(result);
        });
        Self { gathered: String::new(), queue, written, cancel }
    }

    /// Adds one line, which [`flush`](Self::flush) writes.
    pub(crate) fn line(&mut self, line: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.gathered, "{line}");
    }

    /// Adds one JSON object as a line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let line = serde_json::to_string(value)?;
        self.line(line);
        Ok(())
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// [`NobodyReads`] where the reader has gone, another I/O error, or `Cancelled`.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        match std::mem::take(&mut self.gathered) {
            empty if empty.is_empty() => Ok(()),
            lines => self.write(lines.into()).await,
        }
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub(crate) async fn write(&mut self, bytes: Bytes) -> anyhow::Result<()> {
        match self.cancel.run_until_cancelled(self.queue.send(bytes)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => failure_of((&mut self.written).await),
            None => Err(cancelled()),
        }
    }

    /// Writes what was added and waits until everything has been taken.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        self.flush().await?;
        drop(self.queue);
        match self.cancel.run_until_cancelled(self.written).await {
            Some(written) => failure_of(written),
            None => Err(cancelled()),
        }
    }
}

fn failure_of(written: Result<io::Result<()>, oneshot::error::RecvError>) -> anyhow::Result<()> {
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        Ok(Err(error)) => Err(anyhow::Error::new(error).context("write to standard output")),
        Err(_) => Err(anyhow::anyhow!("write to standard output: its thread has ended")),
    }
}

fn cancelled() -> anyhow::Error {
    Error::cancelled(Operation::Write, "standard output").into()
}

/// A number of bytes for people: `512 B`, `1.5 KiB`.
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = Some(next);
    }
    format!("{value:.1} {}", unit.unwrap_or(&"KiB"))
}

/// A time in UTC, to the second.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `1 object`, `2 objects`.
pub(crate) fn count(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A name in one line of a terminal: control characters are escaped. JSON output has names as they are.
pub(crate) fn printable(name: &str) -> String {
    if !name.chars().any(char::is_control) {
        return name.to_owned();
    }
    name.chars().fold(String::new(), |mut shown, c| {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        let shown = [0, 1, 1023, 1024, 1536, 1048524, 1048575, 1 << 30, u64::MAX].map(human_size);
        assert_eq!(
            shown,
            ["0 B", "1 B", "1023 B", "1.0 KiB", "1.5 KiB", "1023.9 KiB", "1.0 MiB", "1.0 GiB", "16.0 EiB"]
        );
    }

    #[test]
    fn a_name_cannot_command_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc ü\\"), "a\\u{1b}[2Jb\\nc ü\\");
    }
}
