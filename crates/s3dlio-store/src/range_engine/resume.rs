//! One range: asked for, read into its destination, and resumed where it broke off.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta};

use super::Target;
use crate::budget::RequestPermit;
use crate::buffer::Part;
use crate::constants::{RESUME_ATTEMPTS, RESUME_BACKOFF};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::transport::Attempts;

/// Which version of the object all answers must be of.
#[derive(Debug, Clone)]
pub(super) struct Pin {
    e_tag: Option<String>,
    size: u64,
    last_modified: DateTime<Utc>,
}

impl Pin {
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        Self { e_tag: meta.e_tag.clone(), size: meta.size, last_modified: meta.last_modified }
    }

    fn is_of(&self, meta: &ObjectMeta) -> bool {
        match (&self.e_tag, &meta.e_tag) {
            (Some(pinned), Some(found)) => pinned == found,
            _ => self.size == meta.size && self.last_modified == meta.last_modified,
        }
    }
}

/// Where a range's bytes go.
#[derive(Debug)]
pub(super) enum Destination {
    /// A part of a pooled buffer.
    Part(Part),
    /// Memory of exactly the size of a small object, which needs no pool.
    Small { data: BytesMut, length: usize },
}

impl Destination {
    pub(super) fn small(length: usize) -> Self {
        Self::Small { data: BytesMut::with_capacity(length), length }
    }

    /// The bytes of a small destination.
    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Self::Small { data, .. } => data.freeze(),
            Self::Part(_) => Bytes::new(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), usize> {
        match self {
            Self::Part(part) => part.write(bytes),
            Self::Small { data, length } if data.len() + bytes.len() <= *length => {
                data.extend_from_slice(bytes);
                Ok(())
            }
            Self::Small { data, length } => Err(data.len() + bytes.len() - *length),
        }
    }

    fn written(&self) -> usize {
        match self {
            Self::Part(part) => part.written(),
            Self::Small { data, .. } => data.len(),
        }
    }

    fn remaining(&self) -> usize {
        match self {
            Self::Part(part) => part.remaining(),
            Self::Small { data, length } => length - data.len(),
        }
    }
}

/// How an attempt ended before its last byte.
enum Broken {
    /// The request failed; the transport has tried again as often as it may.
    Request(Error),
    /// The body broke off; the rest can be asked for.
    Body(Error),
}

/// Stores of other makers have no kind for a body that broke off: what is not known to be final is worth asking again.
pub(super) fn may_resume(kind: ErrorKind) -> bool {
    kind.is_transient() || kind == ErrorKind::Other
}

/// How often and for how long a body is resumed.
#[derive(Debug)]
pub(super) struct Patience {
    timeout: Duration,
    stalled: Duration,
    attempts: u32,
    fruitless: u32,
}

impl Patience {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, stalled: Duration::ZERO, attempts: 0, fruitless: 0 }
    }

    /// How long the next attempt may go without progress.
    pub(super) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.stalled)
    }

    /// The pause before the next attempt after one that ended with `error`, or why there is none.
    pub(super) fn pause_after(&mut self, error: Error, brought: bool, idle: Duration, uri: &str) -> Result<Duration> {
        self.attempts += 1;
        self.stalled += idle;
        self.fruitless = if brought { 0 } else { self.fruitless + 1 };
        let pause = RESUME_BACKOFF * self.fruitless;
        let limit = if self.fruitless >= RESUME_ATTEMPTS {
            format!("{RESUME_ATTEMPTS} attempts brought no byte")
        } else if self.stalled + pause >= self.timeout {
            format!("range_timeout is {:.1} s", self.timeout.as_secs_f64())
        } else {
            tracing::debug!(uri, %error, "the body broke off; resuming");
            self.stalled += pause;
            return Ok(pause);
        };
        Err(Error::new(error.kind(), Operation::Get, uri)
            .with_message(format!("given up after {} attempts ({limit})", self.attempts))
            .with_source(error))
    }
}

/// Asks for a range of the pinned version, when there is a place for the request.
pub(super) async fn ask(target: &Target, pin: &Pin, missing: Range<u64>) -> Result<(GetResult, RequestPermit)> {
    let permit = target.limiter.acquire().await;
    let options = GetOptions {
        range: Some(GetRange::Bounded(missing.clone())),
        if_match: pin.e_tag.clone(),
        ..GetOptions::default()
    };
    let error = |kind| Error::new(kind, Operation::Get, &*target.uri);
    let changed = || error(ErrorKind::Changed).with_hint("read it again to have the new version whole");
    let answer = match target.store.get_opts(&target.path, options).await {
        Ok(answer) => answer,
        Err(error) => {
            let error = Error::from_store(error, Operation::Get, &*target.uri);
            return Err(match error.kind() {
                // A range of the pinned version is there; of a shorter object it is not.
                ErrorKind::PreconditionFailed | ErrorKind::NotFound | ErrorKind::RangeNotSatisfiable => {
                    changed().with_source(error)
                }
                _ => error,
            });
        }
    };
    if !pin.is_of(&answer.meta) {
        return Err(changed());
    }
    if answer.range != missing {
        let message = format!("asked for bytes {missing:?}, the server sends {:?}", answer.range);
        return Err(error(ErrorKind::Integrity).with_message(message));
    }
    Ok((answer, permit))
}

/// One range of one object and the memory for it.
#[derive(Debug)]
pub(super) struct RangeTask {
    pub(super) target: Target,
    /// How long the range may go without progress, over all its attempts.
    pub(super) timeout: Duration,
    pub(super) pin: Pin,
    pub(super) range: Range<u64>,
    pub(super) destination: Destination,
}

impl RangeTask {
    /// Reads the range to its last byte. `answer` is the answer of a request that has been sent for it already.
    pub(super) async fn run(mut self, mut answer: Option<(GetResult, RequestPermit)>) -> Result<Destination> {
        let mut patience = Patience::new(self.timeout);
        loop {
            let before = self.destination.written();
            let mut progress = Instant::now();
            let error = match self.attempt(answer.take(), patience.left(), &mut progress).await {
                Ok(()) if self.destination.remaining() == 0 => return Ok(self.destination),
                Ok(()) => self.error(ErrorKind::Integrity).with_message(format!(
                    "the body ended {} bytes early at byte {}",
                    self.destination.remaining(),
                    self.range.start + self.destination.written() as u64
                )),
                Err(Broken::Request(error)) => return Err(error),
                Err(Broken::Body(error)) if !may_resume(error.kind()) => return Err(error),
                Err(Broken::Body(error)) => error,
            };
            let brought = self.destination.written() > before;
            let pause = patience.pause_after(error, brought, progress.elapsed(), &self.target.uri)?;
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads what one answer brings, from the first byte that is missing.
    async fn attempt(
        &mut self,
        answer: Option<(GetResult, RequestPermit)>,
        patience: Duration,
        progress: &mut Instant,
    ) -> Result<(), Broken> {
        let (answer, permit) = match answer {
            Some(answer) => answer,
            None => match tokio::time::timeout(patience, ask(&self.target, &self.pin, self.missing())).await {
                Ok(answer) => answer.map_err(Broken::Request)?,
                Err(_) => return Err(Broken::Body(self.error(ErrorKind::Timeout).with_message("no answer"))),
            },
        };
        let throttled = answer.extensions.get::<Attempts>().is_some_and(|attempts| attempts.throttled);
        let before = self.destination.written();
        let mut body = answer.into_stream();
        *progress = Instant::now();
        loop {
            match tokio::time::timeout(patience, body.next()).await {
                Ok(Some(Ok(data))) => {
                    *progress = Instant::now();
                    self.destination.write(&data).map_err(|excess| {
                        let message = format!("the body has {excess} bytes more than were asked for");
                        Broken::Request(self.error(ErrorKind::Integrity).with_message(message))
                    })?;
                    if self.destination.remaining() == 0 {
                        // The last byte is here; polling on lets the connection go back to its pool.
                        continue;
                    }
                }
                Ok(None) => {
                    permit.finish((self.destination.written() - before) as u64, throttled);
                    return Ok(());
                }
                Ok(Some(Err(error))) => {
                    return Err(Broken::Body(Error::from_store(error, Operation::Get, &*self.target.uri)));
                }
                Err(_) => {
                    let error = self.error(ErrorKind::Timeout).with_message("the body stalled");
                    return Err(Broken::Body(error));
                }
            }
        }
    }

    fn missing(&self) -> Range<u64> {
        self.range.start + self.destination.written() as u64..self.range.end
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, Operation::Get, &*self.target.uri)
    }
}
