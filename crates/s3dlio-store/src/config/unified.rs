//! [`UnifiedLoaderConfig`]: every value that the engine reads, for one scheme.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::{Key, Rejected, declare};
use super::kinds::{
    Address, Count, File, Kind, Limit, Name, Number, Optional, Size, Span, Toggle, print_duration, print_size,
};
use super::memory;
use super::presets::Preset;
use crate::constants;
use crate::error::Result;
use crate::uri::Scheme;

declare! {
    /// Every value that the engine reads, for one scheme.
    ///
    /// Three layers run at once: `prefetch_depth` batches are made ready ahead, from `max_concurrent_downloads` objects
    /// at once, each in up to `max_concurrent_ranges_per_object` ranges. What really runs is bounded by two budgets:
    /// `max_requests_in_flight` and `memory_budget`.
    ///
    /// ```
    /// use s3dlio_store::{Scheme, UnifiedLoaderConfig};
    ///
    /// let config = UnifiedLoaderConfig { range_split_threshold: 16 * 1024 * 1024, ..Default::default() };
    /// assert_eq!(config.max_total_parallelism(), 32 * 32);
    /// config.validate()?;
    ///
    /// assert!(!UnifiedLoaderConfig::for_scheme(Scheme::File).enable_range_engine);
    /// # Ok::<(), s3dlio_store::Error>(())
    /// ```
    pub struct UnifiedLoaderConfig {
        /// Batches (or samples, where there are no batches) made ready ahead of the consumer.
        pub prefetch_depth: usize as Count<1, { constants::CONCURRENCY_MAXIMUM }> = constants::PREFETCH_DEPTH, "4";
        /// Objects fetched at once.
        pub max_concurrent_downloads: usize as Count<1, { constants::CONCURRENCY_MAXIMUM }>
            = constants::MAX_CONCURRENT_DOWNLOADS, "32";
        /// Whether large objects are split into ranges that are fetched at once.
        pub enable_range_engine: bool as Toggle = true, "true";
        /// Ranges of one object fetched at once, where it is split.
        pub max_concurrent_ranges_per_object: usize as Count<1, { constants::CONCURRENCY_MAXIMUM }>
            = constants::MAX_CONCURRENT_RANGES_PER_OBJECT, "32";
        /// Objects below this size are fetched by one request; it is also the size of the first request.
        pub range_split_threshold: u64 as Size<1> = constants::RANGE_SPLIT_THRESHOLD, "4MiB";
        /// Size of one range.
        pub range_chunk_size: u64 as Size<{ constants::MINIMUM_RANGE_CHUNK_SIZE }>
            = constants::RANGE_CHUNK_SIZE, "8MiB";
        /// How long one range may go without progress, its retries included.
        pub range_timeout: Duration as Span<1> = constants::RANGE_TIMEOUT, "25s";
        /// Requests in flight to one endpoint: `adaptive` follows what is measured.
        pub max_requests_in_flight: RequestLimit as Limit = RequestLimit::Adaptive, "adaptive";
        /// Bytes in flight per client.
        pub memory_budget: u64 as Size<{ constants::MEMORY_BUDGET_FLOOR }>
            = memory::default_budget(), "a quarter of what the cgroup or the machine allows, from 64MiB to 4GiB";
        /// Samples in a batch.
        pub batch_size: usize as Count<1, { constants::BATCH_SIZE_MAXIMUM }> = constants::BATCH_SIZE, "32";
        /// Whether a last batch that is not full is left out.
        pub drop_last: bool as Toggle = false, "false";
        /// Whether each epoch has its own order.
        pub shuffle: bool as Toggle = false, "false";
        /// Seed of the order of all epochs; the same on every rank.
        pub seed: u64 as Number = 0, "0";
        /// This process's rank among `world_size`, counted from 0.
        pub rank: usize as Count<0> = 0, "0";
        /// How many processes share the data set.
        pub world_size: usize as Count<1> = 1, "1";
        /// How long one attempt to connect may take.
        pub connect_timeout: Duration as Span<1> = constants::CONNECT_TIMEOUT, "2s";
        /// How long one request may go without a byte before it is given up and sent again.
        pub idle_timeout: Duration as Span<1> = constants::IDLE_TIMEOUT, "10s";
        /// How long an operation may go without progress, its retries included.
        pub operation_deadline: Duration as Span<1> = constants::OPERATION_DEADLINE, "25s";
        /// How often one request is sent at most.
        pub retry_max_attempts: usize as Count<1> = constants::RETRY_MAX_ATTEMPTS, "8";
        /// Pause before the second attempt; it doubles with each.
        pub retry_initial_backoff: Duration as Span<0> = constants::RETRY_INITIAL_BACKOFF, "100ms";
        /// Longest pause between attempts, unless the server asks for a longer one.
        pub retry_max_backoff: Duration as Span<0> = constants::RETRY_MAX_BACKOFF, "2s";
        /// How long an operation may pause between its attempts, all pauses together.
        pub retry_budget: Duration as Span<0> = constants::RETRY_BUDGET, "8s";
        /// Size of one part of an upload; S3 accepts none below 5 MiB.
        pub multipart_part_size: u64
            as Size<{ constants::MINIMUM_PART_SIZE }, { constants::MAXIMUM_PART_SIZE }>
            = constants::MULTIPART_PART_SIZE, "8MiB";
        /// Parts of one upload in flight at once.
        pub max_concurrent_parts: usize as Count<1, { constants::CONCURRENCY_MAXIMUM }>
            = constants::MAX_CONCURRENT_PARTS, "8";
        /// Address of the S3, Azure or GCS endpoint, instead of the cloud's own.
        pub endpoint_url: Option<String> as Optional<Address> = None, "none";
        /// Region of S3; where none is given, the profile's, else us-east-1.
        pub region: Option<String> as Optional<Name> = None, "none";
        /// Profile of the AWS configuration files.
        pub profile: Option<String> as Optional<Name> = None, "none";
        /// Whether requests are sent without credentials.
        pub anonymous: bool as Toggle = false, "false";
        /// Whether S3 buckets are named in the host instead of the path; decided by the endpoint where none is given.
        pub virtual_hosted_style: Option<bool> as Optional<Toggle> = None, "none";
        /// File of certificate authorities (PEM) to trust besides the system's.
        pub ca_bundle: Option<PathBuf> as Optional<File> = None, "none";
        /// Whether `direct://` goes through the page cache where the file system refuses O_DIRECT.
        pub direct_fallback: bool as Toggle = false, "false";
        /// Size of one O_DIRECT request.
        pub direct_block_size: u64 as Size<
            { constants::DIRECT_ALIGNMENT },
            { constants::DIRECT_BLOCK_SIZE_MAXIMUM },
            { constants::DIRECT_ALIGNMENT },
        > = constants::DIRECT_BLOCK_SIZE, "1MiB";
        /// O_DIRECT requests in flight at once.
        pub direct_queue_depth: usize as Count<1, { constants::DIRECT_QUEUE_DEPTH_MAXIMUM }>
            = constants::DIRECT_QUEUE_DEPTH, "16";
    }
}

impl UnifiedLoaderConfig {
    /// The defaults with the preset of `scheme`: nothing is read from a file or the environment.
    pub fn for_scheme(scheme: Scheme) -> Self {
        let mut config = Self::default();
        Preset::of(scheme).apply(&mut config);
        config
    }

    /// What the settings multiply to: `max_concurrent_downloads` times `max_concurrent_ranges_per_object`. What really
    /// runs is bounded by `max_requests_in_flight` and `memory_budget`.
    pub fn max_total_parallelism(&self) -> usize {
        self.max_concurrent_downloads.saturating_mul(self.max_concurrent_ranges_per_object)
    }

    /// Checks each value and how they go together.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the key, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(|rejected| rejected.into_error(None))
    }

    pub(super) fn check(&self) -> Result<(), Rejected> {
        if let Some(key) = Key::all().find(|key| !(key.check)(self)) {
            return Err(Rejected::out_of_bounds(key, &key.print(self)));
        }
        if self.rank >= self.world_size {
            let reason = format!("is not below world_size, which is {}: ranks count from 0", self.world_size);
            return Err(Rejected::beside("rank", self.rank, reason));
        }
        if self.retry_initial_backoff > self.retry_max_backoff {
            let reason = format!("is above retry_max_backoff, which is {}", print_duration(self.retry_max_backoff));
            return Err(Rejected::beside("retry_initial_backoff", print_duration(self.retry_initial_backoff), reason));
        }
        // A request that can never fit into the budget would wait for ever.
        let chunk = if self.enable_range_engine { self.range_chunk_size } else { 0 };
        for (key, needed) in [("range_chunk_size", chunk), ("multipart_part_size", self.multipart_part_size)] {
            if needed > self.memory_budget {
                let reason = format!("is above memory_budget, which is {}", print_size(self.memory_budget));
                return Err(Rejected::beside(key, print_size(needed), reason));
            }
        }
        Ok(())
    }
}

/// How many requests may be in flight to one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestLimit {
    /// Follows what is measured.
    Adaptive,
    /// Exactly this many, at least one.
    Fixed(usize),
}

impl fmt::Display for RequestLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adaptive => f.write_str("adaptive"),
            Self::Fixed(limit) => write!(f, "{limit}"),
        }
    }
}
