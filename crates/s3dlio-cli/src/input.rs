//! Standard input and other files that are no regular files, read by a thread of their own: one that waits for input
//! must keep nothing from being cancelled.

use std::io::{self, BufRead, Read, Write};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// Size of one read.
const CHUNK: usize = 1 << 20;
/// Chunks read ahead.
const QUEUE: usize = 4;

/// Chunks of a reader as they come; the last one may be an error.
pub(crate) fn chunks(mut reader: impl Read + Send + 'static) -> mpsc::Receiver<io::Result<Bytes>> {
    let (queue, chunks) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = reader.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
            let last = !matches!(read, Ok(length) if length > 0);
            let item = match read {
                Ok(0) => break,
                Ok(_) => Ok(chunk.into()),
                Err(error) => Err(error),
            };
            if queue.blocking_send(item).is_err() || last {
                break;
            }
        }
    });
    chunks
}

/// Asks on the terminal; no is the answer unless it begins with a y.
pub(crate) async fn confirm(question: String) -> bool {
    let (tell, answer) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let asked = write!(io::stderr(), "{question} [y/N] ");
        let read = asked.and_then(|()| io::stdin().lock().read_line(&mut line));
        let _ = tell.send(read.is_ok() && line.trim_start().to_ascii_lowercase().starts_with('y'));
    });
    answer.await.unwrap_or(false)
}
