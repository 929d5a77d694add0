//! `memory://`: the reference for tests.
//!
//! A store lives as long as it is held; a [`Client`](crate::Client) holds one, so that two clients share nothing.

use std::sync::Arc;

use object_store::memory::InMemory;

use crate::backend::Store;
use crate::backend::generic_listing::GenericListing;
use crate::uri::{Location, Scheme};

/// A new, empty store.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use s3dlio_store::backend::memory;
/// use s3dlio_store::object_store::{ObjectStoreExt, path::Path};
///
/// let store = memory::open();
/// store.objects.put(&Path::from("key"), "bytes".into()).await?;
/// assert_eq!(store.objects.get(&Path::from("key")).await?.bytes().await?, "bytes");
/// # Ok::<(), s3dlio_store::object_store::Error>(())
/// # }).unwrap();
/// ```
pub fn open() -> Store {
    let objects = Arc::new(InMemory::new());
    let root = Location::parse("memory:///").expect("the root is a valid location");
    Store {
        scheme: Scheme::Memory,
        name: "memory://".to_owned(),
        lister: Arc::new(GenericListing::new(objects.clone(), root).with_markers()),
        multipart: Some(objects.clone()),
        objects,
    }
}
