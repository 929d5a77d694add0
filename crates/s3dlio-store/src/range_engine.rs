//! The one reader of objects, over any store.
//!
//! A read begins with one request that also learns the size and the entity tag: no HEAD is ever sent. An object of
//! unknown size is asked for by one ranged GET of `min_split_size` bytes; a small object is done with that. A larger one
//! says its size in the answer, and the rest fans out in ranges of `chunk_size`, pinned to the entity tag. An object
//! whose size is known and small is fetched whole by a plain GET.
//!
//! Splitting is worth it only while places for requests are free: when whole objects keep the limit busy already, the
//! rest of a large object follows as one more request. So it does, as it arrives and without a buffer of its own, in a
//! stream of an engine that does not split, or of a server that knows no ranges.
//!
//! Every range is a task of its own, owned by the read that started it: dropping the read, or cancelling its token,
//! aborts them all and closes their sockets. A body that breaks off or stalls is resumed at the byte where it did,
//! until it has been without progress for `range_timeout`. Requests themselves are retried by the transport alone.

mod passing;
mod ranges;
mod resume;
mod stream;

pub use stream::ByteStream;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::budget::{ByteBudget, Lease, RequestLimiter, RequestPermit};
use crate::buffer::{Buffer, BufferPool};
use crate::cancel::or_cancelled;
use crate::config::UnifiedLoaderConfig;
use crate::constants::POOLED_BUFFER_MIN;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::transport::RangeIgnored;

use ranges::{chunks, coalesce, slice_of};
use resume::{Destination, Pin, RangeTask};

/// How objects are split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeEngineConfig {
    /// Size of one range in bytes.
    pub chunk_size: u64,
    /// Ranges of one object in flight at once; one means that objects are never split.
    pub max_concurrent_ranges: usize,
    /// Objects below this size in bytes are never split.
    pub min_split_size: u64,
    /// How long one range may go without progress, resumed attempts included.
    pub range_timeout: Duration,
}

impl RangeEngineConfig {
    /// The engine's part of the unified configuration. `enable_range_engine = false` never splits.
    pub fn new(config: &UnifiedLoaderConfig) -> Self {
        Self {
            chunk_size: config.range_chunk_size.max(1),
            max_concurrent_ranges: if config.enable_range_engine {
                config.max_concurrent_ranges_per_object.max(1)
            } else {
                1
            },
            min_split_size: config.range_split_threshold.max(1),
            range_timeout: config.range_timeout,
        }
    }

    fn splits(&self) -> bool {
        self.max_concurrent_ranges > 1
    }
}

/// One object of one store: what a read needs to know.
#[derive(Debug, Clone)]
pub struct Target {
    /// The store, with whatever wrappers are around it.
    pub store: Arc<dyn ObjectStore>,
    /// The object's path in the store.
    pub path: Path,
    /// What errors call it.
    pub uri: Arc<str>,
    /// The limit of requests to the store's endpoint.
    pub limiter: RequestLimiter,
}

/// An object that has been read.
#[derive(Debug)]
pub struct Fetched {
    /// Its bytes.
    pub data: Bytes,
    /// The entity tag of the version that was read; `None` for an empty object, and where the store has none.
    pub e_tag: Option<String>,
    /// The bytes' place in the budget. Drop it when the consumer takes the data; where the data waits for its consumer,
    /// call [`Lease::complete`] first, so that it cannot hold up reads that are younger.
    pub lease: Lease,
}

/// Reads objects: whole, by ranges, or as a stream.
///
/// ```
/// # use std::sync::Arc;
/// use s3dlio_store::budget::{ByteBudget, RequestLimiter};
/// use s3dlio_store::object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
/// use s3dlio_store::range_engine::{RangeEngine, RangeEngineConfig, Target};
/// use s3dlio_store::{CancellationToken, RequestLimit, UnifiedLoaderConfig};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = InMemory::new();
/// store.put(&Path::from("key"), "value".into()).await.unwrap();
///
/// let engine = RangeEngine::new(RangeEngineConfig::new(&UnifiedLoaderConfig::default()), ByteBudget::new(1 << 30));
/// let target = Target {
///     store: Arc::new(store),
///     path: Path::from("key"),
///     uri: "memory:///key".into(),
///     limiter: RequestLimiter::new(RequestLimit::Adaptive),
/// };
/// let fetched = engine.get(&target, None, &CancellationToken::new()).await.unwrap();
/// assert_eq!(fetched.data, "value");
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct RangeEngine {
    config: Arc<RangeEngineConfig>,
    budget: ByteBudget,
    buffers: BufferPool,
}

impl RangeEngine {
    /// An engine whose reads share `budget` and a pool of buffers.
    pub fn new(config: RangeEngineConfig, budget: ByteBudget) -> Self {
        // What is kept for reuse comes on top of the budget: a small part of it.
        let keep = usize::try_from(budget.capacity() / 8).unwrap_or(usize::MAX);
        Self::with_buffers(config, budget, BufferPool::new(keep))
    }

    /// An engine that shares its buffers with others.
    pub fn with_buffers(config: RangeEngineConfig, budget: ByteBudget, buffers: BufferPool) -> Self {
        Self { config: Arc::new(config), budget, buffers }
    }

    /// How this engine splits.
    pub fn config(&self) -> &RangeEngineConfig {
        &self.config
    }

    /// The bytes in flight of this engine and those that share its budget.
    pub fn budget(&self) -> &ByteBudget {
        &self.budget
    }

    /// Reads a whole object. `size_hint` is what a listing said: with it a small object takes a plain GET, and the
    /// right number of bytes is reserved from the start. A wrong hint costs requests, never correctness.
    ///
    /// # Errors
    /// By kind: [`NotFound`](ErrorKind::NotFound), [`Changed`](ErrorKind::Changed) if the object is replaced while it is
    /// read, [`Integrity`](ErrorKind::Integrity) for a body that stays short, [`Cancelled`](ErrorKind::Cancelled), and
    /// whatever the store says. Cancelling the token, or dropping the future, ends every request of the read.
    pub async fn get(&self, target: &Target, size_hint: Option<u64>, cancel: &CancellationToken) -> Result<Fetched> {
        self.get_leased(target, size_hint, self.budget.lease(), cancel).await
    }

    /// [`RangeEngine::get`] with a place in line that was taken before: reads are admitted in the order of their leases.
    pub async fn get_leased(
        &self,
        target: &Target,
        size_hint: Option<u64>,
        lease: Lease,
        cancel: &CancellationToken,
    ) -> Result<Fetched> {
        // Pinned here, so that a large future is not moved on its way down.
        let read = std::pin::pin!(self.read_object(target, size_hint, lease));
        or_cancelled(cancel, Operation::Get, &target.uri, read).await
    }

    async fn read_object(&self, target: &Target, size_hint: Option<u64>, mut lease: Lease) -> Result<Fetched> {
        // A hint may be anything: more than everything is never asked for before the store has said so too.
        lease.grow(size_hint.unwrap_or(self.config.min_split_size).min(self.budget.capacity())).await;
        let permit = target.limiter.acquire().await;
        let first = match self.first_answer(target, self.first_request_size(size_hint)).await {
            Ok(first) => first,
            Err(error) if error.kind() == ErrorKind::RangeNotSatisfiable => {
                // Only an empty object has no first byte.
                lease.shrink_to(0);
                return Ok(Fetched { data: Bytes::new(), e_tag: None, lease });
            }
            Err(error) => return Err(error),
        };
        let (size, e_tag) = (first.meta.size, first.meta.e_tag.clone());
        length_of(target, size)?;
        let permit = settle_size(&mut lease, size, permit, &target.limiter).await;
        let data = self.assemble(target, first, permit, 0..size).await?;
        Ok(Fetched { data, e_tag, lease })
    }

    /// The bytes of `whole`, whose beginning is in the first answer.
    async fn assemble(
        &self,
        target: &Target,
        first: GetResult,
        permit: RequestPermit,
        whole: Range<u64>,
    ) -> Result<Bytes> {
        let length = length_of(target, whole.end - whole.start)?;
        if first.range.start != whole.start || first.range.end > whole.end {
            return Err(Error::new(ErrorKind::Integrity, Operation::Get, &*target.uri)
                .with_message(format!("asked for bytes {whole:?}, the store sends {:?}", first.range)));
        }
        let small = first.range.end == whole.end && length < POOLED_BUFFER_MIN;
        let buffer = if small { None } else { Some(self.buffer(target, length)?) };
        let rest = self.split(&first, whole.end, target);
        let task = |range, destination| RangeTask {
            target: target.clone(),
            timeout: self.config.range_timeout,
            pin: Pin::of(&first.meta),
            range,
            destination,
        };
        let Some(buffer) = buffer else {
            let small = task(whole, Destination::small(length)).run(Some((first, permit))).await?;
            return Ok(small.into_bytes());
        };
        let ends = std::iter::once(first.range.end).chain(rest.iter().map(|range| range.end));
        let ends: Vec<usize> = ends.map(|end| (end - whole.start) as usize).collect();
        let (assembly, parts) = buffer.split(ends);
        let mut tasks = std::iter::once(first.range.clone())
            .chain(rest)
            .zip(parts)
            .map(|(range, part)| task(range, Destination::Part(part)))
            .collect::<VecDeque<_>>();
        let head = tasks.pop_front();
        if let Some(head) = head {
            // Boxed, so that reads of small objects do not carry the state of large ones.
            Box::pin(self.run(head, (first, permit), tasks)).await?;
        }
        assembly.freeze().map_err(|missing| {
            Error::new(ErrorKind::Integrity, Operation::Get, &*target.uri)
                .with_message(format!("{missing} bytes are missing"))
        })
    }

    /// Bytes that the first request asks for; `None` asks for the whole object.
    fn first_request_size(&self, size_hint: Option<u64>) -> Option<u64> {
        let config = &self.config;
        match size_hint {
            _ if !config.splits() => None,
            Some(size) if size < config.min_split_size => None,
            _ => Some(config.min_split_size),
        }
    }

    /// The first answer: some bytes, the size, and the entity tag.
    async fn first_answer(&self, target: &Target, size: Option<u64>) -> Result<GetResult> {
        let Some(size) = size else {
            return self.ask(target, GetOptions::default()).await;
        };
        let ranged = GetOptions { range: Some(GetRange::Bounded(0..size)), ..GetOptions::default() };
        match self.ask(target, ranged).await {
            Ok(answer) => Ok(answer),
            // Some servers know no ranges, and some stores have no word for a range beyond the end: the plain request
            // tells.
            Err(error) if error.kind() == ErrorKind::Other => self.ask(target, GetOptions::default()).await,
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, target: &Target, options: GetOptions) -> Result<GetResult> {
        let answer = target.store.get_opts(&target.path, options).await;
        answer.map_err(|error| Error::from_store(error, Operation::Get, &*target.uri))
    }

    fn buffer(&self, target: &Target, length: usize) -> Result<Buffer> {
        self.buffers.take(length).ok_or_else(|| too_large(target, length as u64))
    }

    /// The ranges that follow the first answer.
    fn split(&self, first: &GetResult, end: u64, target: &Target) -> Vec<Range<u64>> {
        let rest = first.range.end..end;
        if rest.is_empty() {
            return Vec::new();
        }
        if target.limiter.is_busy() || !self.splits_after(first) {
            return vec![rest];
        }
        chunks(rest, self.config.chunk_size).collect()
    }

    /// Whether more ranges pay. Of a server that ignores them, each would be cut out of the whole object.
    fn splits_after(&self, first: &GetResult) -> bool {
        self.config.splits() && first.extensions.get::<RangeIgnored>().is_none()
    }

    /// Runs the first range beside as many others as may be in flight at once.
    async fn run(&self, head: RangeTask, answer: (GetResult, RequestPermit), tail: VecDeque<RangeTask>) -> Result<()> {
        if tail.is_empty() {
            return head.run(Some(answer)).await.map(drop);
        }
        let workers = tail.len().min(self.config.max_concurrent_ranges.saturating_sub(1).max(1));
        let waiting = Arc::new(Mutex::new(tail));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { head.run(Some(answer)).await.map(drop) });
        for _ in 0..workers {
            let waiting = waiting.clone();
            tasks.spawn(async move {
                loop {
                    let next = waiting.lock().pop_front();
                    match next {
                        Some(task) => drop(task.run(None).await?),
                        None => return Ok(()),
                    }
                }
            });
        }
        while let Some(joined) = tasks.join_next().await {
            settle(joined)?;
        }
        Ok(())
    }

    /// Reads one range of an object by one request, or by several where it is long. A bounded range that begins inside
    /// the object and ends beyond it is cut at its end.
    ///
    /// # Errors
    /// As [`RangeEngine::get`]; [`RangeNotSatisfiable`](ErrorKind::RangeNotSatisfiable) for a range that begins beyond
    /// the end.
    pub async fn get_range(&self, target: &Target, range: GetRange, cancel: &CancellationToken) -> Result<Bytes> {
        or_cancelled(cancel, Operation::Get, &target.uri, self.read_range(target, range)).await
    }

    async fn read_range(&self, target: &Target, range: GetRange) -> Result<Bytes> {
        let (asked, requested) = match &range {
            GetRange::Bounded(range) if range.is_empty() => return Ok(Bytes::new()),
            GetRange::Bounded(range) => {
                let length = range.end - range.start;
                let splits = self.config.splits() && length >= self.config.min_split_size;
                let first = if splits { self.config.chunk_size.min(length) } else { length };
                (GetRange::Bounded(range.start..range.start + first), Some(range.clone()))
            }
            other => (other.clone(), None),
        };
        let mut lease = self.budget.lease();
        if let GetRange::Bounded(first) = &asked {
            // A range may end far beyond the object: what is there is known by the answer.
            lease.grow((first.end - first.start).min(self.config.chunk_size)).await;
        }
        let permit = target.limiter.acquire().await;
        let first = match self.ask(target, GetOptions { range: Some(asked.clone()), ..GetOptions::default() }).await {
            Err(error) if error.kind() == ErrorKind::Other => return Err(self.explain(target, &asked, error).await),
            first => first?,
        };
        let whole = match requested {
            Some(requested) => requested.start..requested.end.min(first.meta.size),
            None => first.range.clone(),
        };
        let size = length_of(target, whole.end.saturating_sub(whole.start))? as u64;
        let permit = settle_size(&mut lease, size, permit, &target.limiter).await;
        self.assemble(target, first, permit, whole).await
    }

    /// Some stores have no word for a range beyond the end: the size of the whole tells.
    async fn explain(&self, target: &Target, asked: &GetRange, error: Error) -> Error {
        let (GetRange::Bounded(Range { start, .. }) | GetRange::Offset(start)) = asked else {
            return error;
        };
        match self.ask(target, GetOptions::default()).await {
            Ok(whole) if *start >= whole.meta.size => {
                Error::new(ErrorKind::RangeNotSatisfiable, Operation::Get, &*target.uri).with_source(error)
            }
            _ => error,
        }
    }

    /// Reads several ranges of one object. Ranges that overlap or lie close together are fetched by one request; the
    /// answer has one entry per range, in the order asked.
    ///
    /// # Errors
    /// As [`RangeEngine::get_range`], of the first range that fails; the others are cancelled.
    pub async fn get_ranges(
        &self,
        target: &Target,
        ranges: &[Range<u64>],
        cancel: &CancellationToken,
    ) -> Result<Vec<Bytes>> {
        or_cancelled(cancel, Operation::Get, &target.uri, self.read_ranges(target, ranges)).await
    }

    async fn read_ranges(&self, target: &Target, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let merged = coalesce(ranges);
        let next = Arc::new(Mutex::new(merged.clone().into_iter().enumerate()));
        let results = Arc::new(Mutex::new(vec![Bytes::new(); merged.len()]));
        let mut tasks = JoinSet::new();
        for _ in 0..merged.len().min(self.config.max_concurrent_ranges) {
            let (engine, target, next, results) = (self.clone(), target.clone(), next.clone(), results.clone());
            tasks.spawn(async move {
                loop {
                    let Some((index, range)) = next.lock().next() else {
                        return Ok(());
                    };
                    let data = engine.read_range(&target, GetRange::Bounded(range)).await?;
                    results.lock()[index] = data;
                }
            });
        }
        while let Some(joined) = tasks.join_next().await {
            settle(joined)?;
        }
        let results = results.lock();
        let beyond = |range: &Range<u64>| {
            Error::new(ErrorKind::RangeNotSatisfiable, Operation::Get, &*target.uri)
                .with_message(format!("the object ends before {range:?}"))
        };
        ranges.iter().map(|range| slice_of(&merged, &results, range).ok_or_else(|| beyond(range))).collect()
    }
}

/// The result of a task; its panic is passed on.
fn settle<T>(joined: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    match joined {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Tasks are aborted by dropping their set only, after which nobody joins them.
        Err(error) => Err(Error::new(ErrorKind::Cancelled, Operation::Get, "task").with_source(error)),
    }
}

/// A size as a length in memory: at most what one allocation may have.
fn length_of(target: &Target, size: u64) -> Result<usize> {
    isize::try_from(size).ok().and_then(|size| usize::try_from(size).ok()).ok_or_else(|| too_large(target, size))
}

fn too_large(target: &Target, size: u64) -> Error {
    Error::new(ErrorKind::InvalidInput, Operation::Get, &*target.uri)
        .with_message(format!("{size} bytes do not fit into memory"))
        .with_hint("read it as a stream")
}

/// Makes a lease hold what turned out to be needed. The request's place is given up while the read waits for bytes: the
/// read that they depend on may need it.
async fn settle_size(lease: &mut Lease, size: u64, permit: RequestPermit, limiter: &RequestLimiter) -> RequestPermit {
    let missing = size.saturating_sub(lease.bytes());
    if lease.try_grow(missing) {
        lease.shrink_to(size);
        return permit;
    }
    drop(permit);
    lease.grow(missing).await;
    limiter.acquire().await
}
