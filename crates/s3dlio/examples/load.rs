//! Streams a data set: two shuffled epochs in batches, then one sample by sample.
//!
//! ```sh
//! cargo run --release -p s3dlio --example load -- s3://bucket/train/
//! ```
//!
//! Without a URI it makes a small data set in memory.

use s3dlio::{AsyncPoolDataLoader, Client, DataLoader, Dataset, EpochStatistics, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::from_environment()?;
    let uri = match std::env::args().nth(1).filter(|argument| argument.contains("://")) {
        Some(uri) => uri,
        None => make(&client).await?,
    };
    let dataset = Dataset::from_prefix(&client, &uri).await?;
    println!("{}: {} samples", dataset.name(), dataset.len());

    let loader = DataLoader::builder(&client, &dataset).batch_size(16).shuffle(true).seed(1).build()?;
    for number in 0..2 {
        let mut epoch = loader.epoch(number);
        while let Some(batch) = epoch.next().await {
            // Train here. The next batches are being read meanwhile.
            let _batch = batch?;
        }
        report(&format!("epoch {number}"), epoch.statistics());
    }

    let pool = AsyncPoolDataLoader::builder(&client, &dataset).build()?;
    let mut epoch = pool.epoch(2);
    while let Some(sample) = epoch.next().await {
        let _sample = sample?;
    }
    report("as they arrive", epoch.statistics());
    Ok(())
}

async fn make(client: &Client) -> Result<String> {
    for number in 0..200_usize {
        client.put(format!("memory:///train/{number:04}"), vec![0; number * 100]).await?;
    }
    Ok("memory:///train/".to_owned())
}

fn report(name: &str, statistics: &EpochStatistics) {
    println!(
        "{name}: {} samples, {:.0} samples/s, {:.1} MB/s, p99 {:?}",
        statistics.samples,
        statistics.samples_per_second(),
        statistics.bytes_per_second() / 1e6,
        statistics.latency(0.99).unwrap_or_default(),
    );
}

#[test]
fn it_runs() {
    main().unwrap();
}
