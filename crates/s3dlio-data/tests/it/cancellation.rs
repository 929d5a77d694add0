//! After a cancellation or a drop nothing is left: no task of the runtime, no socket, no open file, no bytes in the budget.
//!
//! Each scenario brings a loader into a known state, which is read off the client's own counters, ends it, and takes the
//! time until everything is gone. On loopback that is a few milliseconds; a machine that is busy with something else may
//! be late once, so that the scenarios run one at a time and the best of a few runs counts.

use std::fs;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::Stream;
use s3dlio_data::{AsyncPoolDataLoader, DataLoader, Dataset, LoaderBuilder};
use s3dlio_store::{CancellationToken, Client, Config, ErrorKind, Result};
use s3dlio_testkit::counting::{Call, Fault, Gate};
use s3dlio_testkit::data;
use s3dlio_testkit::fault_proxy::{At, FaultProxy, Rule};
use s3dlio_testkit::http_server::HttpServer;
use s3dlio_testkit::process::{descriptors, eventually_async, open_files_below};

use crate::support::{Bench, KIB, MIB, path};

/// Only a test that fails waits this long. Every timeout of the client is longer.
const HANG: Duration = Duration::from_secs(20);

/// How long the end may take.
const LIMIT: Duration = Duration::from_millis(100);

/// How often a scenario may be late: a task that does not end takes for ever, so that more runs hide nothing.
const RUNS: usize = 20;

/// Runs a scenario until it is fast enough, a few times at most.
async fn within_limit(scenario: impl AsyncFn() -> Duration) {
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        best = best.min(scenario().await);
        if best < LIMIT {
            return;
        }
    }
    panic!("the best of {RUNS} runs took {best:?}");
}

/// Objects behind a proxy that can be made to fail, and a client that is patient with it.
struct Scene {
    _server: HttpServer,
    proxy: FaultProxy,
    client: Client,
    dataset: Dataset,
    token: CancellationToken,
}

impl Scene {
    fn new(objects: usize, size: usize) -> Self {
        let server = HttpServer::start().unwrap();
        for index in 0..objects {
            server.put(&format!("/set/{index}"), data::bytes(index as u64, size));
        }
        let proxy = FaultProxy::start(server.address()).unwrap();
        let mut config = Config::builder();
        for key in ["idle_timeout", "operation_deadline", "range_timeout", "retry_budget"] {
            config = config.set(key, "10m");
        }
        // One pause outlasts the test.
        for key in ["retry_initial_backoff", "retry_max_backoff"] {
            config = config.set(key, "5m");
        }
        config = config.set("range_split_threshold", 64 * KIB).set("range_chunk_size", 64 * KIB);
        let uris = (0..objects).map(|index| format!("{}/set/{index}", proxy.endpoint()));
        let dataset = Dataset::from_uris(uris).unwrap();
        let client = Client::new(config.build().unwrap());
        Self { _server: server, proxy, client, dataset, token: CancellationToken::new() }
    }

    fn loader(&self) -> LoaderBuilder<DataLoader> {
        DataLoader::builder(&self.client, &self.dataset).batch_size(4).cancellation(self.token.clone())
    }

    fn pool(&self) -> LoaderBuilder<AsyncPoolDataLoader> {
        AsyncPoolDataLoader::builder(&self.client, &self.dataset).batch_size(4).cancellation(self.token.clone())
    }

    /// The time since `start` once no task and no connection is left. Idle connections may stay with the client, whose
    /// they are; then it says how many.
    async fn gone(&self, start: Instant, idle: u64) -> Duration {
        assert!(eventually_async(HANG, || tasks() == 0).await, "{} tasks are left", tasks());
        let open = || self.client.statistics().connections_open;
        assert!(eventually_async(HANG, || open() == idle).await, "{} connections are left", open());
        let sockets = || sockets_to(self.proxy.address());
        assert!(eventually_async(HANG, || sockets() == idle as usize).await, "{} sockets are left", sockets());
        let elapsed = start.elapsed();
        assert!(eventually_async(HANG, || self.proxy.open_connections() == idle as usize).await);
        assert!(eventually_async(HANG, || self.client.budget().used() == 0).await, "bytes are left in the budget");
        elapsed
    }
}

/// Tasks of this test's own runtime, which its main future is not among.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Sockets of this process that are connected to `address`.
fn sockets_to(address: SocketAddr) -> usize {
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let remote = format!(":{:04X}", address.port());
    let inodes: Vec<String> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[2].ends_with(&remote).then(|| format!("socket:[{}]", fields[9]))
        })
        .collect();
    let descriptors = descriptors();
    descriptors.iter().filter(|descriptor| inodes.iter().any(|inode| descriptor.target.as_os_str() == &**inode)).count()
}

/// Asks once, which starts the epoch, and does not wait.
async fn start<T>(epoch: &mut (impl Stream<Item = Result<T>> + Unpin)) {
    let mut epoch = pin!(epoch);
    poll_fn(|cx| {
        assert!(epoch.as_mut().poll_next(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// The stream tells the cancellation once, and then it has ended.
async fn assert_cancelled<T>(epoch: &mut (impl Stream<Item = Result<T>> + Unpin)) {
    use futures::StreamExt;
    match tokio::time::timeout(HANG, epoch.next()).await.expect("a cancelled epoch hangs") {
        Some(Err(error)) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}"),
        Some(Ok(_)) => panic!("a cancelled epoch still gives"),
        None => panic!("a cancelled epoch ends as if it were complete"),
    }
    assert!(epoch.next().await.is_none());
    assert!(epoch.next().await.is_none());
}

#[tokio::test]
async fn before_the_start() {
    let scene = Scene::new(4, KIB);
    scene.token.cancel();
    assert_cancelled(&mut scene.loader().build().unwrap().epoch(0)).await;
    assert_cancelled(&mut scene.pool().build().unwrap().epoch(0)).await;
    assert_eq!((tasks(), scene.proxy.accepted_connections()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_a_batch() {
    within_limit(async || {
        let scene = Scene::new(8, KIB);
        scene.proxy.add(Rule::method("GET").path("/set/2").never_answer());
        scene.proxy.add(Rule::method("GET").path("/set/6").never_answer());
        let loader = scene.loader().build().unwrap();
        let mut epoch = loader.epoch(0);
        start(&mut epoch).await;
        // Six of the eight objects are there, neither of the two batches is.
        assert!(eventually_async(HANG, || scene.client.statistics().bytes_received == 6 * KIB as u64).await);
        assert!(eventually_async(HANG, || scene.client.statistics().connections_open >= 2).await);
        let cancelled = Instant::now();
        scene.token.cancel();
        assert_cancelled(&mut epoch).await;
        let idle = scene.client.statistics().connections_open;
        assert!(idle <= 6, "what was under way is closed");
        scene.gone(cancelled, idle).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_the_ranges_of_a_large_object() {
    within_limit(async || {
        let scene = Scene::new(1, 4 * MIB);
        // The first request is answered; of the ranges that follow, each stalls after a few bytes.
        scene.proxy.add(Rule::method("GET").after(1).stall(At::Body(1000)));
        let loader = scene.loader().build().unwrap();
        let mut epoch = loader.epoch(0);
        start(&mut epoch).await;
        let received = || scene.client.statistics().bytes_received;
        assert!(eventually_async(HANG, || received() >= 64 * KIB as u64 + 2 * 1000).await);
        assert!(tasks() >= 3, "the ranges are tasks of their own");
        let cancelled = Instant::now();
        scene.token.cancel();
        // Not polled yet: the tasks end by themselves. The connection of the first request may be idle by now.
        assert!(eventually_async(HANG, || tasks() == 0).await);
        let idle = scene.client.statistics().connections_open;
        assert!(idle <= 1);
        let elapsed = scene.gone(cancelled, idle).await;
        assert_cancelled(&mut epoch).await;
        elapsed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_bodies_stall() {
    within_limit(async || {
        let scene = Scene::new(8, 32 * KIB);
        scene.proxy.add(Rule::method("GET").stall(At::Body(1000)));
        let (loader, pool) = (scene.loader().build().unwrap(), scene.pool().build().unwrap());
        let (mut epoch, mut samples) = (loader.epoch(0), pool.epoch(0));
        start(&mut epoch).await;
        start(&mut samples).await;
        assert!(eventually_async(HANG, || scene.client.statistics().bytes_received == 16 * 1000).await);
        assert_eq!(sockets_to(scene.proxy.address()), 16);
        let cancelled = Instant::now();
        scene.token.cancel();
        let elapsed = scene.gone(cancelled, 0).await;
        assert_cancelled(&mut epoch).await;
        assert_cancelled(&mut samples).await;
        elapsed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_pause_before_another_attempt() {
    within_limit(async || {
        let scene = Scene::new(4, KIB);
        scene.proxy.add(Rule::any().server_error(503, None));
        let mut epoch = scene.loader().build().unwrap().epoch(0);
        start(&mut epoch).await;
        assert!(eventually_async(HANG, || scene.client.statistics().throttled == 4).await);
        assert_eq!(tasks(), 4);
        let cancelled = Instant::now();
        scene.token.cancel();
        assert_cancelled(&mut epoch).await;
        let idle = scene.client.statistics().connections_open;
        let elapsed = scene.gone(cancelled, idle).await;
        assert_eq!(scene.proxy.log().len(), 4, "nothing was sent again");
        elapsed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_loaders_share_a_token_and_a_third_goes_on() {
    within_limit(async || {
        let scene = Scene::new(4, 32 * KIB);
        // The first eight requests, four of each of two loaders, stall.
        scene.proxy.add(Rule::method("GET").first(8).stall(At::Body(1000)));
        let (mut one, mut two) = (scene.loader().build().unwrap().epoch(0), scene.pool().build().unwrap().epoch(0));
        start(&mut one).await;
        start(&mut two).await;
        assert!(eventually_async(HANG, || scene.client.statistics().bytes_received == 8 * 1000).await);
        let mut third = DataLoader::builder(&scene.client, &scene.dataset).build().unwrap().epoch(0);
        let cancelled = Instant::now();
        scene.token.cancel();
        let elapsed = scene.gone(cancelled, 0).await;
        assert_cancelled(&mut one).await;
        assert_cancelled(&mut two).await;
        assert_eq!(third.next().await.unwrap().unwrap().samples.len(), 4);
        assert!(third.next().await.is_none());
        elapsed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_without_a_cancellation() {
    within_limit(async || {
        let scene = Scene::new(8, 32 * KIB);
        scene.proxy.add(Rule::method("GET").stall(At::Body(1000)));
        let (mut epoch, mut samples) =
            (scene.loader().build().unwrap().epoch(0), scene.pool().build().unwrap().epoch(0));
        start(&mut epoch).await;
        start(&mut samples).await;
        assert!(eventually_async(HANG, || scene.client.statistics().bytes_received == 16 * 1000).await);
        let dropped = Instant::now();
        drop((epoch, samples));
        scene.gone(dropped, 0).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_in_the_middle_of_ranges() {
    within_limit(async || {
        let scene = Scene::new(2, 4 * MIB);
        scene.proxy.add(Rule::method("GET").stall(At::Body(1000)));
        let mut epoch = scene.loader().build().unwrap().epoch(0);
        start(&mut epoch).await;
        assert!(eventually_async(HANG, || scene.client.statistics().bytes_received >= 2 * 1000).await);
        let dropped = Instant::now();
        drop(epoch);
        scene.gone(dropped, 0).await
    })
    .await;
}

#[tokio::test]
async fn cancelled_twice() {
    let scene = Scene::new(4, 32 * KIB);
    scene.proxy.add(Rule::method("GET").stall(At::Body(1000)));
    let loader = scene.loader().build().unwrap();
    let mut epoch = loader.epoch(0);
    start(&mut epoch).await;
    scene.token.cancel();
    scene.token.cancel();
    assert_cancelled(&mut epoch).await;
    scene.token.cancel();
    assert!(epoch.next().await.is_none());
    assert_cancelled(&mut loader.epoch(1)).await;
    scene.gone(Instant::now(), 0).await;
}

#[tokio::test]
async fn cancelled_after_the_end() {
    let scene = Scene::new(4, KIB);
    let loader = scene.loader().build().unwrap();
    // Asked for the end or not: an epoch that has given everything is complete.
    for asked in [true, false] {
        let scene_loader = if asked { loader.clone() } else { scene.loader().build().unwrap() };
        let mut epoch = scene_loader.epoch(0);
        assert_eq!(epoch.next().await.unwrap().unwrap().samples.len(), 4);
        if asked {
            assert!(epoch.next().await.is_none());
        } else {
            scene.token.cancel();
        }
        assert!(epoch.next().await.is_none());
        assert_eq!(epoch.batches_left(), 0);
    }
    assert_cancelled(&mut loader.epoch(1)).await;
    let idle = scene.client.statistics().connections_open;
    scene.gone(Instant::now(), idle).await;
    let (proxy, _server) = (scene.proxy, scene._server);
    drop((scene.client, loader));
    assert!(eventually_async(HANG, || sockets_to(proxy.address()) == 0).await, "the client closes what is idle");
}

#[tokio::test]
async fn the_clients_own_token_ends_its_loaders_too() {
    let scene = Scene::new(4, 32 * KIB);
    scene.proxy.add(Rule::method("GET").stall(At::Body(1000)));
    let token = CancellationToken::new();
    let client = scene.client.with_cancellation(token.clone());
    let by_client = DataLoader::builder(&client, &scene.dataset).build().unwrap();
    let by_both = DataLoader::builder(&client, &scene.dataset).cancellation(scene.token.clone()).build().unwrap();
    let (mut one, mut two) = (by_client.epoch(0), by_both.epoch(0));
    start(&mut one).await;
    start(&mut two).await;
    token.cancel();
    assert_cancelled(&mut one).await;
    assert_cancelled(&mut two).await;
    scene.gone(Instant::now(), 0).await;
}

#[tokio::test]
async fn a_batch_that_is_ready_is_not_given_any_more() {
    let bench = Bench::new([10; 8]).await;
    let gate = Gate::closed();
    bench.store.inject(Fault::on(Call::Get).at(&path(7)).hold(&gate));
    let token = CancellationToken::new();
    let loader = DataLoader::builder(&bench.client, &bench.dataset).batch_size(2).cancellation(token.clone());
    let mut epoch = loader.build().unwrap().epoch(0);
    epoch.next().await.unwrap().unwrap();
    gate.wait_for(1).await;
    assert!(bench.client.budget().used() > 0);
    token.cancel();
    assert_cancelled(&mut epoch).await;
    let left = (tasks(), bench.client.budget().used());
    assert_eq!(left, (0, 0), "the error comes when all tasks have ended");
    assert_eq!(epoch.position().samples(), 2, "what was not given can still be asked for later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_closed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    for index in 0..64 {
        fs::write(root.join(format!("{index:02}")), data::bytes(index, MIB)).unwrap();
    }
    let client = Client::new(Config::default());
    let dataset = Dataset::from_prefix(&client, root.to_str().unwrap()).await.unwrap();
    within_limit(async || {
        let token = CancellationToken::new();
        let loader = DataLoader::builder(&client, &dataset).batch_size(2).cancellation(token.clone()).build().unwrap();
        let mut epoch = loader.epoch(0);
        epoch.next().await.unwrap().unwrap();
        let cancelled = Instant::now();
        token.cancel();
        assert_cancelled(&mut epoch).await;
        assert!(eventually_async(HANG, || tasks() == 0 && open_files_below(&root).is_empty()).await);
        let elapsed = cancelled.elapsed();
        assert_eq!(client.budget().used(), 0);
        elapsed
    })
    .await;
}
