//! The same work by `s3dlio_store::Client`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use futures::StreamExt;
use s3dlio_store::{Client, Config, Environment, FetchOptions};
use tokio::task::JoinSet;

use crate::job::{BUCKET, Large, MemoryRead, Runtime, Small, large_key, small_key};
use crate::process::{Meter, Sample};

pub(crate) const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub(crate) const REGION: &str = "us-east-1";

/// Requests before the measured part.
const WARM_UP: u64 = 2000;

/// Reads small objects: `in_flight` tasks, each of which takes the next key when it is done with the last.
pub(crate) fn small(small: &Small, runtime: Runtime, hint: bool) -> Result<Sample> {
    let keys: Arc<Vec<String>> = Arc::new((0..small.objects).map(|index| uri(&small_key(index))).collect());
    start(runtime)?.block_on(async {
        let client = client(Some(small.endpoint), &[])?;
        let read = async |requests: u64| {
            let next = Arc::new(AtomicU64::new(0));
            let mut tasks = JoinSet::new();
            for _ in 0..small.in_flight {
                let (client, keys, next, size) = (client.clone(), keys.clone(), next.clone(), small.size);
                tasks.spawn(async move {
                    let mut bytes = 0;
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= requests {
                            return anyhow::Ok(bytes);
                        }
                        let uri = &keys[(index % keys.len() as u64) as usize];
                        let data = if hint {
                            let options = FetchOptions { size_hint: Some(size), ..FetchOptions::default() };
                            client.fetch(uri, options).await?.data
                        } else {
                            client.get(uri).await?
                        };
                        bytes += data.len() as u64;
                    }
                });
            }
            sum(tasks).await
        };
        read(WARM_UP).await?;
        let before = client.statistics();
        let meter = Meter::start();
        let bytes = read(small.requests).await?;
        let sample = meter.stop(small.requests, bytes)?;
        let requests = client.statistics().requests - before.requests;
        ensure!(requests == small.requests, "{requests} requests were sent for {} objects", small.requests);
        ensure!(bytes == small.requests * small.size, "{bytes} bytes came");
        Ok(sample)
    })
}

/// Reads large objects whole, `at_once` of them at a time.
pub(crate) fn large(large: &Large, runtime: Runtime) -> Result<Sample> {
    let keys: Arc<Vec<String>> = Arc::new((0..large.objects).map(|index| uri(&large_key(index))).collect());
    start(runtime)?.block_on(async {
        let client = client(Some(large.endpoint), &[])?;
        let read = async |objects: u64| {
            let next = Arc::new(AtomicU64::new(0));
            let mut tasks = JoinSet::new();
            for _ in 0..large.at_once {
                let (client, keys, next) = (client.clone(), keys.clone(), next.clone());
                tasks.spawn(async move {
                    let mut bytes = 0;
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= objects {
                            return anyhow::Ok(bytes);
                        }
                        let uri = &keys[(index % keys.len() as u64) as usize];
                        bytes += client.get(uri).await?.len() as u64;
                    }
                });
            }
            sum(tasks).await
        };
        // Every buffer that will be used has been used before, as in the floor.
        read(2 * large.at_once).await?;
        let objects = large.objects * large.passes;
        let meter = Meter::start();
        let bytes = read(objects).await?;
        ensure!(bytes == objects * large.size, "{bytes} bytes came");
        meter.stop(objects, bytes)
    })
}

/// Reads in a bounded amount of memory.
pub(crate) fn memory(endpoint: SocketAddr, budget: u64, read: MemoryRead) -> Result<Sample> {
    start(Runtime::CurrentThread)?.block_on(async {
        let client = client(Some(endpoint), &[("memory_budget", budget.to_string())])?;
        let meter = Meter::start();
        let (operations, bytes) = match read {
            MemoryRead::Stream { key } => {
                let mut stream = client.get_stream(uri(&key)).await?;
                let mut bytes = 0;
                while let Some(chunk) = stream.next().await {
                    bytes += chunk?.len() as u64;
                }
                (1, bytes)
            }
            MemoryRead::Loader { keys, size, at_once } => {
                (keys.len() as u64, load(&client, &keys, size, at_once).await?)
            }
        };
        meter.stop(operations, bytes)
    })
}

/// Objects in order. A read that ends before its turn keeps its lease, which holds back those behind it.
async fn load(client: &Client, keys: &[String], size: u64, at_once: usize) -> Result<u64> {
    let mut reading = VecDeque::new();
    let mut keys = keys.iter();
    let mut bytes = 0;
    loop {
        while reading.len() < at_once
            && let Some(key) = keys.next()
        {
            let options = FetchOptions { size_hint: Some(size), lease: Some(client.budget().lease()) };
            let (client, uri) = (client.clone(), uri(key));
            reading.push_back(tokio::spawn(async move { client.fetch(uri, options).await }));
        }
        let Some(first) = reading.pop_front() else { return Ok(bytes) };
        bytes += first.await??.data.len() as u64;
    }
}

/// A client with its defaults, but for `settings`; of S3 at `endpoint`, if there is one.
pub(crate) fn client(endpoint: Option<SocketAddr>, settings: &[(&str, String)]) -> Result<Client> {
    let environment =
        Environment::from_iter([("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)]);
    let mut config = Config::builder().environment(environment).set("region", REGION);
    if let Some(endpoint) = endpoint {
        config = config.set("endpoint_url", format!("http://{endpoint}"));
    }
    for (key, value) in settings {
        config = config.set(*key, value);
    }
    Ok(Client::new(config.build()?))
}

pub(crate) fn start(runtime: Runtime) -> Result<tokio::runtime::Runtime> {
    Ok(match runtime {
        Runtime::CurrentThread => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        Runtime::OneWorker => tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
    })
}

fn uri(key: &str) -> String {
    format!("s3://{BUCKET}/{key}")
}

async fn sum(mut tasks: JoinSet<Result<u64>>) -> Result<u64> {
    let mut sum = 0;
    while let Some(joined) = tasks.join_next().await {
        sum += joined??;
    }
    Ok(sum)
}
