//! [`AsyncPoolDataLoader`]: samples as they arrive.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use s3dlio_store::{Client, Result, UnifiedLoaderConfig};

use crate::builder::LoaderBuilder;
use crate::dataset::Dataset;
use crate::engine::{Engine, Plan};
use crate::sample::Sample;
use crate::state::Position;
use crate::statistics::{ConsumerClock, EpochStatistics};

/// Gives the samples of a data set one by one, each as soon as it has arrived: one slow object holds up nobody. The
/// [`Sampler`](crate::Sampler) says which samples an epoch has and in which order they are begun; the order in which they
/// come is the network's.
///
/// All settings mean what they mean for a [`DataLoader`](crate::DataLoader): up to `prefetch_depth × batch_size` samples
/// are begun ahead of the consumer, and with `drop_last` an epoch has the samples that would make full batches.
///
/// ```
/// use futures::TryStreamExt;
/// use s3dlio_data::{AsyncPoolDataLoader, Dataset};
/// use s3dlio_store::{Client, Config};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let client = Client::new(Config::default());
/// for number in 0..10 {
///     client.put(format!("memory:///set/{number}"), "sample").await?;
/// }
/// let dataset = Dataset::from_prefix(&client, "memory:///set/").await?;
/// let loader = AsyncPoolDataLoader::builder(&client, &dataset).build()?;
/// let mut samples: Vec<usize> = loader.epoch(0).map_ok(|sample| sample.index).try_collect().await?;
/// samples.sort();
/// assert_eq!(samples, Vec::from_iter(0..10));
/// # Ok::<(), s3dlio_store::Error>(())
/// # }).unwrap();
/// ```
///
/// Clones are cheap and share everything.
#[derive(Debug, Clone)]
pub struct AsyncPoolDataLoader {
    plan: Arc<Plan>,
}

impl AsyncPoolDataLoader {
    /// A builder for a loader of `dataset`, whose objects `client` reads.
    pub fn builder(client: &Client, dataset: &Dataset) -> LoaderBuilder<Self> {
        LoaderBuilder::new(client, dataset)
    }

    /// An epoch from its beginning. Nothing is read before it is first asked for a sample.
    pub fn epoch(&self, epoch: u64) -> PoolEpoch {
        self.epoch_from(epoch, &Position::start()).expect("the beginning of an epoch is never beyond it")
    }

    /// What is left of an epoch after `position`: exactly the samples that the epoch had not given when
    /// [`PoolEpoch::position`] was asked.
    ///
    /// # Errors
    /// [`InvalidInput`](s3dlio_store::ErrorKind::InvalidInput) for a position beyond the epoch's end.
    pub fn epoch_from(&self, epoch: u64, position: &Position) -> Result<PoolEpoch> {
        let engine = self.plan.start(epoch, position, 1)?;
        Ok(PoolEpoch { engine, number: epoch, clock: ConsumerClock::default() })
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

impl LoaderBuilder<AsyncPoolDataLoader> {
    /// The loader. Nothing is sent.
    ///
    /// # Errors
    /// As [`UnifiedLoaderConfig::validate`].
    pub fn build(self) -> Result<AsyncPoolDataLoader> {
        Ok(AsyncPoolDataLoader { plan: self.plan()? })
    }
}

/// The samples of one epoch in the order of their arrival, as a stream.
///
/// A sample that cannot be read is an error in its place, with its URI; the next call goes on. Cancelled or dropped, it
/// ends as an [`Epoch`](crate::Epoch) does.
#[must_use = "nothing is read before the first sample is asked for"]
pub struct PoolEpoch {
    engine: Engine,
    number: u64,
    clock: ConsumerClock,
}

impl PoolEpoch {
    /// The next sample, or none at the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Sample>> {
        StreamExt::next(self).await
    }

    /// The epoch's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Samples that have not been given.
    pub fn samples_left(&self) -> usize {
        self.engine.left()
    }

    /// Which samples have been given, for [`AsyncPoolDataLoader::epoch_from`]. A sample that was an error counts as given.
    pub fn position(&self) -> &Position {
        self.engine.position()
    }

    /// What the epoch has given so far, and how long that took.
    pub fn statistics(&self) -> &EpochStatistics {
        &self.engine.statistics
    }
}

impl Stream for PoolEpoch {
    type Item = Result<Sample>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Sample>>> {
        let this = &mut *self;
        this.clock.asked();
        let arrival = ready!(this.engine.poll_arrival(cx));
        let item = arrival.map(|arrival| arrival.and_then(|arrival| this.engine.hand_out(arrival)));
        if item.is_some() {
            this.clock.got(&mut this.engine.statistics);
        }
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.samples_left()))
    }
}

impl fmt::Debug for PoolEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolEpoch")
            .field("number", &self.number)
            .field("samples_left", &self.samples_left())
            .finish_non_exhaustive()
    }
}
