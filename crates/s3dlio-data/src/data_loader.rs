//! [`DataLoader`]: batches in order.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use s3dlio_store::{Client, Result, UnifiedLoaderConfig};

use crate::builder::LoaderBuilder;
use crate::dataset::Dataset;
use crate::engine::{Arrival, Engine, Plan};
use crate::sample::Batch;
use crate::state::Position;
use crate::statistics::{ConsumerClock, EpochStatistics};

/// Gives the samples of a data set in batches, in the order that the [`Sampler`](crate::Sampler) says: the same seed, the
/// same epoch, the same batches, however the objects arrive.
///
/// ```
/// use s3dlio_data::{DataLoader, Dataset};
/// use s3dlio_store::{Client, Config};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let client = Client::new(Config::default());
/// for number in 0..10 {
///     client.put(format!("memory:///set/{number}"), format!("sample {number}")).await?;
/// }
/// let dataset = Dataset::from_prefix(&client, "memory:///set/").await?;
/// let loader = DataLoader::builder(&client, &dataset).batch_size(4).shuffle(true).seed(42).build()?;
/// for number in 0..2 {
///     let mut epoch = loader.epoch(number);
///     let mut sizes = Vec::new();
///     while let Some(batch) = epoch.next().await {
///         sizes.push(batch?.samples.len());
///     }
///     assert_eq!(sizes, [4, 4, 2]);
/// }
/// # Ok::<(), s3dlio_store::Error>(())
/// # }).unwrap();
/// ```
///
/// Clones are cheap and share everything.
#[derive(Debug, Clone)]
pub struct DataLoader {
    plan: Arc<Plan>,
}

impl DataLoader {
    /// A builder for a loader of `dataset`, whose objects `client` reads.
    pub fn builder(client: &Client, dataset: &Dataset) -> LoaderBuilder<Self> {
        LoaderBuilder::new(client, dataset)
    }

    /// An epoch from its beginning. Nothing is read before it is first asked for a batch.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, &Position::start()).expect("the beginning of an epoch is never beyond it")
    }

    /// What is left of an epoch after `position`, in batches of `batch_size` from there: exactly the samples that the
    /// epoch had not given when [`Epoch::position`] was asked. With `drop_last`, samples that no longer make a full batch
    /// are left out, which happens only if the position is not a multiple of `batch_size`.
    ///
    /// # Errors
    /// [`InvalidInput`](s3dlio_store::ErrorKind::InvalidInput) for a position beyond the epoch's end.
    pub fn epoch_from(&self, epoch: u64, position: &Position) -> Result<Epoch> {
        let batch_size = self.plan.config.batch_size;
        Ok(Epoch {
            engine: self.plan.start(epoch, position, batch_size)?,
            number: epoch,
            next_index: position.samples() / batch_size,
            handed_out: 0,
            arrived: VecDeque::new(),
            clock: ConsumerClock::default(),
        })
    }

    /// Batches of one epoch, on this rank.
    pub fn batches_per_epoch(&self) -> usize {
        self.plan.sampler.batches_per_epoch()
    }

    /// Samples of one epoch, on this rank.
    pub fn samples_per_epoch(&self) -> usize {
        self.plan.sampler.samples_per_epoch()
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.plan.dataset
    }

    /// The values that the loader works with.
    pub fn config(&self) -> &UnifiedLoaderConfig {
        &self.plan.config
    }
}

impl LoaderBuilder<DataLoader> {
    /// The loader. Nothing is sent.
    ///
    /// # Errors
    /// As [`UnifiedLoaderConfig::validate`].
    pub fn build(self) -> Result<DataLoader> {
        Ok(DataLoader { plan: self.plan()? })
    }
}

/// The batches of one epoch, as a stream.
///
/// A batch with a sample that cannot be read is an error in that batch's place, the error of its first such sample, with
/// the sample's URI; others in the same batch are logged as warnings. The next call goes on with the next batch, so that
/// an epoch has as many items as batches, whatever happens to them.
///
/// After a cancellation the next item is an error of kind [`Cancelled`](s3dlio_store::ErrorKind::Cancelled), given when
/// every task of the epoch has ended, and then the stream ends. Dropping the epoch ends its tasks, requests and sockets.
/// It has to be polled on a tokio runtime with I/O and time.
#[must_use = "nothing is read before the first batch is asked for"]
pub struct Epoch {
    engine: Engine,
    number: u64,
    /// The number of the next batch.
    next_index: usize,
    /// Turns handed out: the sequence number that `arrived` begins with.
    handed_out: usize,
    /// What arrived and waits for the samples before it, by sequence number.
    arrived: VecDeque<Option<Arrival>>,
    clock: ConsumerClock,
}

impl Epoch {
    /// The next batch, or none at the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Batch>> {
        StreamExt::next(self).await
    }

    /// The epoch's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Batches that have not been given.
    pub fn batches_left(&self) -> usize {
        self.engine.left().div_ceil(self.batch_size())
    }

    /// Which samples have been given, for [`DataLoader::epoch_from`]. A batch that was an error counts as given.
    pub fn position(&self) -> &Position {
        self.engine.position()
    }

    /// What the epoch has given so far, and how long that took.
    pub fn statistics(&self) -> &EpochStatistics {
        &self.engine.statistics
    }

    fn batch_size(&self) -> usize {
        self.engine.plan().config.batch_size
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Batch>>> {
        loop {
            if self.engine.is_live(cx) {
                if let Some(batch) = self.take_batch() {
                    return Poll::Ready(Some(batch));
                }
            } else {
                // Gives the bytes back that wait here.
                self.arrived.clear();
            }
            match ready!(self.engine.poll_arrival(cx)) {
                Some(Ok(arrival)) => {
                    let slot = arrival.sequence - self.handed_out;
                    if self.arrived.len() <= slot {
                        self.arrived.resize_with(slot + 1, || None);
                    }
                    self.arrived[slot] = Some(arrival);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// The next batch, if all of it has arrived.
    fn take_batch(&mut self) -> Option<Result<Batch>> {
        let count = self.batch_size().min(self.engine.left());
        if count == 0 || self.arrived.len() < count || self.arrived.range(..count).any(Option::is_none) {
            return None;
        }
        let mut samples = Vec::with_capacity(count);
        let mut failure = None;
        for arrival in self.arrived.drain(..count).flatten() {
            match self.engine.hand_out(arrival) {
                Ok(sample) => samples.push(sample),
                Err(error) if failure.is_none() => failure = Some(error),
                Err(error) => tracing::warn!(%error, "one more sample of the same batch failed"),
            }
        }
        self.handed_out += count;
        let index = self.next_index;
        self.next_index += 1;
        Some(match failure {
            None => Ok(Batch { samples, index, epoch: self.number }),
            Some(error) => Err(error),
        })
    }
}

impl Stream for Epoch {
    type Item = Result<Batch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Batch>>> {
        let this = &mut *self;
        this.clock.asked();
        let item = ready!(this.poll_batch(cx));
        if item.is_some() {
            this.clock.got(&mut this.engine.statistics);
        }
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.batches_left()))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoch")
            .field("number", &self.number)
            .field("batches_left", &self.batches_left())
            .finish_non_exhaustive()
    }
}
