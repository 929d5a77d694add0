//! Memory: what is begun and not handed out fits into the client's byte budget, and nothing ever waits for ever.

use s3dlio_data::{AsyncPoolDataLoader, DataLoader, Dataset};
use s3dlio_store::Config;
use s3dlio_store::config::ConfigBuilder;
use s3dlio_testkit::counting::{Call, Fault, Gate};
use s3dlio_testkit::process::eventually_async;

use crate::support::{Bench, HANG, MIB, samples};

/// The smallest budget that the other defaults allow: one part of an upload, one range.
const BUDGET: u64 = 8 * MIB as u64;

fn small_budget() -> ConfigBuilder {
    Config::builder().set("memory_budget", BUDGET)
}

#[tokio::test]
async fn a_consumer_that_keeps_every_batch_never_stalls_the_loader() {
    let bench = Bench::with(small_budget(), [MIB; 40]).await;
    // Batches below the budget, and one as large as twice the budget.
    for batch_size in [1, 3, 16] {
        let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(batch_size).build().unwrap();
        let mut epoch = loader.epoch(0);
        let mut kept = Vec::new();
        while let Some(batch) = tokio::time::timeout(HANG, epoch.next()).await.expect("the loader stalls") {
            kept.push(batch.unwrap());
        }
        assert_eq!(kept.iter().map(|batch| batch.samples.len()).sum::<usize>(), 40);
        assert_eq!(bench.client.budget().used(), 0);
    }
    let loader = AsyncPoolDataLoader::builder(&bench.client, &bench.dataset).build().unwrap();
    let kept = tokio::time::timeout(HANG, samples(loader.epoch(0))).await.expect("the loader stalls");
    assert_eq!(kept.len(), 40);
}

#[tokio::test]
async fn a_slow_consumer_bounds_the_bytes_in_flight() {
    let bench = Bench::with(small_budget(), [MIB; 40]).await;
    let budget = bench.client.budget();
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(2).prefetch_depth(20).build().unwrap();
    let mut epoch = loader.epoch(0);
    while let Some(batch) = epoch.next().await {
        let batch = batch.unwrap();
        // The loader reads on until the budget or the data set is used up, and no further.
        let ahead = (40 - 2 * (batch.index as u64 + 1)) * MIB as u64;
        let settled = || budget.used() == ahead.min(BUDGET) && bench.counters().requests_in_flight() == 0;
        assert!(eventually_async(HANG, settled).await, "{}", budget.used());
    }
    assert_eq!(budget.peak(), BUDGET);

    let loader = AsyncPoolDataLoader::builder(&bench.client, &bench.dataset).prefetch_depth(20).build().unwrap();
    let mut epoch = loader.epoch(0);
    for given in 1..=40 {
        epoch.next().await.unwrap().unwrap();
        let ahead = (40 - given) * MIB as u64;
        assert!(eventually_async(HANG, || budget.used() == ahead.min(BUDGET)).await, "{}", budget.used());
    }
    assert_eq!(budget.peak(), BUDGET);
}

#[tokio::test]
async fn a_batch_larger_than_the_budget_is_all_that_goes_over_it() {
    let bench = Bench::with(small_budget(), [MIB; 40]).await;
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(10).build().unwrap();
    let mut epoch = loader.epoch(0);
    while let Some(batch) = tokio::time::timeout(HANG, epoch.next()).await.expect("the loader stalls") {
        batch.unwrap();
    }
    assert_eq!(bench.client.budget().peak(), 10 * MIB as u64);
}

#[tokio::test]
async fn a_loader_that_nobody_asks_holds_up_no_other_work_of_its_client() {
    let bench = Bench::with(small_budget(), [MIB; 40]).await;
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(4).prefetch_depth(10).build().unwrap();
    let mut idle = loader.epoch(0);
    idle.next().await.unwrap().unwrap();
    assert!(eventually_async(HANG, || bench.client.budget().used() == BUDGET).await);

    // Validation in the middle of a training epoch, and a read beside it.
    let mut other = loader.epoch(1);
    let mut batches = 0;
    while let Some(batch) = tokio::time::timeout(HANG, other.next()).await.expect("the other loader stalls") {
        batch.unwrap();
        batches += 1;
    }
    assert_eq!(batches, 10);
    let read = tokio::time::timeout(HANG, bench.client.get(bench.dataset.location(0))).await;
    assert_eq!(read.expect("the read stalls").unwrap().len(), MIB);
    assert!(bench.client.budget().peak() <= BUDGET + 4 * MIB as u64, "the other's next batch, and no more");

    let mut rest = 0;
    while let Some(batch) = tokio::time::timeout(HANG, idle.next()).await.expect("the first loader stalls") {
        batch.unwrap();
        rest += 1;
    }
    assert_eq!(rest, 9);
    assert_eq!(bench.client.budget().used(), 0);
}

#[tokio::test]
async fn sizes_that_are_not_known_are_learned_and_counted() {
    // Each counts for the first request, 4 MiB, until it is there: two at once, then as many as fit.
    let bench = Bench::with(small_budget(), [MIB; 40]).await;
    let uris: Vec<_> = (0..bench.dataset.len()).map(|index| bench.dataset.location(index)).collect();
    let dataset = Dataset::from_uris(uris).unwrap();
    let loader = DataLoader::builder(&bench.client, &dataset).batch_size(1).prefetch_depth(40).build().unwrap();
    let mut epoch = loader.epoch(0);
    epoch.next().await.unwrap().unwrap();
    assert!(eventually_async(HANG, || bench.client.budget().used() >= BUDGET - 4 * MIB as u64).await);
    while let Some(batch) = tokio::time::timeout(HANG, epoch.next()).await.expect("the loader stalls") {
        batch.unwrap();
    }
    assert!(bench.client.budget().peak() <= BUDGET, "{}", bench.client.budget().peak());
    assert!(bench.counters().peak_requests_in_flight() <= 2);
    assert_eq!((bench.counters().count(Call::Get), bench.counters().count(Call::Head)), (40, 0));
}

#[tokio::test]
async fn room_that_a_large_object_leaves_is_used_by_several_small_ones_at_once() {
    let bench = Bench::with(small_budget(), [8 * MIB].into_iter().chain([MIB; 8])).await;
    let gate = Gate::closed();
    bench.store.inject(Fault::on(Call::Get).after(1).hold(&gate));
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(1).prefetch_depth(20).build().unwrap();
    let mut epoch = loader.epoch(0);
    assert_eq!(epoch.next().await.unwrap().unwrap().size(), BUDGET);
    tokio::time::timeout(HANG, gate.wait_for(8)).await.expect("all eight are begun");
    gate.open();
    for _ in 0..8 {
        epoch.next().await.unwrap().unwrap();
    }
    assert_eq!(bench.client.budget().peak(), BUDGET);
}
