//! What fails is told where it would have come, and nothing else is lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use s3dlio_data::{AsyncPoolDataLoader, DataLoader, Dataset};
use s3dlio_store::{Client, Config, ErrorKind};
use s3dlio_testkit::counting::{Call, ErrorKind as Injected, Fault};

use crate::support::{Bench, of_batch, path};

#[tokio::test]
async fn a_missing_object_is_an_error_in_its_batchs_place() {
    let bench = Bench::new([10; 10]).await;
    bench.store.inner().delete(&path(4)).await.unwrap();
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(3).build().unwrap();
    let mut epoch = loader.epoch(0);
    assert_eq!(of_batch(&epoch.next().await.unwrap().unwrap()), [0, 1, 2]);
    let error = epoch.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.uri()), (ErrorKind::NotFound, "memory:///set/0004"));
    let next = epoch.next().await.unwrap().unwrap();
    assert_eq!((of_batch(&next), next.index), (vec![6, 7, 8], 2));
    assert_eq!(of_batch(&epoch.next().await.unwrap().unwrap()), [9]);
    assert!(epoch.next().await.is_none());
    let statistics = epoch.statistics();
    assert_eq!((statistics.samples, statistics.failed), (9, 1));
    assert_eq!(epoch.position().samples(), 10);
    assert_eq!(bench.client.budget().used(), 0);
}

#[tokio::test]
async fn the_first_failure_in_order_is_the_batchs_error() {
    let bench = Bench::new([10; 3]).await;
    bench.store.inject(Fault::on(Call::Get).at(&path(2)).fail(Injected::PermissionDenied));
    bench.store.inject(Fault::on(Call::Get).at(&path(1)).fail(Injected::NotFound));
    let loader = DataLoader::builder(&bench.client, &bench.dataset).build().unwrap();
    let mut epoch = loader.epoch(0);
    let error = epoch.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.uri()), (ErrorKind::NotFound, "memory:///set/0001"));
    assert!(epoch.next().await.is_none());
    assert_eq!(epoch.statistics().failed, 2);
}

#[tokio::test]
async fn the_pool_tells_a_failure_and_goes_on() {
    let bench = Bench::new([10; 10]).await;
    bench.store.inner().delete(&path(4)).await.unwrap();
    let loader = AsyncPoolDataLoader::builder(&bench.client, &bench.dataset).build().unwrap();
    let (mut read, mut failed) = (Vec::new(), Vec::new());
    let mut epoch = loader.epoch(0);
    while let Some(sample) = epoch.next().await {
        match sample {
            Ok(sample) => read.push(sample.index),
            Err(error) => failed.push((error.kind(), error.uri().to_owned())),
        }
    }
    read.sort();
    assert_eq!(read, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(failed, [(ErrorKind::NotFound, "memory:///set/0004".to_owned())]);
    assert_eq!((epoch.statistics().samples, epoch.statistics().failed), (9, 1));
}

/// A store that panics when it is read.
#[derive(Debug)]
struct Panicking(InMemory);

impl fmt::Display for Panicking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Panicking")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Panicking {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, _: GetOptions) -> Result<GetResult> {
        panic!("reading {location}");
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test]
#[should_panic(expected = "reading a")]
async fn a_store_that_panics_hangs_nobody() {
    let client = Client::new(Config::default());
    client.insert_store("memory:///", Arc::new(Panicking(InMemory::new()))).unwrap();
    let dataset = Dataset::from_uris(["memory:///a", "memory:///b"]).unwrap();
    let loader = DataLoader::builder(&client, &dataset).max_concurrent_downloads(1).build().unwrap();
    let mut epoch = loader.epoch(0);
    let _ = tokio::time::timeout(Duration::from_secs(20), epoch.next()).await;
}

#[tokio::test]
async fn a_setting_that_cannot_be_is_refused_when_the_loader_is_built() {
    let bench = Bench::new([1; 2]).await;
    let builder = || DataLoader::builder(&bench.client, &bench.dataset);
    for (wrong, key) in [
        (builder().batch_size(0), "batch_size"),
        (builder().prefetch_depth(0), "prefetch_depth"),
        (builder().max_concurrent_downloads(0), "max_concurrent_downloads"),
        (builder().world_size(2).rank(2), "rank"),
    ] {
        let error = wrong.build().unwrap_err();
        assert_eq!((error.kind(), error.uri()), (ErrorKind::Config, key));
    }
}
