//! Operations that are cancelled or dropped where it hurts: each ends at once, and nothing of it is left.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use s3dlio_store::{
    CancellationToken, Client, Config, CopyOptions, Environment, ErrorKind, ListOptions, Location, Result,
};
use s3dlio_testkit::data;
use s3dlio_testkit::fault_proxy::{At, FaultProxy, Rule};
use s3dlio_testkit::process::eventually_async;
use s3dlio_testkit::servers::S3sFs;

/// Within this an operation has ended, with everything that it began. The best of several tries counts: a machine that
/// is busy with something else is not what is tested.
const AT_ONCE: Duration = Duration::from_millis(100);
const TRIES: usize = 8;

/// For what must happen, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Network {
    server: S3sFs,
    proxy: FaultProxy,
    client: Client,
}

/// A bucket with the objects `small` and `large` behind a proxy.
async fn network() -> Network {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let environment = Environment::from_iter([
        ("AWS_ACCESS_KEY_ID", server.access_key()),
        ("AWS_SECRET_ACCESS_KEY", server.secret_key()),
    ]);
    let config = Config::builder()
        .environment(environment)
        .set("endpoint_url", proxy.endpoint())
        .set("multipart_part_size", "5MiB")
        .set("range_split_threshold", "1MiB")
        .set("range_chunk_size", "1MiB");
    let client = Client::new(config.build().unwrap());
    std::fs::write(server.root().join("bucket/small"), data::bytes(1, 100_000)).unwrap();
    std::fs::write(server.root().join("bucket/large"), data::bytes(2, 9 << 20)).unwrap();
    Network { server, proxy, client }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

type Operation = fn(Client) -> BoxFuture<'static, Result<()>>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Cancel,
    CancelTwice,
    Drop,
}

/// Begins the operation on a network that does to it what the rules say, ends it when the proxy has seen `requests`
/// requests, and checks that nothing is left.
async fn ends(rules: &[Rule], requests: usize, operation: Operation) {
    for end in [End::Cancel, End::CancelTwice, End::Drop] {
        let mut best = Duration::MAX;
        for _ in 0..TRIES {
            best = best.min(ends_once(rules, requests, operation, end).await);
            if best < AT_ONCE {
                break;
            }
        }
        assert!(best < AT_ONCE, "{end:?} took {best:?}");
    }
}

async fn ends_once(rules: &[Rule], requests: usize, operation: Operation, end: End) -> Duration {
    let net = network().await;
    rules.iter().for_each(|rule| net.proxy.add(rule.clone()));
    let opened = net.client.open("s3://bucket").await.unwrap();
    let before = tasks();
    let token = CancellationToken::new();
    let running = tokio::spawn(operation(net.client.with_cancellation(token.clone())));
    let reached = eventually_async(PATIENCE, || net.proxy.log().len() >= requests).await;
    assert!(reached, "{} of {requests} requests: {:?}", net.proxy.log().len(), net.proxy.log().records());
    assert!(!running.is_finished(), "there is something to end: {:?}", running.await);

    let started = Instant::now();
    match end {
        End::Drop => {
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled());
        }
        _ => {
            token.cancel();
            if end == End::CancelTwice {
                token.cancel();
            }
            let error = running.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        }
    }
    net.client.close().await;
    let idle = || tasks() == before && net.client.budget().used() == 0 && opened.limiter.in_flight() == 0;
    assert!(
        eventually_async(PATIENCE, idle).await,
        "{} tasks, {} bytes, {} requests are left",
        tasks() - before,
        net.client.budget().used(),
        opened.limiter.in_flight()
    );
    let Network { server, proxy, client } = net;
    drop((client, opened));
    let closed = eventually_async(PATIENCE, || proxy.open_connections() == 0).await;
    assert!(closed, "{} connections are left", proxy.open_connections());
    let took = started.elapsed();
    // What a server has begun when its client goes away it may end in its own time.
    assert!(eventually_async(PATIENCE, || server.multipart_uploads().is_empty()).await);
    took
}

/// The server does not see these requests, and the client no answer. What a server has in hand when an upload is
/// aborted it finishes or forgets as it likes: s3s-fs leaves the files of a part behind that was still coming in.
fn withheld(rule: Rule) -> Rule {
    rule.delay(Duration::from_secs(60)).server_error(503, None)
}

fn parse(uri: &str) -> Location {
    Location::parse(uri).unwrap()
}

fn get_large(client: Client) -> BoxFuture<'static, Result<()>> {
    async move { client.get("s3://bucket/large").await.map(drop) }.boxed()
}

fn get_small(client: Client) -> BoxFuture<'static, Result<()>> {
    async move { client.get("s3://bucket/small").await.map(drop) }.boxed()
}

fn put_large(client: Client) -> BoxFuture<'static, Result<()>> {
    async move { client.put("s3://bucket/new", data::bytes(3, 22 << 20)).await.map(drop) }.boxed()
}

#[tokio::test]
async fn before_the_start_nothing_is_sent() {
    let net = network().await;
    let token = CancellationToken::new();
    token.cancel();
    let client = net.client.with_cancellation(token);
    let before = tasks();
    let all: Vec<Result<()>> = vec![
        get_small(client.clone()).await,
        put_large(client.clone()).await,
        client.get_range("s3://bucket/small", 1..2).await.map(drop),
        client.get_ranges("s3://bucket/small", &[1..2, 5..7]).await.map(drop),
        client.get_stream("s3://bucket/small").await.map(drop),
        client.stat("s3://bucket/small").await.map(drop),
        client.exists("s3://bucket/small").await.map(drop),
        client.delete("s3://bucket/small").await,
        client.copy("s3://bucket/small", "s3://bucket/x", CopyOptions::default()).await,
        client.rename("s3://bucket/small", "s3://bucket/x", CopyOptions::default()).await,
        client.copy("s3://bucket/small", "memory:///x", CopyOptions::default()).await,
        client.create_bucket("s3://another").await,
        client.list_buckets("s3://").await.map(drop),
        client.list_objects("s3://bucket").unwrap().try_collect::<Vec<_>>().await.map(drop),
        client.delete_many(stream::iter([parse("s3://bucket/small")])).map(|one| one.result).try_collect().await,
        client.get_many(vec![parse("s3://bucket/small")]).map(|(_, result)| result.map(drop)).try_collect().await,
    ];
    for (index, result) in all.into_iter().enumerate() {
        let error = result.expect_err(&format!("operation {index}"));
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    }
    assert_eq!(tasks(), before);
    assert!(net.proxy.log().is_empty(), "{:?}", net.proxy.log().records());
    assert_eq!(net.client.budget().used(), 0);
}

#[tokio::test]
async fn in_the_middle_of_ranges() {
    ends(&[Rule::method("GET").after(1).stall(At::Body(100_000))], 5, get_large).await;
}

#[tokio::test]
async fn in_several_ranges_of_one_call() {
    ends(&[Rule::method("GET").stall(At::Body(100))], 2, |client| {
        async move { client.get_ranges("s3://bucket/large", &[0..1000, 5_000_000..5_001_000]).await.map(drop) }.boxed()
    })
    .await;
}

#[tokio::test]
async fn during_a_stalled_body() {
    ends(&[Rule::method("GET").stall(At::Body(1000))], 1, get_small).await;
}

#[tokio::test]
async fn while_no_answer_comes() {
    ends(&[Rule::any().never_answer()], 1, get_small).await;
    ends(&[Rule::any().never_answer()], 1, |client| {
        async move { client.stat("s3://bucket/small").await.map(drop) }.boxed()
    })
    .await;
}

#[tokio::test]
async fn during_the_pause_before_a_retry() {
    ends(&[Rule::any().server_error(503, Some(6))], 1, get_small).await;
}

#[tokio::test]
async fn during_a_stream() {
    ends(&[Rule::method("GET").after(3).stall(At::Body(1000))], 5, |client| {
        async move {
            let mut stream = client.get_stream("s3://bucket/large").await?;
            while let Some(chunk) = stream.next().await {
                chunk?;
            }
            Ok(())
        }
        .boxed()
    })
    .await;
}

#[tokio::test]
async fn during_a_listing() {
    ends(&[Rule::method("GET").query("list-type=2").stall(At::Body(50))], 1, |client| {
        async move { client.list_objects("s3://bucket")?.try_collect::<Vec<_>>().await.map(drop) }.boxed()
    })
    .await;
}

#[tokio::test]
async fn during_an_upload() {
    ends(&[withheld(Rule::method("PUT").query("partNumber="))], 4, put_large).await;
}

/// The server has begun the upload, and its name is still on the way.
#[tokio::test]
async fn while_an_upload_begins() {
    ends(&[Rule::method("POST").query("uploads").delay(Duration::from_millis(20))], 1, put_large).await;
}

#[tokio::test]
async fn while_an_upload_is_completed() {
    ends(&[withheld(Rule::method("POST").query("uploadId="))], 7, put_large).await;
}

#[tokio::test]
async fn during_copies_between_stores() {
    // The target stalls; then the source.
    ends(&[withheld(Rule::method("PUT"))], 3, |client| {
        async move {
            client.put("memory:///large", data::bytes(4, 16 << 20)).await?;
            client.copy("memory:///large", "s3://bucket/copy", CopyOptions::default()).await
        }
        .boxed()
    })
    .await;
    ends(&[Rule::method("GET").after(4).stall(At::Body(1000))], 5, |client| {
        async move { client.copy("s3://bucket/large", "memory:///copy", CopyOptions::default()).await }.boxed()
    })
    .await;
}

#[tokio::test]
async fn during_copies_by_the_server() {
    ends(&[Rule::method("PUT").never_answer()], 1, |client| {
        async move { client.rename("s3://bucket/small", "s3://bucket/new", CopyOptions::default()).await }.boxed()
    })
    .await;
    // A copy that must not replace is an upload in parts: begun, it goes on to its end.
    ends(&[Rule::method("POST").query("uploads").delay(Duration::from_millis(20))], 1, |client| {
        let keep = CopyOptions { keep_existing: true };
        async move { client.copy("s3://bucket/small", "s3://bucket/new", keep).await }.boxed()
    })
    .await;
}

#[tokio::test]
async fn during_deletions() {
    ends(&[Rule::method("POST").query("delete").never_answer()], 1, |client| {
        let locations = (0..3000).map(|index| parse(&format!("s3://bucket/k{index}")));
        let deleted = client.delete_many(stream::iter(locations.collect::<Vec<_>>()));
        async move {
            let results: Vec<Result<()>> = deleted.map(|deleted| deleted.result).collect().await;
            assert_eq!(results.len(), 1, "one result says that it was cancelled");
            results.into_iter().collect()
        }
        .boxed()
    })
    .await;
}

#[tokio::test]
async fn during_many_reads_and_a_whole_tree() {
    ends(&[Rule::method("GET").stall(At::Body(1000))], 10, |client| {
        let locations = (0..50).map(|index| parse(["s3://bucket/small", "s3://bucket/large"][index % 2])).collect();
        async move {
            let results: Vec<Result<()>> = client.get_many(locations).map(|(_, read)| read.map(drop)).collect().await;
            assert_eq!(results.len(), 50);
            results.into_iter().collect()
        }
        .boxed()
    })
    .await;
    ends(&[Rule::method("GET").path("large").stall(At::Body(1000))], 3, |client| {
        async move {
            let copied = client.copy_tree(parse("s3://bucket"), parse("memory:///tree"), CopyOptions::default());
            let results: Vec<Result<()>> = copied.map(|copied| copied.result).collect().await;
            results.into_iter().collect()
        }
        .boxed()
    })
    .await;
}

#[tokio::test]
async fn in_the_middle_of_files() {
    for scheme in ["file", "direct"] {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let target = format!("{scheme}://{}/new", directory.path().display());
        let is_empty = || std::fs::read_dir(directory.path()).unwrap().next().is_none();
        let net = network().await;
        net.proxy.add(Rule::method("GET").after(3).stall(At::Body(1000)));
        let token = CancellationToken::new();
        let client = net.client.with_cancellation(token.clone());
        let copy = {
            let (client, target) = (client.clone(), target.clone());
            tokio::spawn(async move { client.copy("s3://bucket/large", target, CopyOptions::default()).await })
        };
        assert!(eventually_async(PATIENCE, || net.proxy.log().len() >= 5).await);
        token.cancel();
        assert_eq!(copy.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        net.client.close().await;
        assert!(eventually_async(PATIENCE, is_empty).await, "{scheme}: {:?}", std::fs::read_dir(directory.path()));

        // Dropped after any number of polls.
        for polls in 0..12 {
            let mut put = Box::pin(net.client.put(&target, data::bytes(5, 9 << 20)));
            let mut done = false;
            for _ in 0..polls {
                done = done || (&mut put).now_or_never().is_some();
                tokio::task::yield_now().await;
                if done {
                    break;
                }
            }
            drop(put);
            let mut writer = net.client.writer(&target).await.unwrap();
            for _ in 0..polls.min(4) {
                writer.write(data::bytes(6, 3 << 20)).await.unwrap();
            }
            drop(writer);
            net.client.close().await;
            let temporary = || {
                let names = std::fs::read_dir(directory.path()).unwrap();
                names.filter(|entry| entry.as_ref().unwrap().file_name() != "new").count()
            };
            assert!(eventually_async(PATIENCE, || temporary() == 0).await, "{scheme}, {polls} polls");
        }
    }
}

#[tokio::test]
async fn after_the_end_nothing_happens() {
    let net = network().await;
    let token = CancellationToken::new();
    let client = net.client.with_cancellation(token.clone());
    let content = client.get("s3://bucket/large").await.unwrap();
    let mut stream = client.get_stream("s3://bucket/large").await.unwrap();
    while let Some(chunk) = stream.next().await {
        chunk.unwrap();
    }
    client.put("s3://bucket/new", content.clone()).await.unwrap();
    token.cancel();
    token.cancel();
    data::assert_same(&content, &data::bytes(2, 9 << 20), "what was read stays");
    assert!(stream.next().await.is_none() && stream.next().await.is_none(), "an end stays an end");
    let mut listed = net.client.list("s3://bucket", ListOptions::recursive()).unwrap();
    while let Some(page) = listed.next().await {
        page.unwrap();
    }
    assert!(listed.next().await.is_none() && listed.next().await.is_none());
    let mut many = net.client.get_many(vec![parse("s3://bucket/small")]);
    many.next().await.unwrap().1.unwrap();
    assert!(many.next().await.is_none() && many.next().await.is_none());
    data::assert_same(&net.client.get("s3://bucket/new").await.unwrap(), &content, "what was written stays");
    assert_eq!(client.get("s3://bucket/new").await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(net.client.budget().used(), 0);
}

#[tokio::test]
async fn an_error_of_a_cancelled_operation_says_which_it_was() {
    let net = network().await;
    let token = CancellationToken::new();
    token.cancel();
    let error = get_small(net.client.with_cancellation(token)).await.unwrap_err();
    assert!(error.to_string().contains("s3://bucket") && error.to_string().contains("cancelled"), "{error}");
}
