//! Stores with known content, and loaders over them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use s3dlio_data::{Batch, Dataset, Epoch, PoolEpoch, Sample};
use s3dlio_store::config::ConfigBuilder;
use s3dlio_store::{Client, Config, Result};
use s3dlio_testkit::counting::{Counters, CountingStore};
use s3dlio_testkit::data;
use tokio::time::timeout;

/// Only a test that fails waits this long.
pub(crate) const HANG: Duration = Duration::from_secs(20);

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

/// A client over a counting store in memory, with the objects `memory:///set/0000` and so on.
pub(crate) struct Bench {
    pub(crate) client: Client,
    pub(crate) store: Arc<CountingStore<InMemory>>,
    pub(crate) dataset: Dataset,
}

impl Bench {
    /// A bench with objects of these sizes.
    pub(crate) async fn new(sizes: impl IntoIterator<Item = usize>) -> Self {
        Self::with(Config::builder(), sizes).await
    }

    pub(crate) async fn with(config: ConfigBuilder, sizes: impl IntoIterator<Item = usize>) -> Self {
        let store = Arc::new(CountingStore::new(InMemory::new()));
        for (index, size) in sizes.into_iter().enumerate() {
            store.inner().put(&path(index), content(index, size).into()).await.unwrap();
        }
        let client = Client::new(config.build().unwrap());
        client.insert_store("memory:///", store.clone() as Arc<dyn ObjectStore>).unwrap();
        let dataset = Dataset::from_prefix(&client, "memory:///set/").await.unwrap();
        store.counters().reset();
        Self { client, store, dataset }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.store.counters()
    }
}

/// The path of an object of a bench.
pub(crate) fn path(index: usize) -> Path {
    Path::from(format!("set/{index:04}"))
}

/// The bytes of an object of a bench.
pub(crate) fn content(index: usize, size: usize) -> Bytes {
    data::bytes(index as u64, size)
}

/// What each batch holds, as indices into the data set.
pub(crate) async fn indices(mut epoch: Epoch) -> Vec<Vec<usize>> {
    let mut batches = Vec::new();
    while let Some(batch) = timeout(HANG, epoch.next()).await.expect("the epoch hangs") {
        batches.push(of_batch(&batch.unwrap()));
    }
    batches
}

pub(crate) fn of_batch(batch: &Batch) -> Vec<usize> {
    batch.samples.iter().map(|sample| sample.index).collect()
}

/// Every sample of an epoch, in the order of arrival.
pub(crate) async fn samples(mut epoch: PoolEpoch) -> Vec<Result<Sample>> {
    let mut all = Vec::new();
    while let Some(sample) = timeout(HANG, epoch.next()).await.expect("the epoch hangs") {
        all.push(sample);
    }
    all
}
