//! How far and how wide a loader reads ahead.

use s3dlio_data::{AsyncPoolDataLoader, DataLoader};
use s3dlio_testkit::counting::{Call, Fault, Gate};
use s3dlio_testkit::process::eventually_async;

use crate::support::{Bench, HANG, indices, samples};

#[tokio::test]
async fn nothing_is_read_before_the_first_batch_is_asked_for() {
    let bench = Bench::new([1; 10]).await;
    let loader = DataLoader::builder(&bench.client, &bench.dataset).build().unwrap();
    let _epoch = loader.epoch(0);
    tokio::task::yield_now().await;
    assert_eq!(bench.counters().total(), 0);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test]
async fn prefetch_depth_batches_are_read_while_the_consumer_is_busy() {
    let bench = Bench::new([1; 40]).await;
    let gate = Gate::closed();
    bench.store.inject(Fault::on(Call::Get).hold(&gate));
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(2).prefetch_depth(3).build().unwrap();
    let mut epoch = loader.epoch(0);
    assert!(futures::poll!(Box::pin(epoch.next())).is_pending());
    gate.wait_for(6).await;
    gate.open();
    epoch.next().await.unwrap().unwrap();
    // From here on the consumer does not ask, and the next three batches are read all the same.
    assert!(eventually_async(HANG, || bench.counters().count(Call::Get) == 8).await);
    assert!(eventually_async(HANG, || bench.counters().requests_in_flight() == 0).await);
    assert_eq!(bench.counters().count(Call::Get), 8, "no further");
    for given in 2..=20 {
        epoch.next().await.unwrap().unwrap();
        assert!(bench.counters().count(Call::Get) <= (given + 3) * 2);
    }
    assert!(epoch.next().await.is_none());
}

#[tokio::test]
async fn the_pool_reads_as_many_samples_ahead() {
    let bench = Bench::new([1; 40]).await;
    let loader = AsyncPoolDataLoader::builder(&bench.client, &bench.dataset).batch_size(2).prefetch_depth(3);
    let mut epoch = loader.build().unwrap().epoch(0);
    for given in 1..=40_usize {
        epoch.next().await.unwrap().unwrap();
        let begun = (given + 6).min(40);
        assert!(eventually_async(HANG, || bench.counters().count(Call::Get) == begun).await);
    }
}

#[tokio::test]
async fn max_concurrent_downloads_objects_are_read_at_once() {
    for limit in [1, 5] {
        let bench = Bench::new([1; 60]).await;
        let gate = Gate::closed();
        bench.store.inject(Fault::on(Call::Get).first(limit).hold(&gate));
        let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(4).max_concurrent_downloads(limit);
        let reading = tokio::spawn(indices(loader.build().unwrap().epoch(0)));
        gate.wait_for(limit).await;
        gate.open();
        assert_eq!(reading.await.unwrap().concat().len(), 60);
        assert_eq!(bench.counters().peak_requests_in_flight(), limit as u64);

        bench.counters().reset();
        let pool = AsyncPoolDataLoader::builder(&bench.client, &bench.dataset).max_concurrent_downloads(limit);
        assert_eq!(samples(pool.build().unwrap().epoch(0)).await.len(), 60);
        assert!(bench.counters().peak_requests_in_flight() <= limit as u64);
    }
}

#[tokio::test]
async fn no_task_is_left_when_an_epoch_has_ended() {
    let bench = Bench::new([1; 40]).await;
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(4).build().unwrap();
    let mut epoch = loader.epoch(0);
    while let Some(batch) = epoch.next().await {
        batch.unwrap();
    }
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(bench.client.budget().used(), 0);
}
