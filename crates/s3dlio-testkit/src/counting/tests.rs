use super::*;
use crate::data;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{Error, GetRange, ObjectStoreExt};

async fn store_with(key: &str, body: &Bytes) -> (CountingStore<InMemory>, Path) {
    let store = CountingStore::new(InMemory::new());
    let path = Path::from(key);
    store.inner().put(&path, body.clone().into()).await.unwrap();
    (store, path)
}

#[tokio::test]
async fn gets_and_their_ranges_are_logged() {
    let body = data::bytes(1, 1000);
    let (store, path) = store_with("a", &body).await;
    let counters = store.counters();
    assert_eq!(store.get_range(&path, 0..100).await.unwrap(), body[..100]);
    assert_eq!(store.get_range(&path, 100..200).await.unwrap(), body[100..200]);
    assert_eq!(store.head(&path).await.unwrap().size, 1000);
    assert_eq!((counters.count(Call::Get), counters.count(Call::Head), counters.total()), (2, 1, 3));
    assert_eq!((counters.bytes_served(), counters.bytes_delivered()), (200, 200));
    assert_eq!(counters.delivered_twice(&path), None);
    assert_eq!(counters.gets()[0].asked, Some(GetRange::Bounded(0..100)));

    store.get_range(&path, 150..300).await.unwrap();
    assert_eq!(counters.delivered_twice(&path), Some(150..200));

    counters.reset();
    assert_eq!((counters.total(), counters.bytes_served(), counters.peak_requests_in_flight()), (0, 0, 0));
}

#[tokio::test]
async fn a_get_is_in_flight_until_its_body_ends_and_its_bytes_are_held_until_dropped() {
    let body = data::bytes(1, 1000);
    let (store, path) = store_with("a", &body).await;
    let counters = store.counters();
    let result = store.get(&path).await.unwrap();
    assert_eq!((counters.requests_in_flight(), counters.bytes_in_flight()), (1, 1000));
    let bytes = result.bytes().await.unwrap();
    assert_eq!((counters.requests_in_flight(), counters.bytes_in_flight()), (0, 0));
    assert_eq!(counters.bytes_held(), 1000);
    drop(bytes);
    assert_eq!((counters.bytes_held(), counters.peak_bytes_held(), counters.peak_bytes_in_flight()), (0, 1000, 1000));

    drop(store.get(&path).await.unwrap());
    assert_eq!((counters.requests_in_flight(), counters.bytes_in_flight()), (0, 0));
}

#[tokio::test]
async fn a_gate_holds_calls_until_they_are_let_through() {
    let (store, path) = store_with("a", &data::bytes(1, 10)).await;
    let store = Arc::new(store);
    let gate = Gate::closed();
    store.inject(Fault::on(Call::Get).hold(&gate));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (store, path) = (store.clone(), path.clone());
        tasks.spawn(async move { store.get(&path).await.unwrap().bytes().await.unwrap() });
    }
    gate.wait_for(3).await;
    assert_eq!(store.counters().peak_requests_in_flight(), 3);
    gate.let_through(1);
    assert_eq!(tasks.join_next().await.unwrap().unwrap().len(), 10);
    assert_eq!(gate.waiting(), 2);
    gate.open();
    assert_eq!(tasks.join_all().await.len(), 2);
    // A call that is dropped at the gate waits no longer.
    let gate = Gate::closed();
    store.inject(Fault::on(Call::Head).hold(&gate));
    assert!(futures::poll!(std::pin::pin!(store.head(&path))).is_pending());
    assert_eq!((gate.waiting(), store.counters().requests_in_flight()), (0, 0));
}

#[tokio::test]
async fn bodies_are_truncated_broken_and_held() {
    let body = data::bytes(1, 100);
    let (store, path) = store_with("a", &body).await;
    let counters = store.counters();

    store.inject(Fault::on(Call::Get).first(1).truncate_body(40));
    let chunks: Vec<Bytes> = store.get(&path).await.unwrap().into_stream().try_collect().await.unwrap();
    assert_eq!(chunks.concat(), body[..40]);
    assert_eq!(counters.gets()[0].delivered_range(), 0..40);

    store.heal();
    store.inject(Fault::on(Call::Get).first(1).break_body(40));
    let result = store.get(&path).await.unwrap().bytes().await;
    assert!(matches!(result, Err(Error::Generic { .. })), "{result:?}");
    assert_eq!(counters.gets()[1].delivered_range(), 0..40);

    store.heal();
    let gate = Gate::closed();
    store.inject(Fault::on(Call::Get).hold_body(40, &gate));
    let mut stream = store.get(&path).await.unwrap().into_stream();
    assert_eq!(stream.next().await.unwrap().unwrap(), body[..40]);
    assert!(futures::poll!(stream.next()).is_pending());
    assert_eq!(counters.requests_in_flight(), 1);
    gate.open();
    assert_eq!(stream.next().await.unwrap().unwrap(), body[40..]);
    assert!(stream.next().await.is_none());
    assert_eq!(counters.requests_in_flight(), 0);
}

#[tokio::test]
async fn the_chosen_call_fails_and_the_chosen_answer_changes() {
    let (store, path) = store_with("a", &data::bytes(1, 10)).await;
    store.inject(Fault::on(Call::Get).at(&path).nth(2).fail(ErrorKind::Precondition));
    store.inject(Fault::on(Call::Get).after(2).change_etag("\"other\""));
    let etag = store.get(&path).await.unwrap().meta.e_tag;
    assert_ne!(etag.as_deref(), Some("\"other\""));
    assert!(matches!(store.get(&path).await, Err(Error::Precondition { .. })));
    assert_eq!(store.get(&path).await.unwrap().meta.e_tag.as_deref(), Some("\"other\""));
    assert!(matches!(store.get(&Path::from("b")).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn writes_listings_and_deletions_are_counted() {
    let store = CountingStore::new(InMemory::new());
    let counters = store.counters();
    let path = Path::from("dir/a");
    store.put(&path, "abc".into()).await.unwrap();
    let mut upload = store.put_multipart(&Path::from("dir/b")).await.unwrap();
    upload.put_part("defg".into()).await.unwrap();
    upload.complete().await.unwrap();
    let mut upload = store.put_multipart(&Path::from("dir/c")).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(counters.bytes_sent(), 7);
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 2);
    store.list_with_delimiter(None).await.unwrap();
    store.copy(&path, &Path::from("dir/d")).await.unwrap();
    store.rename(&path, &Path::from("dir/e")).await.unwrap();
    store.inject(Fault::on(Call::Delete).at(&Path::from("dir/d")).fail(ErrorKind::PermissionDenied));
    let locations = stream::iter(["dir/b", "dir/d", "dir/e"]).map(|key| Ok(Path::from(key))).boxed();
    let results: Vec<_> = store.delete_stream(locations).collect().await;
    assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok(), "{results:?}");
    for (call, count) in [
        (Call::Put, 1),
        (Call::CreateMultipart, 2),
        (Call::PutPart, 1),
        (Call::CompleteMultipart, 1),
        (Call::AbortMultipart, 1),
        (Call::List, 1),
        (Call::ListWithDelimiter, 1),
        (Call::Copy, 1),
        (Call::Rename, 1),
        (Call::Delete, 3),
    ] {
        assert_eq!(counters.count(call), count, "{call:?}");
    }
    assert_eq!(counters.requests_in_flight(), 0);
}
