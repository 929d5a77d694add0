//! Keys as the store has them, listings over pages, and what a shared access signature opens.

use std::time::Duration;

use futures::StreamExt;
use http::Method;
use object_store::RetryConfig;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::signer::Signer;
use s3dlio_store::ListPage;

use super::*;

/// What `path_of_key` can name, slashes at any place but the front included.
const KEYS: [&str; 10] = ["dir", "dir/", "dir//", "dir/a", "a//b", "%41 +&?#", "a b", "a+b", "ü/日本/", "x/ y /"];

async fn keys(store: &Store, request: ListRequest) -> Vec<String> {
    entries(&*store.lister, request).await.unwrap().into_iter().map(|entry| entry.key).collect()
}

#[tokio::test]
async fn odd_keys_round_trip_and_are_listed_as_they_are() {
    let store = new_store();
    for key in KEYS {
        store.objects.put(&path(key), key.into()).await.unwrap();
    }
    for key in KEYS {
        let got = store.objects.get(&path(key)).await.unwrap();
        assert_eq!(got.meta.location, path(key));
        assert_eq!(got.bytes().await.unwrap(), key, "{key:?}");
    }
    let mut sorted = KEYS.map(str::to_owned).to_vec();
    sorted.sort();
    assert_eq!(keys(&store, ListRequest::default()).await, sorted);

    store.objects.copy(&path("dir/"), &path("copy//")).await.unwrap();
    assert_eq!(store.objects.get(&path("copy//")).await.unwrap().bytes().await.unwrap(), "dir/");
    let all = futures::stream::iter(KEYS.map(|key| Ok(path(key)))).boxed();
    let deleted: Vec<_> = store.objects.delete_stream(all).try_collect().await.unwrap();
    assert_eq!(deleted, KEYS.map(path));
    assert_eq!(keys(&store, ListRequest::default()).await, ["copy//"]);
}

#[tokio::test]
async fn what_a_delete_does_not_find_does_not_stop_the_rest() {
    let store = new_store();
    store.objects.put(&path("b"), "".into()).await.unwrap();
    let all = futures::stream::iter(["a", "b"].map(|key| Ok(path(key)))).boxed();
    let results: Vec<_> = store.objects.delete_stream(all).collect().await;
    assert!(matches!(results[0], Err(object_store::Error::NotFound { .. })), "{results:?}");
    assert_eq!(*results[1].as_ref().unwrap(), path("b"));
}

#[tokio::test]
async fn pages_join_without_a_gap_at_any_size() {
    let store = new_store();
    let wanted: Vec<String> = (0..12).map(|n| format!("p/{}/{n:02}", n % 3)).collect();
    for key in &wanted {
        store.objects.put(&path(key), "x".into()).await.unwrap();
    }
    store.objects.put(&path("outside"), "x".into()).await.unwrap();
    let mut sorted = wanted.clone();
    sorted.sort();
    for page_size in [1, 2, 5, 12, 5000] {
        let request = ListRequest { prefix: "p/".into(), page_size: Some(page_size), ..ListRequest::default() };
        let pages: Vec<ListPage> = store.lister.pages(request.clone()).try_collect().await.unwrap();
        assert_eq!(pages.len(), 12usize.div_ceil(page_size), "page size {page_size}");
        assert_eq!(keys(&store, request.clone()).await, sorted);
        let later = ListRequest { start_after: Some(sorted[6].clone()), ..request.clone() };
        assert_eq!(keys(&store, later).await, sorted[7..]);
        let folded = ListRequest { delimiter: true, start_after: Some("p/0/".into()), ..request };
        let pages: Vec<ListPage> = store.lister.pages(folded).try_collect().await.unwrap();
        let prefixes: Vec<_> = pages.into_iter().flat_map(|page| page.prefixes).collect();
        assert_eq!(prefixes, ["p/1/", "p/2/"]);
    }
    assert_eq!(
        keys(&store, ListRequest { prefix: "p/1/0".into(), ..ListRequest::default() }).await,
        ["p/1/01", "p/1/04", "p/1/07"]
    );
}

#[tokio::test]
async fn a_listed_tag_is_the_one_that_a_read_gives() {
    let store = new_store();
    store.objects.put(&path("k"), "body".into()).await.unwrap();
    let listed = entries(&*store.lister, ListRequest::default()).await.unwrap().remove(0);
    let read = store.objects.head(&path("k")).await.unwrap();
    assert_eq!((listed.e_tag, listed.size, listed.last_modified), (read.e_tag, read.size, read.last_modified));
}

#[tokio::test]
async fn a_shared_access_signature_opens_what_it_is_for_and_is_never_shown() {
    let server = Azurite::shared();
    let container = server.new_container();
    let uri = format!("az://{container}");
    let owner = Setup::azurite().open(&uri).unwrap();
    owner.objects.put(&path("k"), "body".into()).await.unwrap();
    // object_store signs for one blob; the signature is the part behind the question mark.
    let signer = MicrosoftAzureBuilder::new()
        .with_account(server.account())
        .with_access_key(server.key())
        .with_container_name(&container)
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_retry(RetryConfig::default())
        .with_http_connector(Transport::new(&UnifiedLoaderConfig::default()).unwrap())
        .build()
        .unwrap();
    let signed = signer.signed_url(Method::GET, &path("k"), Duration::from_secs(3600)).await.unwrap();
    let token = signed.query().unwrap();
    let secret = signed.query_pairs().find(|(name, _)| name == "sig").unwrap().1.into_owned();

    let reader = Setup::at_azurite(&[("AZURE_STORAGE_SAS_TOKEN", &format!("?{token}"))]).open(&uri).unwrap();
    assert_eq!(reader.objects.get(&path("k")).await.unwrap().bytes().await.unwrap(), "body");
    let unreachable = {
        let mut setup = Setup::with(&[("AZURE_STORAGE_SAS_TOKEN", token), ("AZURE_STORAGE_ACCOUNT", server.account())]);
        setup.config.endpoint_url = Some("http://127.0.0.1:1".into());
        setup.config.connect_timeout = Duration::from_millis(1);
        setup.open(&uri).unwrap()
    };
    let errors = [
        reported(reader.objects.put(&path("k"), "other".into()).await),
        reported(reader.objects.copy(&path("k"), &path("l")).await),
        entries(&*reader.lister, ListRequest::default()).await.unwrap_err(),
        reported(unreachable.objects.get(&path("k")).await),
        reported(unreachable.objects.copy(&path("k"), &path("l")).await),
        entries(&*unreachable.lister, ListRequest::default()).await.unwrap_err(),
    ];
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    for (number, error) in errors.iter().enumerate() {
        let kind = if number < 3 { ErrorKind::PermissionDenied } else { ErrorKind::Connect };
        assert_eq!(error.kind(), kind, "{error}");
        let shown = format!("{error} {error:?} {:?}", reader.objects);
        assert!(!shown.contains(&secret) && !shown.contains(&encoded), "{shown}");
    }
}

#[tokio::test]
async fn content_type_and_metadata_are_kept() {
    use object_store::{Attribute, Attributes, PutOptions};
    let store = new_store();
    let attributes =
        Attributes::from_iter([(Attribute::ContentType, "text/plain"), (Attribute::Metadata("colour".into()), "blue")]);
    let options = PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
    store.objects.put_opts(&path("k"), "body".into(), options).await.unwrap();
    let got = store.objects.get(&path("k")).await.unwrap().attributes;
    for name in [Attribute::ContentType, Attribute::Metadata("colour".into())] {
        assert_eq!(got.get(&name), attributes.get(&name));
    }
}
