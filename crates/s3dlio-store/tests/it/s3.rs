//! `s3://` against s3s-fs in this process and SeaweedFS as a process, and its sources of credentials against services in
//! this process.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use s3dlio_store::backend::{Account, Store, path_of_key, s3};
use s3dlio_store::transport::Transport;
use s3dlio_store::{
    Environment, Error, ErrorKind, ListPage, ListRequest, Lister, Location, Operation, Result, UnifiedLoaderConfig,
};
use s3dlio_testkit::servers::{S3sFs, SeaweedFs};

mod access;
mod buckets;
mod conformance;
mod credentials;
mod listing;
mod service;

/// What a test sets: the configuration and the environment that a store is opened with.
#[derive(Default)]
struct Setup {
    config: UnifiedLoaderConfig,
    environment: Environment,
}

impl Setup {
    fn with(variables: &[(&str, &str)]) -> Self {
        Self { config: UnifiedLoaderConfig::default(), environment: variables.iter().copied().collect() }
    }

    /// A server with its keys in the environment.
    fn keys(endpoint: String, access_key: &str, secret_key: &str) -> Self {
        let variables = [("AWS_ACCESS_KEY_ID", access_key), ("AWS_SECRET_ACCESS_KEY", secret_key)];
        Self::with(&variables).at(endpoint)
    }

    fn s3s_fs(server: &S3sFs) -> Self {
        Self::keys(server.endpoint(), server.access_key(), server.secret_key())
    }

    /// The SeaweedFS that all tests share.
    fn seaweedfs() -> Self {
        let server = SeaweedFs::shared();
        Self::keys(server.endpoint(), server.access_key(), server.secret_key())
    }

    fn at(mut self, endpoint: String) -> Self {
        self.config.endpoint_url = Some(endpoint);
        self
    }

    async fn open(&self, bucket: &str) -> Result<Store> {
        let transport = Transport::new(&self.config)?;
        s3::open(&format!("s3://{bucket}").parse()?, &self.config, &self.environment, &transport).await
    }

    async fn account(&self) -> Result<Account> {
        s3::account(&self.config, &self.environment, &Transport::new(&self.config)?).await
    }
}

/// A store over a bucket of its own on the SeaweedFS that all tests share.
async fn seaweedfs() -> Store {
    let bucket = SeaweedFs::shared().new_bucket();
    Setup::seaweedfs().open(&bucket).await.unwrap()
}

/// A store over the bucket `bucket` of a server.
async fn s3s_fs(server: &S3sFs) -> Store {
    Setup::s3s_fs(server).open("bucket").await.unwrap()
}

fn path(key: &str) -> Path {
    path_of_key(&Location::parse("s3://b").unwrap().with_key(key), Operation::Get).unwrap()
}

async fn put(store: &Store, key: &str) {
    store.objects.put(&path(key), key.to_owned().into()).await.unwrap_or_else(|error| panic!("put {key}: {error}"));
}

async fn pages(lister: &dyn Lister, request: ListRequest) -> Result<Vec<ListPage>> {
    lister.pages(request).try_collect().await
}

/// The keys and the folded prefixes of a listing.
async fn names(lister: &dyn Lister, request: ListRequest) -> Result<(Vec<String>, Vec<String>)> {
    let pages = pages(lister, request).await?;
    let prefixes = pages.iter().flat_map(|page| page.prefixes.clone()).collect();
    Ok((pages.into_iter().flat_map(|page| page.objects).map(|object| object.key).collect(), prefixes))
}

/// How the crate reports what a call through the trait gave.
fn reported<T: std::fmt::Debug>(result: object_store::Result<T>) -> Error {
    Error::from_store(result.unwrap_err(), Operation::Get, "s3://bucket/key")
}
