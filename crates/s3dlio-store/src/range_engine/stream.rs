//! An object as a stream of chunks in order, of any size in constant memory.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::{Attributes, GetOptions, GetRange, ObjectMeta};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::passing::{Body, Passing};
use super::resume::{Destination, Patience, Pin, RangeTask};
use super::{RangeEngine, Target, length_of, settle_size};
use crate::budget::Lease;
use crate::cancel::or_cancelled;
use crate::constants::STREAM_WINDOW;
use crate::error::{Error, ErrorKind, Operation, Result};

/// An object that is read as a stream.
pub struct ByteStream {
    /// Size, entity tag, time and version of the whole object.
    pub meta: ObjectMeta,
    /// Content type and user metadata.
    pub attributes: Attributes,
    /// The range of the object that the chunks cover.
    pub range: Range<u64>,
    chunks: BoxStream<'static, Result<Bytes>>,
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteStream").field("meta", &self.meta).field("range", &self.range).finish_non_exhaustive()
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Bytes>>> {
        let next = self.chunks.as_mut().poll_next(cx);
        if let std::task::Poll::Ready(Some(Err(_))) = &next {
            self.chunks = futures::stream::empty().boxed();
        }
        next
    }
}

type Chunk = AbortOnDropHandle<Result<(Bytes, Lease)>>;

/// The chunks that are being fetched ahead, in order, and the range that has not been asked for.
struct Ahead {
    engine: RangeEngine,
    target: Target,
    pin: Pin,
    fetching: VecDeque<Chunk>,
    waiting: Range<u64>,
    window: usize,
    cancel: CancellationToken,
}

impl RangeEngine {
    /// Opens an object, or a range of it, as a stream of chunks in order. Chunks ahead of the consumer are fetched at the
    /// same time, within the byte budget; a chunk's bytes are given back when the consumer takes it. Where the engine
    /// does not split, one request brings all, and its bytes are handed on as they arrive.
    ///
    /// # Errors
    /// As [`RangeEngine::get`], here or from the stream. Dropping the stream, or cancelling the token, ends every
    /// request.
    pub async fn stream(
        &self,
        target: &Target,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<ByteStream> {
        or_cancelled(cancel, Operation::Get, &target.uri, self.open_stream(target, range, cancel)).await
    }

    async fn open_stream(
        &self,
        target: &Target,
        range: Option<Range<u64>>,
        cancel: &CancellationToken,
    ) -> Result<ByteStream> {
        let chunk_size = self.config.chunk_size;
        let start = range.as_ref().map_or(0, |range| range.start);
        // Of an empty range nothing but the object's metadata is wanted.
        let asked_end = range.as_ref().map_or(u64::MAX, |range| range.end.max(start.saturating_add(1)));
        let first_end = if self.config.splits() { asked_end.min(start.saturating_add(chunk_size)) } else { asked_end };
        let mut lease = self.budget.lease();
        lease.grow((first_end - start).min(chunk_size)).await;
        let permit = target.limiter.acquire().await;
        let asked = Some(GetRange::Bounded(start..first_end));
        let first = match range {
            None => match self.first_answer(target, self.config.splits().then_some(first_end)).await {
                // Of an empty object nothing but its metadata is asked for.
                Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => {
                    self.ask(target, GetOptions::default()).await?
                }
                first => first?,
            },
            Some(_) => self.ask(target, GetOptions { range: asked, ..GetOptions::default() }).await?,
        };
        let (meta, attributes) = (first.meta.clone(), first.attributes.clone());
        if first.range.start != start && !first.range.is_empty() {
            return Err(Error::new(ErrorKind::Integrity, Operation::Get, &*target.uri)
                .with_message(format!("asked for bytes from {start} on, the store sends {:?}", first.range)));
        }
        let end = range.map_or(meta.size, |range| range.end.min(meta.size)).max(start);
        let (pin, rest) = (Pin::of(&meta), first.range.end..end.max(first.range.end));
        let answered = first.range.end - first.range.start;
        let chunks = if end == start {
            futures::stream::empty().boxed()
        } else if answered > chunk_size || !self.config.splits() {
            passing(self, target, pin, start..end, Some(Body::new(first, permit)), cancel).boxed()
        } else {
            let is_split = self.splits_after(&first);
            let window = self.config.max_concurrent_ranges.min((STREAM_WINDOW / chunk_size).max(1) as usize);
            let mut ahead = Ahead {
                engine: self.clone(),
                target: target.clone(),
                pin: pin.clone(),
                fetching: VecDeque::new(),
                waiting: if is_split { rest.clone() } else { 0..0 },
                window,
                cancel: cancel.clone(),
            };
            ahead.spawn(first.range.clone(), lease, Some((first, permit)))?;
            let rest = if is_split { 0..0 } else { rest };
            ahead.into_stream().chain(passing(self, target, pin, rest, None, cancel)).boxed()
        };
        Ok(ByteStream { meta, attributes, range: start..end, chunks: chunks.fuse().boxed() })
    }
}

/// The bytes of `rest` as they arrive, of `body` first. Ends with the first error.
fn passing(
    engine: &RangeEngine,
    target: &Target,
    pin: Pin,
    rest: Range<u64>,
    body: Option<Body>,
    cancel: &CancellationToken,
) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
    let patience = Patience::new(engine.config.range_timeout);
    let passing = Passing { target: target.clone(), pin, patience, rest, body, cancel: cancel.clone() };
    futures::stream::unfold(Some(passing), |passing| async move {
        let mut passing = passing?;
        match passing.next().await {
            Ok(None) => None,
            Ok(Some(bytes)) => Some((Ok(bytes), Some(passing))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Ahead {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        futures::stream::unfold(Some(self), |ahead| async move {
            let mut ahead = ahead?;
            match ahead.next().await {
                Ok(None) => None,
                Ok(Some(bytes)) => Some((Ok(bytes), Some(ahead))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// The next chunk in order.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.fetching.len() < self.window && !self.waiting.is_empty() {
            let end = self.waiting.end.min(self.waiting.start.saturating_add(self.engine.config.chunk_size));
            let range = std::mem::replace(&mut self.waiting.start, end)..end;
            let lease = self.engine.budget.lease();
            self.spawn(range, lease, None)?;
        }
        let Some(next) = self.fetching.pop_front() else {
            return Ok(None);
        };
        let joined = or_cancelled(&self.cancel, Operation::Get, &self.target.uri, async {
            match next.await {
                Ok(result) => result,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => {
                    Err(Error::new(ErrorKind::Cancelled, Operation::Get, &*self.target.uri).with_source(error))
                }
            }
        })
        .await;
        // Here the consumer takes the bytes: the lease ends.
        joined.map(|(bytes, _lease)| Some(bytes))
    }

    fn spawn(
        &mut self,
        range: Range<u64>,
        mut lease: Lease,
        answer: Option<(object_store::GetResult, crate::budget::RequestPermit)>,
    ) -> Result<()> {
        let length = length_of(&self.target, range.end - range.start)?;
        let (assembly, part) = self.engine.buffer(&self.target, length)?.into_part();
        let task = RangeTask {
            target: self.target.clone(),
            timeout: self.engine.config.range_timeout,
            pin: self.pin.clone(),
            range,
            destination: Destination::Part(part),
        };
        let uri = self.target.uri.clone();
        self.fetching.push_back(AbortOnDropHandle::new(tokio::spawn(async move {
            let answer = match answer {
                Some((answer, permit)) => {
                    let limiter = task.target.limiter.clone();
                    Some((answer, settle_size(&mut lease, length as u64, permit, &limiter).await))
                }
                None => {
                    lease.grow(length as u64).await;
                    None
                }
            };
            drop(task.run(answer).await?);
            lease.complete();
            let bytes = assembly.freeze().map_err(|missing| {
                Error::new(ErrorKind::Integrity, Operation::Get, &*uri)
                    .with_message(format!("{missing} bytes are missing"))
            })?;
            Ok((bytes, lease))
        })));
        Ok(())
    }
}
