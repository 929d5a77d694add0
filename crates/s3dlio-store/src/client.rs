//! The front door: a [`Client`] takes any URI.
//!
//! A client opens each bucket, host or file system once and keeps it, with the range engine around it. All work of a
//! client shares one byte budget; all work on one endpoint shares one limit of requests in flight. The operations are in
//! the files below this one: reads, writes, listings, and work on many objects.
//!
//! Every operation ends early when the client's token is cancelled (see [`Client::with_cancellation`]) or when its
//! future is dropped: its requests stop, its sockets close, temporary files go. Aborting a multipart upload takes a
//! request of its own; the client owns that clean-up, and [`Client::close`] waits for it.

mod buckets;
mod copy;
mod delete;
mod list;
mod many;
mod read;
mod stores;
mod tree;
mod write;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::ByteBudget;
use crate::cancel::{or_cancelled, own_task};
use crate::config::Config;
use crate::error::{Operation, Result};
use crate::transport::TransportStatistics;
use crate::uri::{Location, Scheme};

pub use copy::CopyOptions;
pub use delete::DeleteResult;
pub use list::{ListOptions, ListStream};
pub use read::{FetchOptions, ObjectInfo};
pub use stores::Opened;
pub use tree::TreeResult;
pub use write::{PutMode, PutOptions, PutResult};

/// Reads, writes, lists and copies objects of every backend.
///
/// ```
/// use s3dlio_store::{Client, Config};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let client = Client::new(Config::default());
/// client.put("memory:///greeting", "hello").await?;
/// assert_eq!(client.get("memory:///greeting").await?, "hello");
/// # Ok::<(), s3dlio_store::Error>(())
/// # }).unwrap();
/// ```
///
/// Clones are cheap and share everything. The client needs a tokio runtime with I/O and time enabled.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    cancel: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    budget: ByteBudget,
    stores: stores::Stores,
    /// Requests that undo what a cancelled operation has begun.
    cleanup: TaskTracker,
}

/// Anything that names a location: a URI, a file path, or a [`Location`].
pub trait IntoLocation {
    /// The location that is named.
    ///
    /// # Errors
    /// As [`Location::parse`].
    fn into_location(self) -> Result<Location>;
}

impl IntoLocation for &str {
    fn into_location(self) -> Result<Location> {
        Location::parse(self)
    }
}

impl IntoLocation for &String {
    fn into_location(self) -> Result<Location> {
        Location::parse(self)
    }
}

impl IntoLocation for String {
    fn into_location(self) -> Result<Location> {
        Location::parse(&self)
    }
}

impl IntoLocation for Location {
    fn into_location(self) -> Result<Location> {
        Ok(self)
    }
}

impl IntoLocation for &Location {
    fn into_location(self) -> Result<Location> {
        Ok(self.clone())
    }
}

impl Client {
    /// A client with `config`. Nothing is opened and nothing is sent before the first operation.
    pub fn new(config: Config) -> Self {
        let budget = ByteBudget::new(config.for_scheme(Scheme::S3).memory_budget);
        let stores = stores::Stores::new(budget.clone());
        let shared = Shared { config, budget, stores, cleanup: TaskTracker::new() };
        Self { shared: Arc::new(shared), cancel: CancellationToken::new() }
    }

    /// A client with the configuration of this process: its environment and its configuration file.
    ///
    /// # Errors
    /// As [`Config::from_environment`].
    pub fn from_environment() -> Result<Self> {
        Config::from_environment().map(Self::new)
    }

    /// The same client, whose operations end with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) once `cancel` is
    /// cancelled.
    pub fn with_cancellation(&self, cancel: CancellationToken) -> Self {
        Self { shared: self.shared.clone(), cancel }
    }

    /// The token that ends this client's operations.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The bytes in flight of all work of this client.
    pub fn budget(&self) -> &ByteBudget {
        &self.shared.budget
    }

    /// What has been sent and received, over all endpoints.
    pub fn statistics(&self) -> TransportStatistics {
        self.shared.stores.statistics()
    }

    /// The bucket, host or file system of a location, opened.
    ///
    /// # Errors
    /// What the backend's configuration says; no request is sent.
    pub async fn open(&self, uri: impl IntoLocation) -> Result<Opened> {
        self.shared.stores.open(&self.shared.config, &uri.into_location()?, &self.cancel).await
    }

    /// Puts a store of another maker, or a wrapped one, in the place of the bucket, host or file system that `uri` names.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use s3dlio_store::{Client, Config, object_store::memory::InMemory};
    ///
    /// let client = Client::new(Config::default());
    /// client.insert_store("s3://bucket", Arc::new(InMemory::new()))?;
    /// # Ok::<(), s3dlio_store::Error>(())
    /// ```
    ///
    /// # Errors
    /// If `uri` does not parse.
    pub fn insert_store(&self, uri: impl IntoLocation, store: Arc<dyn crate::ObjectStore>) -> Result<()> {
        self.shared.stores.insert(&self.shared.config, &uri.into_location()?, store);
        Ok(())
    }

    /// Waits until everything that operations of this client began has been undone or finished. The client stays usable.
    pub async fn close(&self) {
        self.shared.cleanup.close();
        self.shared.cleanup.wait().await;
        self.shared.cleanup.reopen();
    }

    /// Runs one operation as a task of its own, under the client's token.
    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        location: &Location,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (cancel, uri) = (self.cancel.clone(), location.to_string());
        own_task(async move { or_cancelled(&cancel, operation, &uri, work).await }).await
    }
}
