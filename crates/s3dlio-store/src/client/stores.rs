//! Opened stores: each bucket, host or file system once.

use std::collections::HashMap;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::backend::direct::{ConfigurableFileSystemObjectStore, DirectOptions};
use crate::backend::file::FileSystemObjectStore;
use crate::backend::generic_listing::GenericListing;
use crate::backend::{Account, Store, azure, gcs, http, memory, path_of_key, s3};
use crate::budget::{ByteBudget, RequestLimiter};
use crate::buffer::BufferPool;
use crate::cancel::or_cancelled;
use crate::config::{Config, UnifiedLoaderConfig};
use crate::error::{Error, ErrorKind, Operation, Result, without_query};
use crate::listing::Lister;
use crate::range_engine::{RangeEngine, RangeEngineConfig, Target};
use crate::transport::{Transport, TransportStatistics};
use crate::uri::{Location, Scheme};

/// An opened bucket, host or file system, with what reads of it share.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The location as the backend understands it: an Azure location has its account split off here.
    pub location: Location,
    /// The store itself.
    pub store: Store,
    /// The reader of its objects.
    pub engine: RangeEngine,
    /// The limit of requests to its endpoint.
    pub limiter: RequestLimiter,
    /// The configuration of its scheme.
    pub config: Arc<UnifiedLoaderConfig>,
}

impl Opened {
    /// What the engine needs to read this location's object.
    ///
    /// # Errors
    /// `InvalidInput` for a bucket without a key; else as [`path_of_key`].
    pub fn target(&self, operation: Operation) -> Result<Target> {
        Ok(Target {
            store: self.store.objects.clone(),
            path: object_path(&self.location, operation)?,
            uri: without_query(&self.location.to_string()).into(),
            limiter: self.limiter.clone(),
        })
    }
}

#[derive(Debug)]
pub(super) struct Stores {
    budget: ByteBudget,
    buffers: BufferPool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    schemes: HashMap<Scheme, Arc<UnifiedLoaderConfig>>,
    transports: HashMap<Scheme, Transport>,
    limiters: HashMap<String, RequestLimiter>,
    opened: HashMap<Key, (Store, RangeEngine, RequestLimiter)>,
}

/// Scheme, account and bucket.
type Key = (Scheme, Option<String>, String);

impl Stores {
    pub(super) fn new(budget: ByteBudget) -> Self {
        // What is kept for reuse comes on top of the budget: a small part of it.
        let keep = usize::try_from(budget.capacity() / 8).unwrap_or(usize::MAX);
        Self { budget, buffers: BufferPool::new(keep), state: Mutex::default() }
    }

    pub(super) fn statistics(&self) -> TransportStatistics {
        let state = self.state.lock();
        state
            .transports
            .values()
            .map(Transport::statistics)
            .fold(TransportStatistics::default(), |sum, next| sum + next)
    }

    pub(super) async fn open(
        &self,
        config: &Config,
        location: &Location,
        cancel: &CancellationToken,
    ) -> Result<Opened> {
        let (values, location) = self.resolve(config, location);
        if location.scheme().has_bucket() && location.bucket().is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, Operation::Open, location.to_string())
                .with_message("the bucket is missing")
                .with_hint(format!("write {}://BUCKET/KEY", location.scheme())));
        }
        let key = key_of(&location);
        let known = self.state.lock().opened.get(&key).cloned();
        let (store, engine, limiter) = match known {
            Some(opened) => opened,
            None => {
                let opening = self.open_store(config, &values, &location);
                let store = or_cancelled(cancel, Operation::Open, &location.to_string(), opening).await?;
                let mut state = self.state.lock();
                let opened = self.wrap(&mut state, &values, &location, store);
                // Two operations may have opened it at the same time: the first one's is kept.
                state.opened.entry(key).or_insert(opened).clone()
            }
        };
        Ok(Opened { location, store, engine, limiter, config: values })
    }

    async fn open_store(&self, config: &Config, values: &UnifiedLoaderConfig, location: &Location) -> Result<Store> {
        let environment = config.environment();
        let transport = || self.transport(values, location.scheme());
        match location.scheme() {
            // Boxed: finding credentials takes 12 KiB of state, which every operation would carry otherwise.
            Scheme::S3 => Box::pin(s3::open(location, values, environment, &transport()?)).await,
            Scheme::Azure => azure::open(location, values, environment, &transport()?),
            Scheme::Gcs => gcs::open(location, values, environment, &transport()?),
            Scheme::Http | Scheme::Https => http::open(location, &transport()?),
            Scheme::File => {
                let files = FileSystemObjectStore::new("/").map_err(|error| failed_to_open(error, location))?;
                Ok(local(location.scheme(), Arc::new(files)))
            }
            Scheme::Direct => {
                let options = DirectOptions {
                    block_size: usize::try_from(values.direct_block_size).unwrap_or(usize::MAX),
                    queue_depth: values.direct_queue_depth,
                    direct_fallback: values.direct_fallback,
                };
                let files = ConfigurableFileSystemObjectStore::new("/", options)
                    .map_err(|error| failed_to_open(error, location))?;
                Ok(local(location.scheme(), Arc::new(files)))
            }
            Scheme::Memory => Ok(memory::open()),
        }
    }

    pub(super) fn insert(&self, config: &Config, location: &Location, objects: Arc<dyn ObjectStore>) {
        let (values, location) = self.resolve(config, location);
        let root = location.with_key("");
        let lister = Arc::new(GenericListing::new(objects.clone(), root.clone()));
        let store = Store { scheme: location.scheme(), name: root.to_string(), objects, lister, multipart: None };
        let mut state = self.state.lock();
        let opened = self.wrap(&mut state, &values, &location, store);
        state.opened.insert(key_of(&location), opened);
    }

    /// The bucket operations of the account that a location is in.
    pub(super) async fn account(&self, config: &Config, location: &Location, operation: Operation) -> Result<Account> {
        let (values, location) = self.resolve(config, location);
        let environment = config.environment();
        let transport = || self.transport(&values, location.scheme());
        match location.scheme() {
            Scheme::S3 => s3::account(&values, environment, &transport()?).await,
            Scheme::Azure => azure::account(&location, &values, environment, &transport()?),
            Scheme::Gcs => gcs::account(&values, environment, &transport()?),
            scheme => Err(Error::new(ErrorKind::Unsupported, operation, location.to_string())
                .with_message(format!("{scheme}:// has no buckets"))),
        }
    }

    /// The values of a location's scheme, and the location as its backend understands it: an Azure location needs the
    /// configured account to tell account and container apart.
    pub(super) fn resolve(&self, config: &Config, location: &Location) -> (Arc<UnifiedLoaderConfig>, Location) {
        let scheme = location.scheme();
        let mut state = self.state.lock();
        let values = state.schemes.entry(scheme).or_insert_with(|| Arc::new(config.for_scheme(scheme))).clone();
        drop(state);
        let resolved = match scheme {
            Scheme::Azure => {
                location.split_azure_account(azure::configured_account(config.environment(), &values).as_deref())
            }
            _ => location.clone(),
        };
        (values, resolved)
    }

    fn transport(&self, values: &UnifiedLoaderConfig, scheme: Scheme) -> Result<Transport> {
        let mut state = self.state.lock();
        if let Some(transport) = state.transports.get(&scheme) {
            return Ok(transport.clone());
        }
        let transport = Transport::new(values)?;
        state.transports.insert(scheme, transport.clone());
        Ok(transport)
    }

    fn wrap(
        &self,
        state: &mut State,
        values: &UnifiedLoaderConfig,
        location: &Location,
        store: Store,
    ) -> (Store, RangeEngine, RequestLimiter) {
        let engine =
            RangeEngine::with_buffers(RangeEngineConfig::new(values), self.budget.clone(), self.buffers.clone());
        let limiter = state
            .limiters
            .entry(endpoint_of(location, values))
            .or_insert_with(|| RequestLimiter::new(values.max_requests_in_flight))
            .clone();
        (store, engine, limiter)
    }
}

/// The path of an object. A bucket by itself is none: a request for it would read a listing, make a bucket or delete it.
pub(super) fn object_path(location: &Location, operation: Operation) -> Result<Path> {
    let is_page = matches!(location.scheme(), Scheme::Http | Scheme::Https);
    if location.key().is_empty() && !is_page {
        return Err(Error::new(ErrorKind::InvalidInput, operation, location.to_string())
            .with_message("this names no object")
            .with_hint("put a key behind it"));
    }
    path_of_key(location, operation)
}

/// The whole file system of this machine: keys are absolute paths without their leading `/`.
fn local<T: ObjectStore + Lister>(scheme: Scheme, files: Arc<T>) -> Store {
    Store { scheme, name: format!("{scheme}://"), lister: files.clone(), objects: files, multipart: None }
}

fn failed_to_open(error: object_store::Error, location: &Location) -> Error {
    Error::from_store(error, Operation::Open, location.to_string())
}

fn key_of(location: &Location) -> Key {
    (location.scheme(), location.account().map(str::to_owned), location.bucket().to_owned())
}

/// What shares one limit of requests: everything behind one address.
fn endpoint_of(location: &Location, values: &UnifiedLoaderConfig) -> String {
    match (&values.endpoint_url, location.scheme()) {
        (Some(url), scheme) => format!("{scheme} {url}"),
        (None, scheme @ (Scheme::Http | Scheme::Https)) => format!("{scheme} {}", location.bucket()),
        (None, scheme) => format!("{scheme} {}", location.account().unwrap_or_default()),
    }
}
