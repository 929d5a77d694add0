//! What is printed is read back, by every way in.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::constants::{KIB, MIB};

proptest! {
    #[test]
    fn every_value_that_is_printed_is_read_back(config in any_config()) {
        prop_assert!(config.validate().is_ok(), "{:?}", config.validate());
        let mut copy = UnifiedLoaderConfig::default();
        for key in Config::keys() {
            key.assign(&mut copy, &key.print(&config)).unwrap();
        }
        prop_assert_eq!(&copy, &config);

        let file: String = Config::keys().map(|key| format!("{} = {:?}\n", key.name(), key.print(&config))).collect();
        prop_assert_eq!(&in_file(&file).unwrap().for_scheme(Scheme::File), &config);
        let variables = Config::keys().map(|key| (key.variable(), key.print(&config)));
        let built = Config::builder().environment(variables.collect()).build().unwrap();
        prop_assert_eq!(&built.for_scheme(Scheme::Direct), &config);
        let overrides = Config::keys().map(|key| (key.name(), key.print(&config)));
        prop_assert_eq!(&Config::default().with_overrides(overrides).unwrap().for_scheme(Scheme::S3), &config);
    }

    #[test]
    fn no_text_makes_a_key_panic(text in any::<String>()) {
        for key in Config::keys() {
            let mut config = UnifiedLoaderConfig::default();
            if key.assign(&mut config, &text).is_ok() {
                prop_assert!(key.assign(&mut config.clone(), &key.print(&config)).is_ok());
            }
        }
    }
}

/// Any configuration that is allowed.
fn any_config() -> impl Strategy<Value = UnifiedLoaderConfig> {
    let concurrency = || 1usize..=65_535;
    let duration = || (1u64..86_400_000_000_000).prop_map(|nanos| Duration::from_nanos(nanos.max(1_000_000)));
    let name = || proptest::option::of("[a-zA-Z0-9_=#\"'\\\\é-]{5,12}");
    let loader = (concurrency(), concurrency(), any::<bool>(), concurrency(), 1u64.., 64 * KIB..1 << 40);
    let batches = (1usize..1 << 24, any::<[bool; 2]>(), any::<u64>(), 0usize..1000, 1usize..1000);
    let retries = (1usize.., duration(), duration(), duration());
    let times = (duration(), duration(), duration(), duration());
    let upload = (5 * MIB..5120 * MIB, concurrency(), 1 << 40..u64::MAX);
    let limit = prop_oneof![Just(RequestLimit::Adaptive), concurrency().prop_map(RequestLimit::Fixed)];
    let endpoint = (
        // A last label that looks like a number makes a host a malformed IPv4 address.
        proptest::option::of("https?://([a-z0-9]{1,5}\\.){0,2}[g-w]{1,5}(:[1-9][0-9]{0,3})?(/[a-z]*)?"),
        name(),
        name(),
        any::<bool>(),
        any::<Option<bool>>(),
        proptest::option::of("/[a-z ]{1,10}/[a-z]{1,5}".prop_map(PathBuf::from)),
    );
    let direct = (any::<bool>(), 1u64..=262_144, 1usize..=32_768);
    (loader, batches, retries, times, upload, limit, endpoint, direct).prop_map(
        |(loader, batches, retries, times, upload, limit, endpoint, direct)| UnifiedLoaderConfig {
            prefetch_depth: loader.0,
            max_concurrent_downloads: loader.1,
            enable_range_engine: loader.2,
            max_concurrent_ranges_per_object: loader.3,
            range_split_threshold: loader.4,
            range_chunk_size: loader.5,
            range_timeout: times.0,
            max_requests_in_flight: limit,
            memory_budget: upload.2,
            batch_size: batches.0,
            drop_last: batches.1[0],
            shuffle: batches.1[1],
            seed: batches.2,
            rank: batches.3,
            world_size: batches.3 + batches.4,
            connect_timeout: times.1,
            idle_timeout: times.2,
            operation_deadline: times.3,
            retry_max_attempts: retries.0,
            retry_initial_backoff: retries.1.min(retries.2),
            retry_max_backoff: retries.1.max(retries.2),
            retry_budget: retries.3,
            multipart_part_size: upload.0,
            max_concurrent_parts: upload.1,
            endpoint_url: endpoint.0,
            region: endpoint.1,
            profile: endpoint.2,
            anonymous: endpoint.3,
            virtual_hosted_style: endpoint.4,
            ca_bundle: endpoint.5,
            direct_fallback: direct.0,
            direct_block_size: direct.1 * 4 * KIB,
            direct_queue_depth: direct.2,
        },
    )
}
