//! A client of S3 behind a network that fails: what is retried, for how long, and what an error says.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use http::Method;
use s3dlio_store::{Client, Config, Environment, ErrorKind};
use s3dlio_testkit::data;
use s3dlio_testkit::fault_proxy::{At, FaultProxy, Rule, refusing_address};
use s3dlio_testkit::process::eventually_async;
use s3dlio_testkit::servers::S3sFs;

const BUCKET: &str = "faults";

/// s3s-fs behind a proxy, and a client of the proxy.
struct Network {
    server: S3sFs,
    proxy: FaultProxy,
    client: Client,
}

fn environment(server: &S3sFs) -> Environment {
    Environment::from_iter([
        ("AWS_ACCESS_KEY_ID", server.access_key()),
        ("AWS_SECRET_ACCESS_KEY", server.secret_key()),
        ("AWS_REGION", server.region()),
    ])
}

fn network_with(settings: &[(&str, &str)]) -> Network {
    let server = S3sFs::start_with_bucket(BUCKET).unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let mut config = Config::builder().environment(environment(&server)).set("endpoint_url", proxy.endpoint());
    for (key, value) in settings {
        config = config.set(*key, *value);
    }
    let client = Client::new(config.build().unwrap());
    Network { server, proxy, client }
}

fn network() -> Network {
    network_with(&[])
}

fn uri(key: &str) -> String {
    format!("s3://{BUCKET}/{key}")
}

impl Network {
    async fn put(&self, key: &str, size: usize) -> bytes::Bytes {
        let content = data::bytes(size as u64, size);
        self.client.put(uri(key), content.clone()).await.unwrap();
        self.proxy.log().clear();
        content
    }

    fn requests(&self, method: &Method) -> usize {
        self.proxy.log().count_method(method)
    }
}

#[tokio::test]
async fn small_reads_send_one_get_each_over_few_connections() {
    let net = network();
    for size in [0usize, 1, 5000, 100_000] {
        let key = format!("small-{size}");
        let content = net.put(&key, size).await;
        data::assert_same(&net.client.get(uri(&key)).await.unwrap(), &content, &key);
        assert_eq!(net.requests(&Method::GET), 1, "{key}");
        assert_eq!(net.requests(&Method::HEAD), 0, "{key}");
    }
    assert_eq!(net.client.statistics().connections_opened, 1, "one connection serves requests in sequence");
}

#[tokio::test]
async fn a_503_is_tried_again_and_counted() {
    let net = network();
    let content = net.put("k", 10_000).await;
    net.proxy.add(Rule::method("GET").first(2).server_error(503, None));
    data::assert_same(&net.client.get(uri("k")).await.unwrap(), &content, "k");
    assert_eq!(net.requests(&Method::GET), 3);
    let statistics = net.client.statistics();
    assert_eq!((statistics.retries, statistics.throttled), (2, 2));
}

#[tokio::test]
async fn an_endpoint_that_always_says_503_fails_within_ten_seconds() {
    let net = network();
    net.proxy.add(Rule::any().server_error(503, None));
    let started = Instant::now();
    let error = net.client.get(uri("k")).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(error.kind(), ErrorKind::Throttled);
    let text = error.to_string();
    assert!(text.contains("503") && text.contains("attempts in") && text.contains("ended by retry_"), "{text}");
}

#[tokio::test]
async fn retry_after_is_honoured_within_the_budget() {
    let net = network();
    net.put("k", 10).await;
    net.proxy.add(Rule::method("GET").nth(1).server_error(503, Some(1)));
    let started = Instant::now();
    net.client.get(uri("k")).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "the second attempt came too early");

    net.proxy.heal();
    net.proxy.add(Rule::any().server_error(503, Some(600)));
    let error = net.client.get(uri("k")).await.unwrap_err();
    assert!(error.to_string().contains("ended by retry_budget"), "a wait beyond the budget is not begun: {error}");
}

#[tokio::test]
async fn a_refused_port_fails_within_three_seconds() {
    let server = S3sFs::start_with_bucket(BUCKET).unwrap();
    let endpoint = format!("http://{}", refusing_address());
    let config = Config::builder().environment(environment(&server)).set("endpoint_url", endpoint).build().unwrap();
    let started = Instant::now();
    let error = Client::new(config).get(uri("k")).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_missing_object_and_a_wrong_secret_fail_at_once() {
    let net = network();
    let error = net.client.get(uri("missing")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(net.requests(&Method::GET), 1);
    assert!(!net.client.exists(uri("missing")).await.unwrap());

    let mut wrong = environment(&net.server);
    wrong.set("AWS_SECRET_ACCESS_KEY", "wrong-secret");
    let config = Config::builder().environment(wrong).set("endpoint_url", net.proxy.endpoint()).build().unwrap();
    net.proxy.log().clear();
    let error = Client::new(config).get(uri("missing")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unauthenticated), "{error}");
    assert_eq!(net.requests(&Method::GET), 1);
    assert!(!error.to_string().contains("wrong-secret"));
}

/// The real limits are 10 s and 25 s; the same code is waited for with shorter ones.
const IMPATIENT: [(&str, &str); 3] =
    [("idle_timeout", "300ms"), ("operation_deadline", "1200ms"), ("range_timeout", "1200ms")];

#[tokio::test]
async fn an_endpoint_that_never_answers_fails_at_the_deadline() {
    let net = network_with(&IMPATIENT);
    net.proxy.set_deaf(true);
    let error = net.client.get(uri("k")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("operation_deadline"), "{error}");
    assert!(net.client.exists(uri("k")).await.is_err(), "what cannot be reached is not absent");
}

#[test]
fn the_default_deadlines_are_within_thirty_seconds() {
    let config = Config::default().for_scheme(s3dlio_store::Scheme::S3);
    assert!(config.operation_deadline < Duration::from_secs(30));
    assert!(config.range_timeout < Duration::from_secs(30));
    assert!(config.idle_timeout < config.operation_deadline);
}

#[tokio::test]
async fn a_body_that_stalls_is_resumed_or_given_up() {
    let net = network_with(&IMPATIENT);
    let content = net.put("k", 500_000).await;
    net.proxy.add(Rule::method("GET").nth(1).stall(At::Body(100_000)));
    data::assert_same(&net.client.get(uri("k")).await.unwrap(), &content, "k");
    let ranges: Vec<_> = net.proxy.log().records().iter().filter_map(|r| r.range().map(str::to_owned)).collect();
    assert_eq!(ranges.len(), 2);
    assert!(!ranges[1].starts_with("bytes=0-"), "resumed at the byte, not from the start: {ranges:?}");

    net.proxy.heal();
    net.proxy.add(Rule::method("GET").stall(At::Body(1000)));
    let error = net.client.get(uri("k")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("stalled"), "{error}");
}

#[tokio::test]
async fn a_body_cut_in_the_middle_is_resumed_at_the_byte() {
    let net = network();
    let content = net.put("k", 300_000).await;
    net.proxy.add(Rule::method("GET").nth(1).close(At::Body(70_000)));
    net.proxy.add(Rule::method("GET").nth(2).reset(At::Body(50_000)));
    data::assert_same(&net.client.get(uri("k")).await.unwrap(), &content, "k");
    assert_eq!(net.requests(&Method::GET), 3);
}

#[tokio::test]
async fn a_reset_before_or_in_the_head_is_tried_again() {
    let net = network();
    let content = net.put("k", 1000).await;
    net.proxy.add(Rule::method("GET").nth(1).reset(At::Head));
    net.proxy.add(Rule::method("GET").nth(2).reset(At::InHead));
    data::assert_same(&net.client.get(uri("k")).await.unwrap(), &content, "k");
}

#[tokio::test]
async fn a_redirect_of_a_signed_request_names_its_target() {
    let net = network();
    net.proxy.add(Rule::any().redirect(301, "http://elsewhere.example/faults/k?secret=1"));
    let error = net.client.get(uri("k")).await.unwrap_err();
    assert!(error.to_string().contains("http://elsewhere.example/faults/k"), "{error}");
    assert!(!error.to_string().contains("secret=1"));
}

#[tokio::test]
async fn a_listing_that_fails_says_so_instead_of_being_short() {
    let net = network();
    net.put("a/1", 1).await;
    net.proxy.add(Rule::method("GET").query("list-type=2").close(At::Body(20)));
    let listed: Result<Vec<_>, _> = net.client.list_objects(uri("a/")).unwrap().try_collect().await;
    assert!(listed.is_err());
}

#[tokio::test]
async fn a_dropped_upload_is_aborted_and_its_sockets_close() {
    let net = network_with(&[("multipart_part_size", "5MiB"), ("max_concurrent_parts", "2")]);
    let mut writer = net.client.writer(uri("big")).await.unwrap();
    for seed in 0..3 {
        writer.write(data::bytes(seed, 5 << 20)).await.unwrap();
    }
    assert_eq!(net.server.multipart_uploads().len(), 1);
    drop(writer);
    net.client.close().await;
    assert!(net.server.multipart_uploads().is_empty());
    assert!(!net.client.exists(uri("big")).await.unwrap());
    let proxy = &net.proxy;
    drop(net.client);
    assert!(eventually_async(Duration::from_secs(10), || proxy.open_connections() == 0).await);
}

#[tokio::test]
async fn an_upload_whose_part_fails_leaves_nothing() {
    let net = network_with(&[("multipart_part_size", "5MiB")]);
    net.proxy.add(Rule::method("PUT").query("partNumber=2").answer(403, &[], "denied"));
    let payload = data::bytes(1, 25 << 20);
    let error = net.client.put(uri("big"), payload).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    net.client.close().await;
    assert!(net.server.multipart_uploads().is_empty());
}

#[tokio::test]
async fn a_large_put_goes_in_parts_and_reads_back() {
    let net = network_with(&[("multipart_part_size", "5MiB")]);
    let content = net.put("big", 23 << 20).await;
    data::assert_same(&net.client.get(uri("big")).await.unwrap(), &content, "big");
    assert!(net.server.multipart_uploads().is_empty());
}

#[tokio::test]
async fn dropping_a_read_closes_its_sockets() {
    let net = network();
    net.put("k", 8 << 20).await;
    net.proxy.add(Rule::method("GET").stall(At::Body(10)));
    let read = tokio::spawn({
        let client = net.client.clone();
        async move { client.get(uri("k")).await }
    });
    let proxy = &net.proxy;
    assert!(eventually_async(Duration::from_secs(10), || proxy.log().count_method(&Method::GET) >= 1).await);
    read.abort();
    let error = read.await.unwrap_err();
    assert!(error.is_cancelled());
    drop(net.client);
    assert!(eventually_async(Duration::from_secs(10), || proxy.open_connections() == 0).await);
}
