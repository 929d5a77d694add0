//! The presets: what differs by scheme before anybody sets anything.
//!
//! Splitting an object into ranges hides the latency of a network. A device has less to hide, so that `direct://`
//! splits later and less; the page cache reads ahead by itself, so that `file://` does not split; memory has nothing to
//! gain.

use crate::constants;
use crate::uri::Scheme;

use super::UnifiedLoaderConfig;

/// The values that a scheme decides.
pub(super) struct Preset {
    enable_range_engine: bool,
    max_concurrent_ranges_per_object: usize,
    range_split_threshold: u64,
}

impl Preset {
    /// The keys that a preset gives a value to.
    pub(super) const KEYS: [&'static str; 3] =
        ["enable_range_engine", "max_concurrent_ranges_per_object", "range_split_threshold"];

    /// The preset of `scheme`.
    pub(super) fn of(scheme: Scheme) -> Self {
        match scheme {
            Scheme::S3 | Scheme::Azure | Scheme::Gcs | Scheme::Http | Scheme::Https => Self {
                enable_range_engine: true,
                max_concurrent_ranges_per_object: constants::MAX_CONCURRENT_RANGES_PER_OBJECT,
                range_split_threshold: constants::RANGE_SPLIT_THRESHOLD,
            },
            Scheme::Direct => Self {
                enable_range_engine: true,
                max_concurrent_ranges_per_object: constants::DIRECT_MAX_CONCURRENT_RANGES_PER_OBJECT,
                range_split_threshold: constants::DIRECT_RANGE_SPLIT_THRESHOLD,
            },
            // The ranges matter to those who turn the engine on: 32, as the default.
            Scheme::File => Self {
                enable_range_engine: false,
                max_concurrent_ranges_per_object: constants::MAX_CONCURRENT_RANGES_PER_OBJECT,
                range_split_threshold: constants::FILE_RANGE_SPLIT_THRESHOLD,
            },
            Scheme::Memory => Self {
                enable_range_engine: false,
                max_concurrent_ranges_per_object: constants::MAX_CONCURRENT_RANGES_PER_OBJECT,
                range_split_threshold: constants::RANGE_SPLIT_THRESHOLD,
            },
        }
    }

    /// Puts the preset over `config`.
    pub(super) fn apply(&self, config: &mut UnifiedLoaderConfig) {
        config.enable_range_engine = self.enable_range_engine;
        config.max_concurrent_ranges_per_object = self.max_concurrent_ranges_per_object;
        config.range_split_threshold = self.range_split_threshold;
    }
}
