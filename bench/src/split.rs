//! When splitting pays: one 64 MiB object after the other, whole and in ranges, from each kind of storage.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use s3dlio_testkit::fault_proxy::{FaultProxy, Rule};

use crate::data_set::{DataSet, LARGE_OBJECTS, LARGE_SIZE};
use crate::direct::DiskFile;
use crate::job::{BUCKET, Job, Runtime, large_key};
use crate::nginx::Nginx;
use crate::ours;
use crate::process::{Meter, Sample, measure};
use crate::report::{Bar, Row, Unit};

/// What a connection to a cloud's object store is like.
const FIRST_BYTE: Duration = Duration::from_millis(20);
const BYTES_PER_SECOND: u64 = 50 << 20;

/// Objects of each measurement.
const OBJECTS: u64 = 4;

/// Every kind of storage with the range engine off (the reference) and on, in turn.
pub(crate) async fn rows(server: &Nginx, data: &DataSet, disk: &Path, rounds: usize) -> Result<Vec<Row>> {
    let slow = FaultProxy::start(server.endpoint)?;
    slow.add(Rule::any().delay(FIRST_BYTE).bandwidth(BYTES_PER_SECOND));
    let file = DiskFile::create(disk, LARGE_SIZE)?;
    let in_bucket = |index: u64| format!("s3://{BUCKET}/{}", large_key(index));
    let keys: Vec<u64> = (0..OBJECTS.min(LARGE_OBJECTS)).collect();
    let cached = |index: &u64| format!("file://{}/{BUCKET}/{}", data.root().display(), large_key(*index));
    let cases = [
        (
            "s3, 20 ms to the first byte, 50 MiB/s per connection",
            Some(slow.address()),
            keys.iter().map(|index| in_bucket(*index)).collect::<Vec<_>>(),
        ),
        ("s3, loopback", Some(server.endpoint), keys.iter().map(|index| in_bucket(*index)).collect()),
        ("file, page-cached", None, keys.iter().map(cached).collect()),
        ("direct, a disk", None, keys.iter().map(|_| format!("direct://{}", file.path.display())).collect()),
    ];
    let mut rows = Vec::new();
    for (name, endpoint, uris) in cases {
        let job = |split| Job::Split { endpoint, uris: uris.clone(), split };
        let (mut whole, mut split) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            whole.push(measure(&job(false)).await?);
            split.push(measure(&job(true)).await?);
            eprintln!("{round}/{rounds} split, {name}");
        }
        rows.push(Row {
            name: format!("64 MiB `get`, one at a time: {name}"),
            unit: Unit::GibPerSecond,
            reference: Some(("whole", whole)),
            ours: split,
            bar: Bar::None,
        });
    }
    Ok(rows)
}

/// Reads objects one after the other; runs in the measuring process.
pub(crate) fn run(endpoint: Option<std::net::SocketAddr>, uris: &[String], split: bool) -> Result<Sample> {
    ours::start(Runtime::OneWorker)?.block_on(async {
        let client = ours::client(
            endpoint,
            &[("enable_range_engine", split.to_string()), ("range_split_threshold", "4MiB".to_owned())],
        )?;
        client.get(&uris[0]).await?;
        let meter = Meter::start();
        let mut bytes = 0;
        for uri in uris {
            bytes += client.get(uri).await?.len() as u64;
        }
        ensure!(bytes == uris.len() as u64 * LARGE_SIZE, "{bytes} bytes came");
        meter.stop(uris.len() as u64, bytes)
    })
}
