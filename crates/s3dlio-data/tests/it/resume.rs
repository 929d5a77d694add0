//! An epoch goes on exactly where its position says.

use s3dlio_data::{AsyncPoolDataLoader, DataLoader, Position};
use s3dlio_store::ErrorKind;

use crate::support::{Bench, indices, samples};

#[tokio::test]
async fn batches_go_on_where_the_position_says() {
    let bench = Bench::new([1; 23]).await;
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(4).shuffle(true).build().unwrap();
    let whole = indices(loader.epoch(3)).await;
    for given in 0..=whole.len() {
        let mut epoch = loader.epoch(3);
        for _ in 0..given {
            epoch.next().await.unwrap().unwrap();
        }
        let position = epoch.position().clone();
        assert_eq!(position, Position::after((given * 4).min(23)));
        let mut rest = loader.epoch_from(3, &position).unwrap();
        let first = rest.next().await.map(|batch| batch.unwrap().index);
        assert_eq!(first, (given < whole.len()).then_some(given));
        assert_eq!(indices(loader.epoch_from(3, &position).unwrap()).await, whole[given..]);
    }
}

#[tokio::test]
async fn the_pool_goes_on_with_exactly_what_it_has_not_given() {
    let bench = Bench::new([1; 23]).await;
    for drop_last in [false, true] {
        let loader = AsyncPoolDataLoader::builder(&bench.client, &bench.dataset).shuffle(true).batch_size(4);
        let loader = loader.drop_last(drop_last).build().unwrap();
        for given in 0..=loader.samples_per_epoch() {
            let mut epoch = loader.epoch(1);
            let mut seen = Vec::new();
            for _ in 0..given {
                seen.push(epoch.next().await.unwrap().unwrap().index);
            }
            let position = epoch.position().clone();
            assert_eq!(position.samples(), given);
            drop(epoch);
            let rest = samples(loader.epoch_from(1, &position).unwrap()).await;
            seen.extend(rest.into_iter().map(|sample| sample.unwrap().index));
            let mut all: Vec<_> = samples(loader.epoch(1)).await.into_iter().map(|s| s.unwrap().index).collect();
            all.sort();
            seen.sort();
            assert_eq!(seen, all);
        }
    }
}

#[tokio::test]
async fn a_position_of_another_batch_size_is_taken_by_samples() {
    let bench = Bench::new([1; 10]).await;
    let loader = |drop_last| {
        let builder = DataLoader::builder(&bench.client, &bench.dataset).batch_size(4).drop_last(drop_last);
        builder.build().unwrap().epoch_from(0, &Position::after(3)).unwrap()
    };
    assert_eq!(indices(loader(false)).await, [vec![3, 4, 5, 6], vec![7, 8, 9]]);
    assert_eq!(indices(loader(true)).await, [[3, 4, 5, 6]]);
}

#[tokio::test]
async fn a_position_beyond_the_epoch_is_refused() {
    let bench = Bench::new([1; 10]).await;
    let loader = DataLoader::builder(&bench.client, &bench.dataset).build().unwrap();
    assert!(loader.epoch_from(0, &Position::after(10)).unwrap().next().await.is_none());
    let error = loader.epoch_from(0, &Position::after(11)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("beyond the epoch's 10 samples"), "{error}");
}
