//! Many reads at once under small limits: whatever holds the limits, everything ends, and everything is given back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use object_store::memory::InMemory;
use s3dlio_store::budget::{ByteBudget, RequestLimiter};
use s3dlio_store::range_engine::{RangeEngine, RangeEngineConfig, Target};
use s3dlio_store::{CancellationToken, Client, Config, RequestLimit};
use s3dlio_testkit::counting::{Call, CountingStore, Fault, Gate};
use s3dlio_testkit::data;

const KIB: u64 = 1024;

/// Far longer than any of these reads takes: it is only reached by what hangs.
const FOREVER: Duration = Duration::from_secs(20);

struct Bench {
    engine: RangeEngine,
    limiter: RequestLimiter,
    store: Arc<InMemory>,
}

fn bench(budget: u64, requests: usize) -> Bench {
    let config = RangeEngineConfig {
        chunk_size: 64 * KIB,
        max_concurrent_ranges: 4,
        min_split_size: 32 * KIB,
        range_timeout: Duration::from_secs(30),
    };
    Bench {
        engine: RangeEngine::new(config, ByteBudget::new(budget)),
        limiter: RequestLimiter::new(RequestLimit::Fixed(requests)),
        store: Arc::new(InMemory::new()),
    }
}

impl Bench {
    async fn put(&self, key: &str, size: usize) -> (Target, Bytes) {
        use object_store::ObjectStoreExt;
        let content = data::bytes(size as u64, size);
        let path = object_store::path::Path::from(key);
        self.store.put(&path, content.clone().into()).await.unwrap();
        let (store, limiter) = (self.store.clone(), self.limiter.clone());
        (Target { store, path, uri: format!("test://{key}").into(), limiter }, content)
    }

    async fn assert_idle(&self) {
        let idle = || self.engine.budget().used() == 0 && self.limiter.in_flight() == 0;
        assert!(s3dlio_testkit::process::eventually_async(Duration::from_secs(10), idle).await);
    }
}

/// The oldest read needs a place for its next request while younger ones, which have theirs, need its bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_wait_for_bytes_hold_no_place_for_requests() {
    let bench = bench(200 * KIB, 2);
    let mut objects = Vec::new();
    for index in 0..40 {
        objects.push(bench.put(&format!("k{index}"), 500 * KIB as usize + index).await);
    }
    let mut reads = tokio::task::JoinSet::new();
    for (target, content) in objects {
        let engine = bench.engine.clone();
        reads.spawn(async move {
            let fetched = engine.get(&target, None, &CancellationToken::new()).await.unwrap();
            data::assert_same(&fetched.data, &content, &target.uri);
        });
    }
    let all = async { while reads.join_next().await.is_some_and(|read| read.map(|()| true).unwrap()) {} };
    tokio::time::timeout(FOREVER, all).await.expect("no read waits for a place that waits for its bytes");
    bench.assert_idle().await;
}

/// Everything at once, in an order that depends on a seed only: whole objects, ranges, streams that are read, left
/// alone or dropped, and reads that are cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_mixture_of_reads_ends() {
    for seed in 0..24_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let bench = bench(random.u64(64..400) * KIB, random.usize(1..6));
        let mut objects = Vec::new();
        for index in 0..30 {
            objects.push(bench.put(&format!("k{index}"), random.usize(0..700 * KIB as usize)).await);
        }
        let mut abandoned = Vec::new();
        let mut reads = tokio::task::JoinSet::new();
        for (index, (target, content)) in (0..).zip(objects) {
            let engine = bench.engine.clone();
            let hint = random.bool().then_some(content.len() as u64);
            match random.u8(0..6) {
                0 | 1 => reads.spawn(async move {
                    let fetched = engine.get(&target, hint, &CancellationToken::new()).await.unwrap();
                    data::assert_same(&fetched.data, &content, &target.uri);
                }),
                2 => reads.spawn(async move {
                    let length = content.len() as u64;
                    let ranges = [0..length / 3, length / 2..length, length / 4..length / 2];
                    let read = engine.get_ranges(&target, &ranges, &CancellationToken::new()).await.unwrap();
                    for (range, read) in ranges.iter().zip(read) {
                        data::assert_same(&read, &content[range.start as usize..range.end as usize], &target.uri);
                    }
                }),
                3 => reads.spawn(async move {
                    let mut stream = engine.stream(&target, None, &CancellationToken::new()).await.unwrap();
                    let mut read = Vec::new();
                    while let Some(chunk) = stream.next().await {
                        read.extend_from_slice(&chunk.unwrap());
                        tokio::task::yield_now().await;
                    }
                    data::assert_same(&read, &content, &target.uri);
                }),
                4 => {
                    abandoned.push(tokio::spawn(async move {
                        engine.stream(&target, None, &CancellationToken::new()).await.unwrap()
                    }));
                    continue;
                }
                _ => reads.spawn(async move {
                    let cancel = CancellationToken::new();
                    let read = engine.get(&target, hint, &cancel);
                    let _ = tokio::time::timeout(Duration::from_micros(index * 20), read).await;
                    cancel.cancel();
                }),
            };
        }
        let all = async { while reads.join_next().await.is_some_and(|read| read.map(|()| true).unwrap()) {} };
        tokio::time::timeout(FOREVER, all).await.unwrap_or_else(|_| panic!("seed {seed} hangs"));
        for stream in abandoned {
            drop(tokio::time::timeout(FOREVER, stream).await.unwrap_or_else(|_| panic!("seed {seed} hangs")));
        }
        bench.assert_idle().await;
    }
}
/// A client of one counting store, with room for one request and for one object.
fn narrow_client() -> (Client, Arc<CountingStore<InMemory>>) {
    let config = Config::builder().set("max_requests_in_flight", 1).set("memory_budget", "8MiB");
    let client = Client::new(config.build().unwrap());
    let store = Arc::new(CountingStore::new(InMemory::new()));
    client.insert_store("s3://bucket", store.clone()).unwrap();
    (client, store)
}

/// `buffer_unordered` polls its futures only while it is polled itself: what they hold must come free without that.
#[tokio::test]
async fn an_operation_that_nobody_polls_holds_up_nobody() {
    let (client, store) = narrow_client();
    client.put("s3://bucket/a", "a").await.unwrap();
    client.put("s3://bucket/b", "b").await.unwrap();
    let gate = Gate::closed();
    store.inject(Fault::on(Call::Get).nth(1).hold(&gate));
    let mut left_alone = Box::pin(client.get("s3://bucket/a"));
    assert!(left_alone.as_mut().now_or_never().is_none());
    gate.wait_for(1).await;
    gate.open();
    let other = tokio::time::timeout(FOREVER, client.get("s3://bucket/b")).await;
    assert_eq!(other.expect("the first gives its place back").unwrap(), "b");
    assert_eq!(left_alone.await.unwrap(), "a");

    let mut stats = futures::stream::iter(0..8).map(|_| client.stat("s3://bucket/a")).buffer_unordered(4);
    while let Some(info) = stats.next().await {
        info.unwrap();
        let deleted = tokio::time::timeout(FOREVER, client.delete("s3://bucket/b")).await;
        deleted.expect("the others give their places back").ok();
    }
}
