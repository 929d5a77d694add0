//! The range engine over counting stores: what it asks for, how often, and how much it holds.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use s3dlio_store::budget::{ByteBudget, RequestLimiter};
use s3dlio_store::range_engine::{RangeEngine, RangeEngineConfig, Target};
use s3dlio_store::{CancellationToken, ErrorKind, RequestLimit, UnifiedLoaderConfig};
use s3dlio_testkit::counting::{Call, Counters, CountingStore, Fault, Gate};
use s3dlio_testkit::data;

const KIB: u64 = 1024;

/// An engine of small chunks over one object.
struct Bench {
    engine: RangeEngine,
    target: Target,
    store: Arc<CountingStore<InMemory>>,
    content: Bytes,
    cancel: CancellationToken,
}

fn small_config() -> RangeEngineConfig {
    RangeEngineConfig {
        chunk_size: 64 * KIB,
        max_concurrent_ranges: 4,
        min_split_size: 32 * KIB,
        range_timeout: UnifiedLoaderConfig::default().range_timeout,
    }
}

async fn bench_with(size: u64, budget: u64, config: RangeEngineConfig) -> Bench {
    let store = Arc::new(CountingStore::new(InMemory::new()));
    let content = data::bytes(size, size as usize);
    let path = Path::from("object");
    store.inner().put(&path, content.clone().into()).await.unwrap();
    let target = Target {
        store: store.clone() as Arc<dyn ObjectStore>,
        path,
        uri: "test://object".into(),
        limiter: RequestLimiter::new(RequestLimit::Fixed(64)),
    };
    let engine = RangeEngine::new(config, ByteBudget::new(budget));
    Bench { engine, target, store, content, cancel: CancellationToken::new() }
}

async fn bench(size: u64) -> Bench {
    bench_with(size, 1 << 30, small_config()).await
}

impl Bench {
    fn counters(&self) -> Counters {
        self.store.counters()
    }

    async fn get(&self, hint: Option<u64>) -> s3dlio_store::Result<Bytes> {
        self.engine.get(&self.target, hint, &self.cancel).await.map(|fetched| fetched.data)
    }

    fn assert_read_once(&self) {
        let counters = self.counters();
        assert_eq!(counters.count(Call::Head), 0, "a read sends no HEAD");
        assert_eq!(counters.delivered_twice(&self.target.path), None, "a byte is fetched once");
        assert_eq!(counters.bytes_delivered(), self.content.len() as u64);
    }
}

#[tokio::test]
async fn an_object_below_the_threshold_takes_one_request() {
    for size in [1, 100, 4095, 4096, 4097, 32 * KIB - 1, 32 * KIB] {
        for hint in [None, Some(size)] {
            let bench = bench(size).await;
            data::assert_same(&bench.get(hint).await.unwrap(), &bench.content, "object");
            assert_eq!(bench.counters().total(), 1, "size {size}, hint {hint:?}");
            bench.assert_read_once();
        }
    }
}

#[tokio::test]
async fn an_empty_object_is_an_empty_result() {
    for hint in [None, Some(0), Some(1000), Some(1 << 20)] {
        let bench = bench(0).await;
        assert!(bench.get(hint).await.unwrap().is_empty());
        assert_eq!(bench.counters().count(Call::Head), 0);
        let chunks: Vec<Bytes> =
            bench.engine.stream(&bench.target, None, &bench.cancel).await.unwrap().try_collect().await.unwrap();
        assert_eq!(chunks.concat(), b"");
    }
}

#[tokio::test]
async fn a_large_object_is_split_and_pinned_to_its_version() {
    let size = 32 * KIB + 5 * 64 * KIB + 1;
    for hint in [None, Some(size)] {
        let bench = bench(size).await;
        data::assert_same(&bench.get(hint).await.unwrap(), &bench.content, "object");
        bench.assert_read_once();
        let gets = bench.counters().gets();
        assert_eq!(gets.len(), 1 + 6, "one first range and six chunks");
        assert!(gets[1..].iter().all(|get| get.if_match.is_some()), "every further range names the version");
        assert!(bench.counters().peak_requests_in_flight() <= 4);
    }
}

#[tokio::test]
async fn a_wrong_hint_costs_requests_but_never_bytes() {
    let size = 300 * KIB + 7;
    for hint in [0, 1, 10 * KIB, 100 * KIB, size - 1, size + 1, 10 * size] {
        let bench = bench(size).await;
        data::assert_same(&bench.get(Some(hint)).await.unwrap(), &bench.content, "object");
        assert_eq!(bench.engine.budget().used(), 0);
    }
}

#[tokio::test]
async fn without_the_range_engine_an_object_is_never_split() {
    let config = RangeEngineConfig { max_concurrent_ranges: 1, ..small_config() };
    let bench = bench_with(1000 * KIB, 1 << 30, config).await;
    data::assert_same(&bench.get(None).await.unwrap(), &bench.content, "object");
    assert_eq!(bench.counters().total(), 1);
}

#[tokio::test]
async fn a_busy_limit_streams_the_rest_whole() {
    let bench = bench(1000 * KIB).await;
    let target = Target { limiter: RequestLimiter::new(RequestLimit::Fixed(1)), ..bench.target.clone() };
    let fetched = bench.engine.get(&target, None, &bench.cancel).await.unwrap();
    data::assert_same(&fetched.data, &bench.content, "object");
    assert_eq!(bench.counters().total(), 2, "the first range, and all of the rest");
}

#[tokio::test]
async fn bytes_in_flight_stay_within_the_budget() {
    let budget = 300 * KIB;
    let bench = bench_with(100 * KIB, budget, small_config()).await;
    let reads = futures::stream::iter(0..40).map(|_| {
        let (engine, target, cancel) = (bench.engine.clone(), bench.target.clone(), bench.cancel.clone());
        tokio::spawn(async move { engine.get(&target, None, &cancel).await.unwrap().data })
    });
    let read: Vec<_> = reads.buffer_unordered(40).collect().await;
    assert!(read.into_iter().all(|data| data.unwrap() == bench.content));
    // The oldest read may always go on: by what it still needs when the others hold the budget.
    assert!(bench.engine.budget().peak() <= budget + 100 * KIB, "{}", bench.engine.budget().peak());
    assert!(bench.counters().peak_bytes_in_flight() <= budget + 100 * KIB);
    assert_eq!(bench.engine.budget().used(), 0);
}

#[tokio::test]
async fn a_stream_of_any_size_stays_within_the_budget() {
    let budget = 200 * KIB;
    let bench = bench_with(3000 * KIB + 3, budget, small_config()).await;
    let mut stream = bench.engine.stream(&bench.target, None, &bench.cancel).await.unwrap();
    let mut read = Vec::new();
    while let Some(chunk) = stream.next().await {
        read.extend_from_slice(&chunk.unwrap());
    }
    data::assert_same(&read, &bench.content, "stream");
    bench.assert_read_once();
    // The next chunk in order may always be fetched, also when later ones hold the budget.
    assert!(bench.engine.budget().peak() <= budget + 64 * KIB, "{}", bench.engine.budget().peak());
}

#[tokio::test]
async fn a_body_that_breaks_is_resumed_at_the_byte() {
    let bench = bench(200 * KIB).await;
    bench.store.inject(Fault::on(Call::Get).nth(1).break_body(1000));
    bench.store.inject(Fault::on(Call::Get).nth(3).truncate_body(10));
    bench.store.inject(Fault::on(Call::Get).nth(4).break_body(0));
    data::assert_same(&bench.get(None).await.unwrap(), &bench.content, "object");
    bench.assert_read_once();
}

#[tokio::test]
async fn a_body_that_is_always_short_is_an_error() {
    let bench = bench(10 * KIB).await;
    bench.store.inject(Fault::on(Call::Get).truncate_body(0));
    let error = bench.get(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    assert!(error.to_string().contains("ended 10240 bytes early at byte 0"), "{error}");
}

#[tokio::test]
async fn an_object_that_changes_is_an_error() {
    let bench = bench(400 * KIB).await;
    let gate = Gate::closed();
    bench.store.inject(Fault::on(Call::Get).after(1).hold(&gate));
    let read = {
        let (engine, target, cancel) = (bench.engine.clone(), bench.target.clone(), bench.cancel.clone());
        tokio::spawn(async move { engine.get(&target, None, &cancel).await })
    };
    gate.wait_for(1).await;
    bench.store.inner().put(&bench.target.path, data::bytes(9, 400 * 1024).into()).await.unwrap();
    gate.open();
    let error = read.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
}

#[tokio::test]
async fn a_changed_entity_tag_is_an_error_where_the_store_ignores_conditions() {
    let bench = bench(400 * KIB).await;
    bench.store.inject(Fault::on(Call::Get).nth(3).change_etag("other"));
    assert_eq!(bench.get(None).await.unwrap_err().kind(), ErrorKind::Changed);
}

#[tokio::test]
async fn ranges_are_cut_apart_from_few_requests() {
    let bench = bench(2000 * KIB).await;
    let ranges = [5..10, 0..5, 8..20, 1_900_000..1_900_001, 7..7];
    let read = bench.engine.get_ranges(&bench.target, &ranges, &bench.cancel).await.unwrap();
    for (range, bytes) in ranges.iter().zip(&read) {
        assert_eq!(bytes, &bench.content[range.start as usize..range.end as usize]);
    }
    assert_eq!(bench.counters().total(), 2);
}

#[tokio::test]
async fn a_long_range_is_split_and_cut_at_the_end() {
    let bench = bench(1000 * KIB).await;
    let range = object_store::GetRange::Bounded(100..10_000_000);
    let read = bench.engine.get_range(&bench.target, range, &bench.cancel).await.unwrap();
    data::assert_same(&read, &bench.content[100..], "range");
    assert_eq!(bench.counters().delivered_twice(&bench.target.path), None);
}

#[tokio::test]
async fn a_cancelled_read_ends_and_gives_its_bytes_back() {
    let bench = bench(400 * KIB).await;
    let gate = Gate::closed();
    bench.store.inject(Fault::on(Call::Get).after(2).hold_body(100, &gate));
    let read = {
        let (engine, target, cancel) = (bench.engine.clone(), bench.target.clone(), bench.cancel.clone());
        tokio::spawn(async move { engine.get(&target, None, &cancel).await })
    };
    gate.wait_for(2).await;
    bench.cancel.cancel();
    assert_eq!(read.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    let settled = || bench.engine.budget().used() == 0 && bench.counters().requests_in_flight() == 0;
    assert!(s3dlio_testkit::process::eventually_async(std::time::Duration::from_secs(10), settled).await);
    assert_eq!(bench.get(None).await.unwrap_err().kind(), ErrorKind::Cancelled, "a cancelled token stays so");
}

/// Begins a read of ranges, does something to the object before the second request, and gives the read's error.
async fn disturbed(disturb: impl AsyncFn(&Bench)) -> s3dlio_store::Error {
    let bench = bench(400 * KIB).await;
    let gate = Gate::closed();
    bench.store.inject(Fault::on(Call::Get).after(1).hold(&gate));
    let read = {
        let (engine, target, cancel) = (bench.engine.clone(), bench.target.clone(), bench.cancel.clone());
        tokio::spawn(async move { engine.get(&target, None, &cancel).await })
    };
    gate.wait_for(1).await;
    disturb(&bench).await;
    gate.open();
    let error = read.await.unwrap().unwrap_err();
    assert_eq!(bench.engine.budget().used(), 0);
    error
}

#[tokio::test]
async fn an_object_that_shrinks_grows_or_vanishes_is_an_error() {
    for size in [0, 10, 300 * 1024, 500 * 1024] {
        let error = disturbed(async |bench| {
            bench.store.inner().put(&bench.target.path, data::bytes(9, size).into()).await.unwrap();
        });
        let error = error.await;
        assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
    }
    let error = disturbed(async |bench| bench.store.inner().delete(&bench.target.path).await.unwrap()).await;
    assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
}

async fn streamed(bench: &Bench, range: Option<std::ops::Range<u64>>) -> s3dlio_store::Result<Vec<u8>> {
    let stream = bench.engine.stream(&bench.target, range, &bench.cancel).await?;
    Ok(stream.try_collect::<Vec<Bytes>>().await?.concat())
}

#[tokio::test]
async fn a_stream_that_is_not_split_takes_one_request_and_no_budget() {
    let config = RangeEngineConfig { max_concurrent_ranges: 1, ..small_config() };
    let bench = bench_with(3000 * KIB, 100 * KIB, config).await;
    data::assert_same(&streamed(&bench, None).await.unwrap(), &bench.content, "stream");
    assert_eq!(bench.counters().total(), 1);
    assert!(bench.engine.budget().peak() <= 100 * KIB);
    data::assert_same(&streamed(&bench, Some(10..2_000_000)).await.unwrap(), &bench.content[10..2_000_000], "range");
    assert_eq!(bench.counters().total(), 2);
    assert_eq!((bench.engine.budget().used(), bench.target.limiter.in_flight()), (0, 0));
}

#[tokio::test]
async fn a_stream_that_is_not_split_is_resumed_at_the_byte_and_pinned() {
    let config = RangeEngineConfig { max_concurrent_ranges: 1, ..small_config() };
    let bench = bench_with(500 * KIB, 1 << 30, config.clone()).await;
    bench.store.inject(Fault::on(Call::Get).nth(1).break_body(1000));
    bench.store.inject(Fault::on(Call::Get).nth(2).truncate_body(70_000));
    data::assert_same(&streamed(&bench, None).await.unwrap(), &bench.content, "stream");
    assert_eq!(bench.counters().total(), 3);
    bench.assert_read_once();

    let bench = bench_with(500 * KIB, 1 << 30, config).await;
    bench.store.inject(Fault::on(Call::Get).nth(1).break_body(1000));
    bench.store.inject(Fault::on(Call::Get).nth(2).change_etag("other"));
    assert_eq!(streamed(&bench, None).await.unwrap_err().kind(), ErrorKind::Changed);

    bench.store.heal();
    bench.store.inject(Fault::on(Call::Get).truncate_body(0));
    assert_eq!(streamed(&bench, None).await.unwrap_err().kind(), ErrorKind::Integrity);
}

#[tokio::test]
async fn a_stream_ends_with_its_first_error() {
    let bench = bench(1000 * KIB).await;
    bench.store.inject(Fault::on(Call::Get).nth(3).change_etag("other"));
    let mut stream = bench.engine.stream(&bench.target, None, &bench.cancel).await.unwrap();
    let mut errors = 0;
    while let Some(chunk) = stream.next().await {
        errors += usize::from(chunk.is_err());
    }
    assert_eq!(errors, 1);
    assert!(stream.next().await.is_none());
}

/// What servers without ranges send is not fetched again and again.
#[tokio::test]
async fn a_server_without_ranges_is_asked_twice_at_most() {
    use s3dlio_store::{Client, Config};
    use s3dlio_testkit::http_server::{Behaviour, HttpServer};
    let content = data::bytes(8, 40 << 20);
    for no_etag in [false, true] {
        let server = HttpServer::start().unwrap();
        server.put("/object", content.clone());
        server.set_behaviour(Behaviour { ignore_range: true, no_etag, ..Behaviour::default() });
        let client = Client::new(Config::default());
        let uri = format!("{}/object", server.endpoint());
        data::assert_same(&client.get(&uri).await.unwrap(), &content, "whole");
        assert!(server.log().len() <= 2, "{}", server.log().len());
        server.log().clear();
        let chunks: Vec<Bytes> = client.get_stream(&uri).await.unwrap().try_collect().await.unwrap();
        data::assert_same(&chunks.concat(), &content, "streamed");
        assert!(server.log().len() <= 2, "{}", server.log().len());
        server.log().clear();
        let read = client.get_range(&uri, 1 << 20..30 << 20).await.unwrap();
        data::assert_same(&read, &content[1 << 20..30 << 20], "range");
        assert!(server.log().len() <= 2, "{}", server.log().len());
        assert_eq!(client.budget().used(), 0);
    }
}
