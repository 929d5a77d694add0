//! Which samples come, in which order.

use s3dlio_data::{AsyncPoolDataLoader, DataLoader};
use s3dlio_testkit::counting::{Call, Fault, Gate};
use s3dlio_testkit::data;

use crate::support::{Bench, KIB, MIB, content, indices, path, samples};

#[tokio::test]
async fn batches_keep_their_order_when_the_first_object_comes_last() {
    let bench = Bench::new([10; 8]).await;
    let gate = Gate::closed();
    bench.store.inject(Fault::on(Call::Get).at(&path(0)).hold(&gate));
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(3).build().unwrap();
    let reading = tokio::spawn(indices(loader.epoch(0)));
    // The other seven are through, the first still waits.
    gate.wait_for(1).await;
    while bench.counters().bytes_delivered() < 70 {
        tokio::task::yield_now().await;
    }
    assert!(!reading.is_finished());
    gate.open();
    assert_eq!(reading.await.unwrap(), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
}

#[tokio::test]
async fn the_pool_gives_what_has_arrived() {
    let bench = Bench::new([10; 8]).await;
    let gate = Gate::closed();
    bench.store.inject(Fault::on(Call::Get).at(&path(0)).hold(&gate));
    let loader = AsyncPoolDataLoader::builder(&bench.client, &bench.dataset).batch_size(3).build().unwrap();
    let mut epoch = loader.epoch(0);
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(epoch.next().await.unwrap().unwrap().index);
    }
    seen.sort();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    gate.open();
    assert_eq!(epoch.next().await.unwrap().unwrap().index, 0);
    assert!(epoch.next().await.is_none() && epoch.next().await.is_none());
}

#[tokio::test]
async fn a_seed_and_an_epoch_make_the_same_batches_every_time() {
    let bench = Bench::new([1; 50]).await;
    let loader = |seed| {
        DataLoader::builder(&bench.client, &bench.dataset).batch_size(7).shuffle(true).seed(seed).build().unwrap()
    };
    let first = indices(loader(1).epoch(0)).await;
    assert_eq!(first, indices(loader(1).epoch(0)).await);
    assert_ne!(first, indices(loader(1).epoch(1)).await);
    assert_ne!(first, indices(loader(2).epoch(0)).await);
    let mut all = first.concat();
    all.sort();
    assert_eq!(all, Vec::from_iter(0..50));
}

#[tokio::test]
async fn ranks_share_every_sample_exactly_once() {
    let bench = Bench::new([1; 29]).await;
    for epoch in 0..2 {
        let (mut batched, mut pooled) = (Vec::new(), Vec::new());
        for rank in 0..4 {
            let loader = DataLoader::builder(&bench.client, &bench.dataset).shuffle(true).rank(rank).world_size(4);
            batched.extend(indices(loader.batch_size(3).build().unwrap().epoch(epoch)).await.concat());
            let loader = AsyncPoolDataLoader::builder(&bench.client, &bench.dataset).shuffle(true).seed(3);
            let loader = loader.rank(rank).world_size(4).build().unwrap();
            pooled.extend(samples(loader.epoch(epoch)).await.into_iter().map(|sample| sample.unwrap().index));
        }
        batched.sort();
        pooled.sort();
        assert_eq!(batched, Vec::from_iter(0..29));
        assert_eq!(pooled, batched);
    }
}

#[tokio::test]
async fn more_ranks_than_samples_leave_some_with_nothing() {
    let bench = Bench::new([1; 2]).await;
    let loader = DataLoader::builder(&bench.client, &bench.dataset).rank(2).world_size(3).build().unwrap();
    assert_eq!((loader.samples_per_epoch(), loader.batches_per_epoch()), (0, 0));
    let mut epoch = loader.epoch(0);
    assert!(epoch.next().await.is_none() && epoch.next().await.is_none());
    assert_eq!(bench.counters().total(), 0);
}

#[tokio::test]
async fn drop_last_leaves_out_what_makes_no_full_batch_on_every_rank() {
    let bench = Bench::new([1; 11]).await;
    let builder = || DataLoader::builder(&bench.client, &bench.dataset).batch_size(4);
    assert_eq!(indices(builder().build().unwrap().epoch(0)).await[2], [8, 9, 10]);
    let loader = builder().drop_last(true).build().unwrap();
    assert_eq!((loader.samples_per_epoch(), loader.batches_per_epoch()), (8, 2));
    assert_eq!(indices(loader.epoch(0)).await, [[0, 1, 2, 3], [4, 5, 6, 7]]);
    for rank in 0..2 {
        let loader = builder().drop_last(true).rank(rank).world_size(2).build().unwrap();
        assert_eq!(indices(loader.epoch(0)).await.len(), 1, "rank {rank}");
    }
    let pool = AsyncPoolDataLoader::builder(&bench.client, &bench.dataset).batch_size(4).drop_last(true);
    assert_eq!(samples(pool.build().unwrap().epoch(0)).await.len(), 8);
}

#[tokio::test]
async fn objects_of_every_size_arrive_whole_by_one_get_each() {
    let sizes = [0, 1, 4095, 4096, 64 * KIB, MIB + 1, 0, 17];
    let bench = Bench::new(sizes).await;
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(3).build().unwrap();
    let mut epoch = loader.epoch(5);
    let mut seen = 0;
    while let Some(batch) = epoch.next().await {
        let batch = batch.unwrap();
        assert_eq!((batch.epoch, batch.index), (5, seen / 3));
        for sample in batch.samples {
            assert_eq!(sample.index, seen);
            assert_eq!(sample.location, bench.dataset.location(seen));
            data::assert_same(&sample.data, &content(seen, sizes[seen]), &sample.location.to_string());
            seen += 1;
        }
    }
    assert_eq!(seen, sizes.len());
    let statistics = epoch.statistics();
    assert_eq!((statistics.samples, statistics.bytes), (8, sizes.iter().sum::<usize>() as u64));
    assert!(statistics.latency(0.5).is_some() && statistics.time_to_first.unwrap() <= statistics.stalled);
    assert!(statistics.stalled <= statistics.elapsed);
    for index in 0..sizes.len() {
        assert_eq!(bench.counters().gets_of(&path(index)).len(), 1, "object {index}");
    }
    assert_eq!((bench.counters().count(Call::Head), bench.counters().total()), (0, sizes.len()));
}

#[tokio::test]
async fn both_loaders_are_streams() {
    use futures::{StreamExt, TryStreamExt};
    let bench = Bench::new([1; 10]).await;
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(4).build().unwrap();
    let epochs = futures::stream::iter(0..3).flat_map(|number| loader.epoch(number));
    let batches: Vec<_> = epochs.map_ok(|batch| (batch.epoch, batch.index)).try_collect().await.unwrap();
    let expected: Vec<_> = (0..3).flat_map(|epoch| (0..3).map(move |index| (epoch, index))).collect();
    assert_eq!(batches, expected);
}
