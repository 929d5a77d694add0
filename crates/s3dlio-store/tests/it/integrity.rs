//! Nothing is lost, nothing is invented: objects onto themselves, answers that lie, work that stops half way.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::Method;
use object_store::memory::InMemory;
use s3dlio_store::client::TreeResult;
use s3dlio_store::{Client, Config, CopyOptions, Environment, ErrorKind, Location, PutMode, PutOptions, Result};
use s3dlio_testkit::counting::{Call, CountingStore, Fault};
use s3dlio_testkit::data;
use s3dlio_testkit::fault_proxy::{At, FaultProxy, Rule};
use s3dlio_testkit::servers::S3sFs;

struct Network {
    server: S3sFs,
    proxy: FaultProxy,
    client: Client,
}

/// s3s-fs with a bucket `bucket` behind a proxy, and a client of it.
fn network() -> Network {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let environment = Environment::from_iter([
        ("AWS_ACCESS_KEY_ID", server.access_key()),
        ("AWS_SECRET_ACCESS_KEY", server.secret_key()),
    ]);
    let config = Config::builder().environment(environment).set("endpoint_url", proxy.endpoint());
    Network {
        server,
        proxy,
        client: Client::new(config.set("multipart_part_size", "5MiB").set("max_concurrent_parts", 2).build().unwrap()),
    }
}

fn parse(uri: &str) -> Location {
    Location::parse(uri).unwrap()
}

const KEEP: CopyOptions = CopyOptions { keep_existing: true };
const REPLACE: CopyOptions = CopyOptions { keep_existing: false };

/// Copies and renames an object onto itself, by two names of it.
async fn onto_itself(client: &Client, one: &str, other: &str) {
    let content = data::bytes(7, 100_000);
    client.put(one, content.clone()).await.unwrap();
    for (from, to) in [(one, one), (one, other), (other, one)] {
        client.copy(from, to, REPLACE).await.unwrap();
        data::assert_same(&client.get(one).await.unwrap(), &content, "copied onto itself");
        client.rename(from, to, REPLACE).await.unwrap();
        data::assert_same(&client.get(one).await.unwrap(), &content, "renamed onto itself");
        for kept in [client.copy(from, to, KEEP).await, client.rename(from, to, KEEP).await] {
            assert_eq!(kept.unwrap_err().kind(), ErrorKind::AlreadyExists, "{from} to {to}");
        }
        data::assert_same(&client.get(one).await.unwrap(), &content, "kept");
    }
    client.delete(one).await.unwrap();
    for error in [client.copy(one, one, REPLACE).await, client.rename(one, one, REPLACE).await] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn an_object_onto_itself_stays() {
    let net = network();
    onto_itself(&net.client, "s3://bucket/k", "s3://bucket/k").await;
    onto_itself(&net.client, "memory:///k", "memory:///k").await;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().display();
    onto_itself(&net.client, &format!("file://{path}/k"), &format!("file://{path}/k")).await;
    onto_itself(&net.client, &format!("direct://{path}/k"), &format!("direct://{path}/k")).await;
    // Two schemes, one file.
    onto_itself(&net.client, &format!("file://{path}/k"), &format!("direct://{path}/k")).await;
    std::fs::create_dir(directory.path().join("real")).unwrap();
    std::os::unix::fs::symlink(directory.path().join("real"), directory.path().join("link")).unwrap();
    onto_itself(&net.client, &format!("file://{path}/real/k"), &format!("direct://{path}/link/k")).await;
}

#[tokio::test]
async fn a_rename_keeps_what_exists_when_asked() {
    let net = network();
    let directory = tempfile::tempdir().unwrap();
    for base in ["s3://bucket".to_owned(), "memory://".to_owned(), format!("file://{}", directory.path().display())] {
        let (from, to) = (format!("{base}/from"), format!("{base}/to"));
        net.client.put(&from, "from").await.unwrap();
        net.client.put(&to, "to").await.unwrap();
        let error = net.client.rename(&from, &to, KEEP).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        assert_eq!(net.client.get(&from).await.unwrap(), "from");
        assert_eq!(net.client.get(&to).await.unwrap(), "to");
        net.client.rename(&from, &to, REPLACE).await.unwrap();
        assert_eq!(net.client.get(&to).await.unwrap(), "from");
        assert!(!net.client.exists(&from).await.unwrap());
    }
}

#[tokio::test]
async fn a_tree_is_not_copied_into_itself() {
    let client = Client::new(Config::default());
    for key in ["a/1", "a/b/2", "ab/3"] {
        client.put(format!("memory:///{key}"), key).await.unwrap();
    }
    let copied = |from, to| {
        let results = client.copy_tree(parse(from), parse(to), REPLACE);
        async move { results.take(50).collect::<Vec<TreeResult>>().await }
    };
    for (from, to) in
        [("memory:///a", "memory:///a/copy"), ("memory:///", "memory:///copy/"), ("memory:///a/", "memory:///a/b")]
    {
        let results = copied(from, to).await;
        assert_eq!(results.len(), 1, "{results:?}");
        assert_eq!(results[0].result.as_ref().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(copied("memory:///a", "memory:///ab").await.len(), 2, "a neighbour is another place");
    let onto_itself = copied("memory:///a", "memory:///a/").await;
    assert!(onto_itself.iter().all(|copied| copied.result.is_ok()) && onto_itself.len() == 2, "{onto_itself:?}");
    assert_eq!(client.get("memory:///a/b/2").await.unwrap(), "a/b/2");
}

#[tokio::test]
async fn a_copy_whose_source_breaks_leaves_nothing() {
    let net = network();
    let source = Arc::new(CountingStore::new(InMemory::new()));
    net.client.insert_store("gs://source", source.clone()).unwrap();
    for size in [100_000_usize, 30 << 20] {
        net.client.put("gs://source/k", data::bytes(3, size)).await.unwrap();
        source.inject(Fault::on(Call::Get).nth(2).truncate_body(10));
        source.inject(Fault::on(Call::Get).nth(1).truncate_body(99_000));
        source.inject(Fault::on(Call::Get).after(2).fail(s3dlio_testkit::counting::ErrorKind::NotFound));
        let error = net.client.copy("gs://source/k", "s3://bucket/k", REPLACE).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Integrity | ErrorKind::Changed), "{error}");
        net.client.close().await;
        assert!(!net.client.exists("s3://bucket/k").await.unwrap());
        assert!(net.server.multipart_uploads().is_empty());
        source.heal();
    }
}

#[tokio::test]
async fn a_failed_batch_of_deletions_fails_for_its_own_objects() {
    let net = network();
    let locations: Vec<_> = (0..1500).map(|index| parse(&format!("s3://bucket/k{index:04}"))).collect();
    for location in locations.iter().step_by(100) {
        net.client.put(location, "x").await.unwrap();
    }
    net.proxy.add(Rule::method("POST").query("delete").nth(1).answer(403, &[], "denied"));
    let results: Vec<_> = net.client.delete_many(stream::iter(locations)).collect().await;
    assert_eq!(results.len(), 1500);
    for deleted in &results {
        let gone = !net.server.root().join("bucket").join(deleted.location.key()).exists();
        match &deleted.result {
            Ok(()) => assert!(gone, "{} is said to be gone", deleted.location),
            Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}"),
        }
    }
    assert_eq!(results.iter().filter(|deleted| deleted.result.is_err()).count(), 1000);
}

#[tokio::test]
async fn a_bucket_is_not_an_object() {
    let net = network();
    net.client.put("s3://bucket/k", "x").await.unwrap();
    net.proxy.log().clear();
    let all: Vec<Result<()>> = vec![
        net.client.get("s3://bucket").await.map(drop),
        net.client.get("s3://bucket/").await.map(drop),
        net.client.get_stream("s3://bucket").await.map(drop),
        net.client.stat("s3://bucket").await.map(drop),
        net.client.put("s3://bucket", "x").await.map(drop),
        net.client.delete("s3://bucket").await,
        net.client.copy("s3://bucket/k", "s3://bucket", REPLACE).await,
        net.client.rename("s3://bucket/k", "s3://bucket", REPLACE).await,
        net.client.copy("s3://bucket", "s3://bucket/x", REPLACE).await,
        net.client.writer("s3://bucket").await.map(drop),
        net.client.put("memory://", "x").await.map(drop),
    ];
    for (index, result) in all.into_iter().enumerate() {
        let error = result.expect_err(&format!("operation {index}"));
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let deleted: Vec<_> = net.client.delete_many(stream::iter([parse("s3://bucket")])).collect().await;
    assert_eq!(deleted[0].result.as_ref().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(net.proxy.log().is_empty(), "{:?}", net.proxy.log().records());
    assert_eq!(net.client.get("s3://bucket/k").await.unwrap(), "x");
}

#[tokio::test]
async fn a_writer_that_missed_bytes_does_not_finish() {
    let net = network();
    let mut writer = net.client.writer("s3://bucket/cut").await.unwrap();
    writer.write(data::bytes(1, 5 << 20)).await.unwrap();
    net.proxy.add(Rule::method("PUT").query("partNumber=").after(1).never_answer());
    for seed in 2..12 {
        // Waits for a part that never ends, and is given up.
        let write = writer.write(data::bytes(seed, 5 << 20));
        if tokio::time::timeout(std::time::Duration::from_millis(300), write).await.is_err() {
            break;
        }
    }
    net.proxy.heal();
    let error = writer.finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    net.client.close().await;
    assert!(!net.client.exists("s3://bucket/cut").await.unwrap());
    assert!(net.server.multipart_uploads().is_empty());

    net.proxy.add(Rule::method("PUT").query("partNumber=1").answer(403, &[], "denied"));
    let mut writer = net.client.writer("s3://bucket/cut").await.unwrap();
    let mut failed = false;
    for seed in 0..12 {
        failed |= writer.write(data::bytes(seed, 5 << 20)).await.is_err();
    }
    assert!(failed);
    writer.finish().await.unwrap_err();
    net.client.close().await;
    assert!(!net.client.exists("s3://bucket/cut").await.unwrap());
    assert!(net.server.multipart_uploads().is_empty());
}

#[tokio::test]
async fn errors_within_success_are_errors() {
    let net = network();
    let error = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>injected</Message></Error>";
    net.proxy.add(Rule::method("POST").query("uploadId=").answer(200, &[], error));
    net.client.put("s3://bucket/big", data::bytes(1, 21 << 20)).await.unwrap_err();
    net.client.close().await;
    assert!(net.server.multipart_uploads().is_empty());
    assert!(!net.client.exists("s3://bucket/big").await.unwrap());
}

#[tokio::test]
async fn sizes_that_cannot_be_are_errors() {
    let net = network();
    for size in [u64::MAX, u64::MAX / 2, 1 << 50] {
        let content_range = format!("bytes 0-4194303/{size}");
        net.proxy.heal();
        net.proxy.add(Rule::method("GET").answer(
            206,
            &[("content-range", &content_range), ("etag", "\"x\""), ("last-modified", "Mon, 23 Nov 2026 00:00:00 GMT")],
            data::bytes(1, 4 << 20),
        ));
        let error = net.client.get("s3://bucket/k").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Integrity), "{error}");
        assert!(error.to_string().contains(&size.to_string()), "{error}");
    }
    assert_eq!(net.client.budget().used(), 0);
}

#[tokio::test]
async fn a_stream_of_any_claimed_size_begins() {
    let net = network();
    net.proxy.add(Rule::method("GET").answer(
        206,
        &[
            ("content-range", "bytes 0-8388607/18446744073709551615"),
            ("etag", "\"x\""),
            ("last-modified", "Mon, 23 Nov 2026 00:00:00 GMT"),
        ],
        data::bytes(1, 8 << 20),
    ));
    let mut stream = net.client.get_stream("s3://bucket/k").await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().len(), 8 << 20);
}

#[tokio::test]
async fn ranges_to_the_end_of_numbers_are_cut_at_the_end() {
    let net = network();
    let directory = tempfile::tempdir().unwrap();
    let content = data::bytes(5, 300_000);
    for base in ["s3://bucket".to_owned(), "memory://".to_owned(), format!("file://{}", directory.path().display())] {
        let uri = format!("{base}/k");
        net.client.put(&uri, content.clone()).await.unwrap();
        let reads = futures::future::join_all((0..4).map(|start| net.client.get_range(&uri, start..u64::MAX))).await;
        for (start, read) in reads.into_iter().enumerate() {
            data::assert_same(&read.unwrap(), &content[start..], &uri);
        }
        let ranges = [10..u64::MAX, 0..5, 299_999..u64::MAX - 1];
        let read = net.client.get_ranges(&uri, &ranges).await.unwrap();
        assert_eq!((read[0].len(), read[1].len(), read[2].len()), (299_990, 5, 1));
        let error = net.client.get_ranges(&uri, &[0..10, 300_000..300_010]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RangeNotSatisfiable, "{error}");
        let streamed: Vec<Bytes> =
            net.client.get_range_stream(&uri, 7..u64::MAX).await.unwrap().try_collect().await.unwrap();
        data::assert_same(&streamed.concat(), &content[7..], &uri);
        let none: Vec<Bytes> = net.client.get_range_stream(&uri, 7..7).await.unwrap().try_collect().await.unwrap();
        assert!(none.concat().is_empty());
        assert_eq!(net.client.get_range(&uri, 7..7).await.unwrap(), "");
    }
    assert_eq!(net.client.budget().used(), 0);
}

#[tokio::test]
async fn an_empty_object_takes_one_get() {
    let net = network();
    net.client.put("s3://bucket/empty", "").await.unwrap();
    net.proxy.log().clear();
    assert_eq!(net.client.get("s3://bucket/empty").await.unwrap(), "");
    assert_eq!((net.proxy.log().len(), net.proxy.log().count_method(&Method::GET)), (1, 1));
}

#[tokio::test]
async fn a_conditional_put_that_may_have_happened_is_not_sent_again() {
    let net = network();
    net.proxy.add(Rule::method("PUT").nth(1).close(At::Head));
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let error = net.client.put_with("s3://bucket/lock", "mine", create).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "not AlreadyExists, which would be a lie: {error}");
    assert_eq!(net.proxy.log().count_method(&Method::PUT), 1);
}
