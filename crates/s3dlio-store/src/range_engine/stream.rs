//! An object as a stream of chunks in order, of any size in constant memory.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use object_store::{Attributes, GetOptions, GetRange, ObjectMeta};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::resume::{Destination, Pin, RangeTask};
use super::{RangeEngine, Target, chunks, length_of, settle_size};
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
        self.chunks.as_mut().poll_next(cx)
    }
}

type Chunk = AbortOnDropHandle<Result<(Bytes, Lease)>>;

/// The chunks that are being fetched ahead, in order, and those that have not been asked for.
struct Ahead {
    engine: RangeEngine,
    target: Target,
    pin: Pin,
    fetching: VecDeque<Chunk>,
    waiting: VecDeque<Range<u64>>,
    window: usize,
    cancel: CancellationToken,
}

impl RangeEngine {
    /// Opens an object, or a range of it, as a stream of chunks in order. Chunks ahead of the consumer are fetched at the
    /// same time, within the byte budget; a chunk's bytes are given back when the consumer takes it.
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
        let first_end = range.as_ref().map_or(u64::MAX, |range| range.end).min(start.saturating_add(chunk_size));
        let mut lease = self.budget.lease();
        lease.grow(first_end - start).await;
        let permit = target.limiter.acquire().await;
        let first = match range {
            None => match self.first_answer(target, Some(first_end)).await {
                // Of an empty object nothing but its metadata is asked for.
                Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => {
                    self.ask(target, GetOptions::default()).await?
                }
                first => first?,
            },
            Some(_) => {
                let asked = Some(GetRange::Bounded(start..first_end));
                self.ask(target, GetOptions { range: asked, ..GetOptions::default() }).await?
            }
        };
        let (meta, attributes) = (first.meta.clone(), first.attributes.clone());
        // A server that knows no ranges answers with the whole object, which is then cut into no chunks.
        let first_range = first.range.clone();
        let end = range.map_or(meta.size, |range| range.end.min(meta.size));
        let pin = Pin::of(&meta);
        let window = self.config.max_concurrent_ranges.min((STREAM_WINDOW / chunk_size).max(1) as usize);
        let mut ahead = Ahead {
            engine: self.clone(),
            target: target.clone(),
            pin,
            fetching: VecDeque::new(),
            waiting: chunks(first_range.end..end.max(first_range.end), chunk_size).collect(),
            window,
            cancel: cancel.clone(),
        };
        ahead.spawn(first_range.clone(), lease, Some((first, permit)))?;
        let chunks = futures::stream::unfold(Some(ahead), |ahead| async move {
            let mut ahead = ahead?;
            match ahead.next().await {
                Ok(None) => None,
                Ok(Some(bytes)) => Some((Ok(bytes), Some(ahead))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(ByteStream { meta, attributes, range: start..end, chunks: Box::pin(chunks) })
    }
}

impl Ahead {
    /// The next chunk in order.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.fetching.len() < self.window
            && let Some(range) = self.waiting.pop_front()
        {
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
        let (assembly, part) = self.engine.buffers.take(length).into_part();
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
