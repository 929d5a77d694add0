//! One engine that moves bytes between storage and training jobs: `s3://`, `az://`, `gs://`, `file://`, `direct://`
//! (O_DIRECT), `memory://` and read-only `http(s)://`.
//!
//! A [`Client`] reads, writes, lists and copies objects of every backend by their URIs. A [`Dataset`] is a list of
//! objects, and a loader streams it, epoch after epoch: [`DataLoader`] in batches in a fixed or shuffled order,
//! [`AsyncPoolDataLoader`] sample by sample as they arrive. Everything ends when its [`CancellationToken`] is cancelled or
//! when it is dropped, and leaves nothing behind.
//!
//! ```
//! use s3dlio::{Client, Config, DataLoader, Dataset};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let client = Client::new(Config::default());
//! for number in 0..100 {
//!     client.put(format!("memory:///train/{number:03}"), format!("sample {number}")).await?;
//! }
//!
//! let dataset = Dataset::from_prefix(&client, "memory:///train/").await?;
//! let loader = DataLoader::builder(&client, &dataset).batch_size(32).shuffle(true).build()?;
//! for number in 0..2 {
//!     let mut epoch = loader.epoch(number);
//!     while let Some(batch) = epoch.next().await {
//!         for sample in batch?.samples {
//!             assert!(sample.data.starts_with(b"sample"));
//!         }
//!     }
//!     assert_eq!(epoch.statistics().samples, 100);
//! }
//! # Ok::<(), s3dlio::Error>(())
//! # }).unwrap();
//! ```
//!
//! With [`Client::from_environment`] instead of [`Client::new`], the client takes its configuration from the
//! configuration file and the environment: credentials, endpoints and every `S3DLIO_*` variable.
//!
//! | where | what |
//! | --- | --- |
//! | [`Client`] | get, ranges, streams, put, writers, list, stat, delete, copy, buckets |
//! | [`Dataset`], [`Sampler`], [`DataLoader`], [`AsyncPoolDataLoader`] | samples for training |
//! | [`Config`], [`UnifiedLoaderConfig`] | every setting, from one table of keys |
//! | [`Error`], [`ErrorKind`] | what failed, where, why, and what to do |
//! | [`range_engine`], [`budget`], [`buffer`], [`transport`], [`backend`] | what the client is made of |
//! | [`ObjectStore`], [`object_store`] | the trait that every backend implements, and that other stores plug in by |
//!
//! The guides are in the repository's `docs/`: how to load (`loading.md`), every setting (`configuration.md`).

pub use s3dlio_data::*;
pub use s3dlio_store::*;

/// Runs the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/loading.md")]
struct LoadingGuide;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
