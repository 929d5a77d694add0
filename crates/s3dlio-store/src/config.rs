//! The one configuration surface.
//!
//! [`UnifiedLoaderConfig`] holds every value that the engine reads, for one scheme. [`Config`] holds the layers that the
//! values come from and says, for every key, its value and where that came from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::uri::Scheme;

/// How many requests may be in flight to one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestLimit {
    /// Follows what is measured.
    Adaptive,
    /// Exactly this many, at least one.
    Fixed(usize),
}

/// Every value that the engine reads.
#[derive(Debug, Clone, PartialEq)]
pub struct UnifiedLoaderConfig {
    /// Batches (or samples, without batches) made ready ahead of the consumer.
    pub prefetch_depth: usize,
    /// Objects fetched at once.
    pub max_concurrent_downloads: usize,
    /// Whether large objects are split into ranges that are fetched at once.
    pub enable_range_engine: bool,
    /// Ranges of one object fetched at once.
    pub max_concurrent_ranges_per_object: usize,
    /// Objects below this size, in bytes, are fetched by one request; it is also the first request's size.
    pub range_split_threshold: u64,
    /// Size of one range in bytes.
    pub range_chunk_size: u64,
    /// How long one range may go without progress, its retries included.
    pub range_timeout: Duration,
    /// Requests in flight to one endpoint.
    pub max_requests_in_flight: RequestLimit,
    /// Bytes in flight per client.
    pub memory_budget: u64,
    /// Samples in a batch.
    pub batch_size: usize,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
    /// Whether each epoch has its own order.
    pub shuffle: bool,
    /// Seed of the order.
    pub seed: u64,
    /// This process's rank among `world_size`.
    pub rank: usize,
    /// How many processes share the data set.
    pub world_size: usize,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long one request may go without a byte before it is given up and tried again.
    pub idle_timeout: Duration,
    /// How long an operation may go without progress, its retries included.
    pub operation_deadline: Duration,
    /// How often a request is sent at most.
    pub retry_max_attempts: usize,
    /// How long an operation may pause between its attempts, all pauses together.
    pub retry_budget: Duration,
    /// Pause before the second attempt; it doubles with each.
    pub retry_initial_backoff: Duration,
    /// Longest pause between attempts.
    pub retry_max_backoff: Duration,
    /// Size of one part of an upload in bytes.
    pub multipart_part_size: u64,
    /// Parts of one upload in flight at once.
    pub max_concurrent_parts: usize,
    /// Address of the S3, Azure or GCS endpoint, instead of the cloud's own.
    pub endpoint_url: Option<String>,
    /// Region of S3.
    pub region: Option<String>,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Whether requests are sent without credentials.
    pub anonymous: bool,
    /// Whether S3 buckets are named in the host instead of the path; decided by the endpoint if not set.
    pub virtual_hosted_style: Option<bool>,
    /// File of certificate authorities (PEM) to trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Whether `direct://` reads through the page cache where the file system refuses O_DIRECT.
    pub direct_fallback: bool,
    /// Size of one O_DIRECT request in bytes.
    pub direct_block_size: u64,
    /// O_DIRECT requests in flight at once.
    pub direct_queue_depth: usize,
}

impl UnifiedLoaderConfig {
    /// What the settings multiply to; what really runs is bounded by the budgets.
    pub fn max_total_parallelism(&self) -> usize {
        self.max_concurrent_downloads * self.max_concurrent_ranges_per_object
    }
}

/// A snapshot of environment variables. Backends look credentials up here, never in the process's environment.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The layers of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    environment: Environment,
}

impl Config {
    /// The values for one scheme, with all layers applied.
    pub fn for_scheme(&self, _scheme: Scheme) -> UnifiedLoaderConfig {
        unreachable!("filled in by the next commit")
    }

    /// The environment variables that were there when the configuration was made.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}
