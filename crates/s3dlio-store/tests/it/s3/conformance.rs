//! object_store's own suite and our contracts, on both servers.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result as StoreResult, integration,
};
use s3dlio_testkit::contracts::{Deviation, run_all, run_some};

use super::*;

/// Runs a part of object_store's suite on an empty bucket of SeaweedFS.
async fn on_seaweedfs<F: Future<Output = ()>>(part: impl FnOnce(Store) -> F) {
    let store = seaweedfs().await;
    let objects = Arc::new(StartAfterOnTheClient(store.objects.clone()));
    part(Store { objects, ..store }).await;
}

/// A deviation of SeaweedFS, by name: after the start key `a` it leaves out `a/b` as well. A start key is therefore kept
/// from it, and everything else that the suite asks goes through.
#[derive(Debug)]
struct StartAfterOnTheClient(Arc<dyn ObjectStore>);

impl fmt::Display for StartAfterOnTheClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for StartAfterOnTheClient {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.0.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.0.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.0.list(prefix)
    }

    // `list_with_offset` is the trait's own, which lists everything and leaves out what is not after the offset.

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> StoreResult<()> {
        self.0.rename_opts(from, to, options).await
    }
}

/// The same on s3s-fs.
async fn on_s3s_fs<F: Future<Output = ()>>(part: impl FnOnce(Store) -> F) {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    part(s3s_fs_without_pauses(&server).await).await;
}

/// It answers 500 to a read of a directory, which is not worth waiting for.
async fn s3s_fs_without_pauses(server: &S3sFs) -> Store {
    let mut setup = Setup::s3s_fs(server);
    setup.config.retry_initial_backoff = Duration::from_millis(1);
    setup.config.retry_max_backoff = Duration::from_millis(5);
    setup.open("bucket").await.unwrap()
}

/// A module of tests per server, each test a function of the suite.
macro_rules! suite {
    ($server:ident on $run:ident: { $($name:ident($($argument:expr),*);)+ } { $($part:ident;)+ }) => {
        mod $server {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    $run(|store| async move { integration::$name(store.objects.as_ref() $(, $argument)*).await }).await;
                }
            )+
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $part() {
                    $run(|store| async move {
                        integration::$part(store.objects.as_ref(), store.multipart.as_deref().unwrap()).await;
                    })
                    .await;
                }
            )+
        }
    };
}

suite! { seaweedfs_passes on on_seaweedfs: {
    put_get_delete_list();
    put_get_attributes();
    get_opts();
    put_opts(true);
    stream_get();
    list_uses_directories_correctly();
    list_with_delimiter();
    list_with_offset_exclusivity();
    rename_and_copy();
    copy_if_not_exists();
    copy_rename_nonexistent_object();
    multipart_race_condition(true);
    multipart_out_of_order();
} {
    multipart;
    multipart_with_opts;
    multipart_put_part_out_of_order;
}}

// Not run on s3s-fs, by name: `put_get_delete_list` (a prefix that is no object answers 500), `get_opts` (conditions are
// ignored) and `put_opts` (of several that update an object at once, more than one succeeds).
suite! { s3s_fs_passes on on_s3s_fs: {
    put_get_attributes();
    stream_get();
    list_uses_directories_correctly();
    list_with_delimiter();
    list_with_offset_exclusivity();
    rename_and_copy();
    copy_if_not_exists();
    copy_rename_nonexistent_object();
    multipart_race_condition(true);
    multipart_out_of_order();
} {
    multipart;
    multipart_with_opts;
    multipart_put_part_out_of_order;
}}

#[tokio::test(flavor = "multi_thread")]
async fn the_contracts_hold_on_seaweedfs() {
    run_all(seaweedfs().await.objects, &[Deviation::ListingNotInByteOrder]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contracts_hold_on_s3s_fs() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let deviations = [
        Deviation::GetConditionsIgnored,
        Deviation::ReadOfPrefixIsAnotherError,
        Deviation::LongSuffixRefused,
        Deviation::CreateIsNotAtomic,
        Deviation::NoObjectAboveObjects,
        Deviation::LongKeysRefused,
    ];
    // It also answers 500 to a listing of a directory from which it deletes; that passes while the retries pause.
    let deletes_while_it_lists = |name: &str| name == "listing::more_than_a_page";
    run_some(s3s_fs(&server).await.objects, &deviations, deletes_while_it_lists).await;
    let store = s3s_fs_without_pauses(&server).await;
    run_some(store.objects, &deviations, |name| !deletes_while_it_lists(name)).await;
}
