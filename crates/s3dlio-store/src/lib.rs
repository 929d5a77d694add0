//! The storage engine of s3dlio: URIs, backends, range engine, client.
//!
//! Users name the `s3dlio` crate, which re-exports all of this.

pub mod backend;
pub mod buckets;
pub mod budget;
pub mod buffer;
mod cancel;
pub mod client;
pub mod config;
pub mod constants;
pub mod credentials;
pub mod error;
pub mod listing;
pub mod range_engine;
pub mod transport;
pub mod upload;
pub mod uri;

pub use buckets::{BucketEntry, Buckets};
pub use client::{
    Client, CopyOptions, FetchOptions, IntoLocation, ListOptions, ObjectInfo, PutMode, PutOptions, PutResult,
};
pub use config::{Config, ConfigBuilder, Environment, Key, RequestLimit, Setting, Source, UnifiedLoaderConfig};
pub use error::{BoxError, Error, ErrorKind, Operation, Result};
pub use listing::{ListPage, ListRequest, Lister, ObjectEntry};
pub use object_store::{self, ObjectStore};
pub use tokio_util::sync::CancellationToken;
pub use upload::Writer;
pub use uri::{Location, Scheme};
