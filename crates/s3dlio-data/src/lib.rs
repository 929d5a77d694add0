//! Data sets, samplers and loaders: from objects in a store to batches of samples.
//!
//! A [`Dataset`] is a fixed list of objects. A [`Sampler`] says which of them this process reads in an epoch, and in
//! which order. A loader reads them ahead of its consumer: [`DataLoader`] gives batches in the sampler's order,
//! [`AsyncPoolDataLoader`] gives samples as they arrive. Both stand on one engine (`engine.rs`), which owns every task of
//! an epoch, decides whose turn it is, and ends when it is told to.
//!
//! Users name the `s3dlio` crate, which re-exports all of this.

mod async_pool;
mod builder;
mod data_loader;
mod dataset;
mod engine;
mod sample;
mod sampler;
mod state;
mod statistics;

pub use async_pool::{AsyncPoolDataLoader, PoolEpoch};
pub use builder::LoaderBuilder;
pub use data_loader::{DataLoader, Epoch};
pub use dataset::Dataset;
pub use sample::{Batch, Sample};
pub use sampler::{Order, Sampler};
pub use state::Position;
pub use statistics::EpochStatistics;
