//! [`LoaderBuilder`]: how loaders are made.

use std::marker::PhantomData;
use std::sync::Arc;

use s3dlio_store::config::Key;
use s3dlio_store::{CancellationToken, Client, Result, UnifiedLoaderConfig};

use crate::dataset::Dataset;
use crate::engine::Plan;
use crate::sampler::Sampler;

/// Makes a [`DataLoader`](crate::DataLoader) or an [`AsyncPoolDataLoader`](crate::AsyncPoolDataLoader).
///
/// Every value begins as the client's configuration for the scheme of the first sample has it, so that a file, the
/// environment and the builder of [`Config`](s3dlio_store::Config) reach here too; the methods change it for this loader
/// alone. How one object is read (ranges, retries, budgets) is the client's, for all its loaders.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct LoaderBuilder<L> {
    client: Client,
    dataset: Dataset,
    config: UnifiedLoaderConfig,
    cancel: Option<CancellationToken>,
    loader: PhantomData<fn() -> L>,
}

/// The keys that a loader reads.
const OWN_KEYS: [&str; 8] =
    ["batch_size", "drop_last", "shuffle", "seed", "rank", "world_size", "prefetch_depth", "max_concurrent_downloads"];

impl<L> LoaderBuilder<L> {
    pub(crate) fn new(client: &Client, dataset: &Dataset) -> Self {
        let config = client.config().for_scheme(dataset.location(0).scheme());
        Self { client: client.clone(), dataset: dataset.clone(), config, cancel: None, loader: PhantomData }
    }

    /// Takes the eight values of a loader (`batch_size`, `drop_last`, `shuffle`, `seed`, `rank`, `world_size`,
    /// `prefetch_depth`, `max_concurrent_downloads`) from `config`. All others are the client's to read; those that
    /// differ from the client's are named in a warning.
    pub fn config(mut self, config: &UnifiedLoaderConfig) -> Self {
        for key in Key::all().filter(|key| !OWN_KEYS.contains(&key.name())) {
            let (given, used) = (key.print(config), key.print(&self.config));
            if given != used {
                tracing::warn!(key = key.name(), given, used, "a loader reads objects as its client is configured");
            }
        }
        self.config.batch_size = config.batch_size;
        self.config.drop_last = config.drop_last;
        self.config.shuffle = config.shuffle;
        self.config.seed = config.seed;
        self.config.rank = config.rank;
        self.config.world_size = config.world_size;
        self.config.prefetch_depth = config.prefetch_depth;
        self.config.max_concurrent_downloads = config.max_concurrent_downloads;
        self
    }

    /// Samples in a batch; default 32.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.config.batch_size = samples;
        self
    }

    /// Whether samples that do not make a full batch on every rank are left out; default false. See
    /// [`Sampler`] for what that means with several ranks.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.config.drop_last = drop_last;
        self
    }

    /// Whether each epoch has its own order; default false, the order of the data set.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.config.shuffle = shuffle;
        self
    }

    /// Seed of the order of all epochs, the same on every rank; default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// This process's rank among `world_size`, counted from 0; default 0.
    pub fn rank(mut self, rank: usize) -> Self {
        self.config.rank = rank;
        self
    }

    /// How many processes share the data set; default 1.
    pub fn world_size(mut self, processes: usize) -> Self {
        self.config.world_size = processes;
        self
    }

    /// Batches begun ahead of the one that the consumer holds; default 4. A loader that gives samples counts
    /// `prefetch_depth × batch_size` of them.
    pub fn prefetch_depth(mut self, batches: usize) -> Self {
        self.config.prefetch_depth = batches;
        self
    }

    /// Objects read at once; default 32.
    pub fn max_concurrent_downloads(mut self, objects: usize) -> Self {
        self.config.max_concurrent_downloads = objects;
        self
    }

    /// The token that ends every epoch of this loader, beside the client's own, which does so too.
    pub fn cancellation(mut self, cancel: CancellationToken) -> Self {
        self.cancel = Some(cancel);
        self
    }

    pub(crate) fn plan(self) -> Result<Arc<Plan>> {
        let sampler = Sampler::new(&self.config, self.dataset.len())?;
        let cancel = self.cancel.unwrap_or_else(|| self.client.cancellation().clone());
        Ok(Arc::new(Plan { client: self.client, dataset: self.dataset, sampler, config: self.config, cancel }))
    }
}

#[cfg(test)]
mod tests {
    use s3dlio_store::Scheme;

    use super::*;

    #[test]
    fn config_takes_every_value_of_its_own_and_no_other() {
        let values = ["3", "true", "true", "5", "1", "2", "6", "7"];
        let mut given = UnifiedLoaderConfig::for_scheme(Scheme::Memory);
        for (name, value) in OWN_KEYS.iter().zip(values) {
            Key::find(name).unwrap().assign(&mut given, value).unwrap();
        }
        given.range_chunk_size += 1;
        let client = Client::new(s3dlio_store::Config::default());
        let dataset = Dataset::from_uris(["memory:///a"]).unwrap();
        let plan = LoaderBuilder::<()>::new(&client, &dataset).config(&given).plan().unwrap();
        for (name, value) in OWN_KEYS.iter().zip(values) {
            assert_eq!(Key::find(name).unwrap().print(&plan.config), value, "{name}");
        }
        assert_eq!(plan.config.range_chunk_size, given.range_chunk_size - 1);
    }

    #[test]
    fn values_begin_as_the_clients_configuration_has_them() {
        let config = s3dlio_store::Config::builder().set("batch_size", 5).set("shuffle", true).build().unwrap();
        let dataset = Dataset::from_uris(["memory:///a"]).unwrap();
        let plan = LoaderBuilder::<()>::new(&Client::new(config), &dataset).shuffle(false).plan().unwrap();
        assert_eq!((plan.config.batch_size, plan.config.shuffle), (5, false));
    }
}
